"""The pane that says what the form would train on, before the start.

Knows how a plan is laid out. Making one is `engine.train.planning`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Static

from engine.data.findings.kinds import KINDS
from engine.train.choosing import gigabytes
from screens.safe import line, text
from screens.widgets import words
from screens.widgets.pane import Pane
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.train.planning import Decided, Plan


def plan_words(plan: Plan) -> Content:
    """The plan as aligned lines, then the findings, the same kind together."""
    share = plan.trained / plan.total if plan.total else 0.0
    tested = f", {plan.tested:,} for the end" if plan.tested else ""
    facts = [
        ("rows", f"{plan.rows:,}", f"{plan.held_out:,} held out{tested}"),
        ("trained tokens", f"{plan.trained:,}", f"{share:.0%} of {plan.total:,}"),
        ("steps", f"{plan.steps:,}", f"{plan.steps_an_epoch:,} an epoch"),
    ]
    facts += _fit_words(plan.decided)
    # Eight cells hold any time: what is above does not move where the time comes out longer.
    width = max(8, *(len(number) for _, number, _ in facts))
    lines = [
        Content.assemble(
            (name.ljust(16), "$foreground 60%"), (number.rjust(width), "bold"),
            (f"  {more}", "$foreground 60%"),
        )
        for name, number, more in facts
    ]  # fmt: skip
    if plan.seen < plan.rows:
        lines.append(Content.styled(f"tokens of the first {plan.seen:,} rows", "$foreground 60%"))
    if not plan.findings:
        lines.append(Content.styled("✓ nothing odd was found", "$text-success"))
    kinds = dict.fromkeys(finding.kind for finding in plan.findings)
    for kind in kinds:
        found = [finding for finding in plan.findings if finding.kind == kind]
        what = KINDS[kind].title if kind in KINDS else kind.replace("_", " ")
        what = what.removeprefix("are ")
        sign, colour = ("✗", "$text-error") if kind in plan.stops else ("!", "$text-warning")
        lines.append(Content.styled(f"{sign} {words.plural(len(found), 'row')}: {what}", colour))
        lines += [line(f"  {finding.text}", "$foreground 60%", limit=200) for finding in found[:3]]
    if plan.stops:
        way = "These rows stop the run: repair them, or set leave_out"
        if "unsupported" in plan.stops and plan.way:
            way = f"These rows stop the run. {plan.way}"
        lines.append(line(way, "$text-error", limit=400))
    return Content("\n").join(lines)


def _fit_words(decided: Decided) -> list[tuple[str, str, str]]:
    """Memory and time as they are expected, with how sure that is."""
    fit = decided.estimate
    if fit is None:
        return []
    over = ", too much" if fit.peak_bytes > decided.room else ""
    return [
        (
            "memory",
            gigabytes(fit.peak_bytes),
            f"±{fit.sure:.0%} of {gigabytes(decided.room)}{over}",
        ),
        ("time", words.duration(fit.total_seconds), f"±{fit.sure_time:.0%}"),
    ]


class PlanPane(Pane):
    """The plan, the focused field in full, and the button that starts."""

    plan: reactive[Plan | None] = reactive["Plan | None"](None)
    error: reactive[WorkbenchError | None] = reactive[WorkbenchError | None](None)
    counting: reactive[bool] = reactive(False)
    starting: reactive[bool] = reactive(False)
    explained: reactive[tuple[str, str, str]] = reactive(("", "", ""))

    class Start(Message):
        """The button was pressed."""

    def __init__(self) -> None:
        super().__init__(id="plan-pane")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="plan-scroll", can_focus=False):
            yield Static(id="plan-words")
        yield Static(id="plan-field")
        yield Button("▶ Start", id="plan-start", compact=True)

    def on_mount(self) -> None:
        self.title_is(Content("before the start"))
        self._show()

    def watch_plan(self) -> None:
        self._show()

    def watch_error(self) -> None:
        self._show()

    def watch_counting(self) -> None:
        self._show()

    def watch_starting(self, starting: bool) -> None:
        button = self.query_one(Button)
        button.label = Content("… starting" if starting else "▶ Start")
        button.disabled = starting

    def watch_explained(self, explained: tuple[str, str, str]) -> None:
        name, about, expected = explained
        takes = f"\n{expected}" if expected else ""
        self.query_one("#plan-field", Static).update(
            Content.assemble((name, "$accent bold"), "  ", line(about), (takes, "$foreground 60%"))
        )

    def _show(self) -> None:
        if not self.is_mounted:
            return
        if self.error is not None:
            shown = Content.assemble(("✗ ", "$text-error bold")) + text(self.error.message)
            shown += Content("\n") + text(self.error.hint, "$foreground 60%")
        elif self.plan is not None:
            shown = plan_words(self.plan)
        else:
            waiting = "counting …" if self.counting else "Choose a dataset: its rows, trained "
            more = "" if self.counting else "tokens and anything odd are listed here."
            shown = Content.styled(waiting + more, "$foreground 60%")
        self.query_one("#plan-words", Static).update(shown)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Start())
