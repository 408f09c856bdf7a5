"""The Checks room: suites over a run's checkpoints, what flipped, and which one to take.

Knows which run and suites are looked at. A job does the asking (see `following`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.actions import bindings, room_actions
from screens.base import ChatWith, CheckRun, ExportRef, Visit
from screens.checks.flips import WAYS, Way, flip_words
from screens.checks.following import Following
from screens.checks.looking import Looked, Seen
from screens.checks.matrix import Matrix
from screens.safe import text
from screens.widgets.linelist import LineList
from screens.widgets.modals import PickModal
from screens.widgets.pane import EmptyState, Pane
from store import runs

if TYPE_CHECKING:
    from engine.checks.people import Judged
    from store.checkjobs import CheckJob


class ChecksRoom(Following):
    """Checkpoints × checks."""

    ROOM = "checks"
    TITLE_WORDS = (
        "What base and checkpoints pass. ✓ and ✗ stand where chance would not show as much, all "
        "that is looked at taken together; ★ is recommended, ● is what chat and export use."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("checks"))]

    def __init__(self) -> None:
        super().__init__()
        self.way: Way = "lost"

    def compose_room(self) -> ComposeResult:
        yield EmptyState(
            "Check suites over the checkpoints of a run are compared here.",
            (("2", "train a run"), ("o", "choose a run")),
            widget_id="no-checks",
        )
        with Pane(id="matrix-pane"):
            yield Static(id="matrix-heading")
            yield Matrix()
            yield Static(id="advice")
        with Pane(id="flips-pane"), VerticalScroll(id="flips-scroll"):
            yield Static(id="flips")

    def on_mount(self) -> None:
        self.focus_on(self.matrix)
        self.look_again()

    @property
    def matrix(self) -> Matrix:
        return self.query_one(Matrix)

    def receive(self, visit: Visit) -> None:
        if isinstance(visit, CheckRun):
            self._run, self._suites = visit.run_id, ()
            self.look_again()

    def on_screen_resume(self, event: object) -> None:
        super().on_screen_resume(event)  # type: ignore[arg-type]
        self.look_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action == "ask":
            return bool(self.seen and self.seen.missing) and not self.asking
        if action == "halt":
            return self.asking
        if action == "label":
            return bool(self._judged)
        if action in ("promote", "export"):
            return self._step is not None
        if action in ("chat", "way", "earlier", "later"):
            return self.seen is not None and self.seen.series is not None
        return True

    @property
    def _step(self) -> int | None:
        """The checkpoint under the cursor; None for the base."""
        column = self.matrix.column
        return self.matrix.steps[column - 1] if 0 < column <= len(self.matrix.steps) else None

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self.seen = event.seen
        self.set_class(event.seen is None, "-empty")
        if event.seen is not None and event.seen.job is not None:
            self.follow(event.seen.job)
        self._show()

    def follow(self, job: CheckJob | None) -> None:
        super().follow(job)
        if self.seen is not None:
            self.query_one("#advice", Static).update(self._advice(self.seen))

    def _show(self) -> None:
        seen = self.seen
        if seen is None:
            return
        pane = self.query_one("#matrix-pane", Pane)
        suites = text(", ".join(suite.name for suite in seen.suites), limit=60)
        name = text(seen.run.name, limit=30)
        pane.title_is(Content(f"run {seen.run.id} · ") + name + Content(" · ") + suites)
        fresh = self.matrix.steps != (seen.series.steps if seen.series else ())
        best = seen.advice.step if seen.advice else None
        self.matrix.show(seen.series, best, seen.run.promoted_step, seen.judged)
        if fresh and seen.series is not None:
            wanted = best if best is not None else seen.series.steps[-1]
            self.matrix.column = seen.series.steps.index(wanted) + 1
            self.matrix.cursor = 1
        self.query_one("#advice", Static).update(self._advice(seen))
        self._show_flips()
        self.refresh_bindings()

    def _advice(self, seen: Seen) -> Content:
        from engine.checks import jobs

        if self.job is not None:
            kept = "\nKept as they come: leave, or close the window; it goes on."
            told = Content.assemble(("▶ ", "$accent")) + text(jobs.words(self.job), limit=120)
            return told + Content.styled(kept, "$text-muted")
        if seen.missing:
            said = Content.assemble((f"{seen.missing:,} answers are missing", "$text-warning"))
            return said + Content.assemble(
                ("  ⏎", "$accent bold"), (" asks for them", "$text-muted")
            )
        if seen.advice is None:
            return Content("")
        reason = text(seen.advice.reason)
        if seen.advice.step is None:
            return Content.assemble(("! ", "$text-warning")) + reason
        return Content.assemble((f"★ @{seen.advice.step:,}: ", "$accent bold")) + reason

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_heading)

    def _show_heading(self) -> None:
        inks = {"accent": "$accent bold", "muted": "$text-muted"}
        pieces = self.matrix.heading(self.matrix.size.width)
        shown = Content.assemble(*[(words, inks[tone]) for words, tone in pieces])
        self.query_one("#matrix-heading", Static).update(
            shown if self.matrix.lines else Content("")
        )

    @on(Matrix.Turned)
    @on(LineList.Moved)
    def _show_flips(self) -> None:
        self._show_heading()
        pane, words = self.query_one("#flips-pane", Pane), self.query_one("#flips", Static)
        line = self.matrix.current
        if line is None:
            pane.title_is(Content("what flipped"))
            words.update(Content(""))
            return
        column = self.matrix.column
        at = "base" if column == 0 else f"@{self.matrix.steps[column - 1]:,}"
        way = {"lost": "lost against the base", "won": "won", "all": "every prompt"}[self.way]
        pane.title_is(text(line.words, limit=50), Content(f"{at} · {way if column else 'base'}"))
        words.update(flip_words(line, column, self.way, self._judged))
        self.query_one("#flips-scroll").scroll_home(animate=False)
        self.refresh_bindings()

    @property
    def _judged(self) -> list[Judged]:
        """The rubrics of the line under the cursor, where a model judged them."""
        line = self.matrix.current
        if line is None or self.seen is None or not line.judge:
            return []
        every = self.seen.judged.get(line.suite.suite.name, [])
        group = None if line.group is None else line.suite.base.groups[line.group].name
        return [one for one in every if one.judge == line.judge and group in (None, one.group)]

    # -- actions -----------------------------------------------------------------------------

    def action_ask(self) -> None:
        if self.seen is not None and not self.asking:
            self.begin(self.seen)

    def action_halt(self) -> None:
        self.halt()

    def action_run(self) -> None:
        listed = [
            (str(run.id), f"{run.id}  {run.name}  {run.model}") for run in runs.all(self.catalogue)
        ]
        current = str(self.seen.run.id) if self.seen else None

        def chosen(value: str | None) -> None:
            if value is not None:
                self._run, self._suites = int(value), ()
                self.look_again()

        self.app.push_screen(PickModal("Run", listed, current=current), self.guarded(chosen))

    def action_suites(self) -> None:
        from engine.checks import suite as files

        if self.seen is None:
            return
        now = self.seen.named
        every = dict.fromkeys((*now, *files.names()))
        listed = [(name, f"{'✓' if name in now else ' '} {name}") for name in every]

        def chosen(value: str | None) -> None:
            if value is not None:
                value = value if value in every else str(Path(value).expanduser().absolute())
                if value not in now:
                    files.load(value, self.catalogue)
                kept = tuple(name for name in now if name != value)
                self._suites = kept or now if value in now else (*now, value)
                self.look_again()

        modal = PickModal(
            "Add a suite, or take one away", listed, placeholder="name, or a file", free=True
        )
        self.app.push_screen(modal, self.guarded(chosen))

    def action_earlier(self) -> None:
        self.matrix.column = max(self.matrix.column - 1, 0)

    def action_later(self) -> None:
        self.matrix.column = min(self.matrix.column + 1, len(self.matrix.steps))

    def action_way(self) -> None:
        self.way = WAYS[(WAYS.index(self.way) + 1) % len(WAYS)]
        self._show_flips()

    def action_label(self) -> None:
        """Say of the answers that a model judged whether they keep to its rule."""
        from engine.checks.people import cases
        from screens.checks.labelling import LabelScreen

        line = self.matrix.current
        if line is None or not self._judged:
            return
        names = {one.group for one in self._judged}
        results = (line.suite.base, *line.suite.at)
        found = [
            case
            for group, _, own in cases(line.suite.suite, results)
            if group.name in names
            for case in own
        ]

        def left(_: None) -> None:
            self.look_again()

        self.app.push_screen(LabelScreen(self.catalogue, found), self.guarded(left))

    def action_promote(self) -> None:
        from engine.train import client

        if self.seen is None or self._step is None:
            return
        run_id, step = self.seen.run.id, self._step
        if self.seen.run.promoted_step == step:
            client.demote(self.catalogue, run_id)
            self.say(f"run:{run_id} means its best checkpoint by keep_best again.")
        else:
            client.promote(self.catalogue, run_id, step)
            self.say(f"run:{run_id} means @{step:,} in chat, export and checks now.")
        self.look_again()

    def action_chat(self) -> None:
        if self.seen is not None:
            run, step = self.seen.run, self._step
            refs = (run.model,) if step is None else (run.model, f"run:{run.id}@{step}")
            self.shell.visit(ChatWith(refs))

    def action_export(self) -> None:
        if self.seen is not None and self._step is not None:
            self.shell.visit(ExportRef(f"run:{self.seen.run.id}@{self._step}"))

    def action_down(self) -> None:
        self.matrix.move(1)

    def action_up(self) -> None:
        self.matrix.move(-1)

    def action_goto(self) -> None:
        self.matrix.action_top()

    def action_bottom(self) -> None:
        self.matrix.action_bottom()
