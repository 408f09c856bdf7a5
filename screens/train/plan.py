"""Before the start: what the form would train on, and the pane that says so.

Knows how the engine's preflight is asked and laid out. Does not decide anything: what stops a run
is refused by the engine when it is started.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Static

from engine.data.dataset import open_dataset
from engine.data.findings.kinds import DROPPED, KINDS, Finding
from engine.data.findings.preflight import Preflight, look
from engine.data.rows import Row
from engine.data.split.parts import recorded
from engine.machine.facts import this_machine
from engine.models import refs
from engine.models.folder import ModelFolder, describe
from engine.render import Renderer
from engine.render.purposes import Method, way_out
from engine.train import blocks
from engine.train.choosing import Choice, DataFacts, budget, choose, gigabytes, readable
from engine.train.fit.estimate import Estimate, estimate
from engine.train.recipe import Recipe
from screens.safe import line, text
from screens.train.form import Wish
from screens.widgets import words
from screens.widgets.pane import Pane
from store.catalogue import Catalogue
from store.errors import Unsupported, WorkbenchError

MOST_ROWS = 5_000
"""Rows that are rendered for the plan; a larger file is judged by its first rows."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What the engine makes of a wish.

    Attributes:
        choices: what it would choose, and why; refused: why it would not start.
        estimate: memory and time; room: bytes that a run may plan with.
    """

    choices: tuple[Choice, ...] = ()
    refused: WorkbenchError | None = None
    estimate: Estimate | None = None
    room: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be trained.

    Attributes:
        rows: rows of the file; seen: how many of them were rendered.
        held_out: rows kept for the evaluation loss.
        trained, total: tokens with loss and tokens in all, in the rows seen.
        steps_an_epoch, steps: optimizer steps.
        tested: rows kept for the end, where a split is recorded.
        stops: kinds of findings that stop the run; none where such rows are to be left out.
        way: what to do with rows of a kind that the method cannot use.
        decided: what the engine would choose, and how it would fit.
    """

    rows: int
    seen: int
    held_out: int
    trained: int
    total: int
    steps_an_epoch: int
    steps: int
    findings: tuple[Finding, ...]
    tested: int = 0
    way: str = ""
    stops: frozenset[str] = frozenset()
    decided: Decided = Decided()


def make_plan(cat: Catalogue, wish: Wish) -> Plan:
    """Count rows, tokens and steps, and list what is odd.

    Raises:
        WorkbenchError: file or model cannot be read.
    """
    model = refs.resolve(cat, wish.model)
    if model.renderer_folder is None:
        raise Unsupported(
            f"model '{wish.model}': a GGUF file cannot be trained",
            "Choose its original: starter, hub:org/name or a folder with safetensors.",
        )
    renderer = Renderer.load(model.renderer_folder)
    with open_dataset(cat, wish.file) as document:
        document.grow()
        rows = document.rows(1, MOST_ROWS)
        count = document.count
        split = recorded(cat, document)
    recipe, method = wish.recipe, cast("Method", wish.recipe.method)
    described = describe(model.base) if model.base is not None else None
    length = readable(recipe, described).max_length if described else recipe.max_length
    report = look(rows, renderer, length or None, method)
    held_out = round(count * (split.rule.eval if split else recipe.test_size))
    tested = round(count * split.rule.test) if split else 0
    batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    facts = _facts(report, max(count - held_out - tested, 0), len(rows), held_out, recipe, length)
    an_epoch = max(math.ceil(facts.rows / batch), 1)
    steps = recipe.max_steps if recipe.max_steps > 0 else an_epoch * recipe.num_train_epochs
    wrong = next((f.line for f in report.findings if f.kind == "unsupported"), None)
    return Plan(
        rows=count,
        seen=len(rows),
        held_out=held_out,
        trained=report.trained_tokens,
        total=report.total_tokens,
        steps_an_epoch=an_epoch,
        steps=math.ceil(steps),
        findings=tuple(report.findings),
        tested=tested,
        stops=frozenset() if recipe.leave_out else _stops(rows, report.findings),
        way="" if wrong is None else way_out(rows[wrong - 1], method).replace("FILE", wish.file),
        decided=_decide(recipe, described, facts),
    )


def _facts(
    report: Preflight, rows: int, seen: int, held_out: int, recipe: Recipe, length: int
) -> DataFacts:
    """What so many rows amount to, if they are like those that were seen; of a text, its blocks."""
    known = seen - report.dropped
    share = rows / known if known else 0.0
    tokens, trained = (round(n * share) for n in (report.total_tokens, report.trained_tokens))
    longest, units = report.longest, rows if known else 0
    if recipe.method == "text" and length:
        longest, units = min(length, tokens), blocks.count(tokens, length)
    mean = tokens / units if units else 0.0
    mean /= 2 if recipe.method == "dpo" else 1
    return DataFacts(units, tokens, longest, mean, trained, held_out)


def _decide(recipe: Recipe, base: ModelFolder | None, facts: DataFacts) -> Decided:
    if base is None or not facts.rows:
        return Decided()
    machine = this_machine()
    try:
        chosen = choose(recipe, base, machine, facts)
    except WorkbenchError as error:
        return Decided(refused=error)
    fit = estimate(chosen.recipe, base, machine, facts)
    return Decided(chosen.choices, None, fit, budget(machine))


def _stops(rows: list[Row], findings: tuple[Finding, ...]) -> frozenset[str]:
    """Kinds of rows that teach nothing; blank lines are no rows."""
    blank = {row.number for row in rows if not row.raw.strip()}
    return frozenset(f.kind for f in findings if f.kind in DROPPED and f.line not in blank)


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

    plan: reactive[Plan | None] = reactive[Plan | None](None)
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
