"""The Checks room: suites over a run's checkpoints, what flipped, and which one to take.

Knows which run and suites are looked at. The asking is done in a worker; answers are kept as they
come, so that leaving costs nothing and coming back goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from screens.actions import bindings, room_actions
from screens.base import ChatWith, CheckRun, ExportRef, Room, Visit
from screens.checks.flips import WAYS, Way, flip_words
from screens.checks.matrix import Matrix
from screens.safe import text
from screens.widgets.linelist import LineList
from screens.widgets.modals import PickModal
from screens.widgets.pane import EmptyState, Pane
from store import runs
from store.runs import Run

if TYPE_CHECKING:
    from engine.checks.series import Recommendation, Series
    from engine.checks.suite import Suite
    from store.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run: `series` where every answer is there, else how many are missing."""

    run: Run
    suites: tuple[str, ...]
    series: Series | None
    advice: Recommendation | None
    missing: int


class Looked(Message):
    """A worker looked, or asked to the end."""

    def __init__(self, seen: Seen | None) -> None:
        super().__init__()
        self.seen = seen


class Answered(Message):
    """So many answers have come."""

    def __init__(self, suite: str, done: int, total: int) -> None:
        super().__init__()
        self.suite, self.done, self.total = suite, done, total

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Answered)


class ChecksRoom(Room):
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
        self.seen: Seen | None = None
        self.way: Way = "lost"
        self._run: int | None = None
        self._suites: tuple[str, ...] = ()
        self._asking = False
        self._halt = False

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
        self._look_again()

    @property
    def matrix(self) -> Matrix:
        return self.query_one(Matrix)

    def receive(self, visit: Visit) -> None:
        if isinstance(visit, CheckRun):
            self._run, self._suites = visit.run_id, ()
            self._look_again()

    def on_screen_resume(self, event: object) -> None:
        super().on_screen_resume(event)  # type: ignore[arg-type]
        if not self._asking:
            self._look_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action == "ask":
            return bool(self.seen and self.seen.missing) and not self._asking
        if action == "halt":
            return self._asking
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

    # -- looking and asking -------------------------------------------------------------------

    def _look_again(self) -> None:
        self._look(self._run, self._suites)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, run_id: int | None, named: tuple[str, ...]) -> None:
        from engine.checks import series

        with self.open_catalogue() as cat:
            run = _chosen(cat, run_id)
            if run is None:
                self.post_message(Looked(None))
                return
            suites, retention = _suites(cat, run, named)
            missing = series.missing(cat, run.id, suites)
            self.post_message(Looked(_seen(cat, run, suites, retention, missing)))

    @work(thread=True, exclusive=True, group="ask", exit_on_error=False)
    def _ask(self, run_id: int, named: tuple[str, ...]) -> None:
        from engine.checks import series
        from engine.checks.asking import Halted

        self._halt = False
        try:
            with self.open_catalogue() as cat:
                run = runs.get(cat, run_id)
                suites, retention = _suites(cat, run, named)
                for suite in suites:

                    def came(done: int, total: int, name: str = suite.name) -> None:
                        if self._halt:
                            raise Halted
                        self.post_message(Answered(name, done, total))

                    series.over_checkpoints(cat, run_id, [suite], came)
                found = _seen(cat, run, suites, retention, 0)
        except Halted:
            with self.open_catalogue() as cat:
                suites, retention = _suites(cat, run, named)
                found = _seen(cat, run, suites, retention, series.missing(cat, run_id, suites))
        finally:
            self._asking = False
        self.post_message(Looked(found))

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        self.status = Content.assemble(
            ("▶ ", "$accent"),
            text(event.suite, limit=40),
            f" {event.done:,} of {event.total:,} answers",
        )

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self.seen = event.seen
        self.set_class(event.seen is None, "-empty")
        self._show()

    def _show(self) -> None:
        seen = self.seen
        if seen is None:
            return
        pane = self.query_one("#matrix-pane", Pane)
        suites = text(", ".join(seen.suites), limit=60)
        name = text(seen.run.name, limit=30)
        pane.title_is(Content(f"run {seen.run.id} · ") + name + Content(" · ") + suites)
        fresh = self.matrix.steps != (seen.series.steps if seen.series else ())
        best = seen.advice.step if seen.advice else None
        self.matrix.show(seen.series, best, seen.run.promoted_step)
        if fresh and seen.series is not None:
            wanted = best if best is not None else seen.series.steps[-1]
            self.matrix.column = seen.series.steps.index(wanted) + 1
            self.matrix.cursor = 1
        self.query_one("#advice", Static).update(self._advice(seen))
        self.status = Content("") if not self._asking else self.status
        self._show_flips()
        self.refresh_bindings()

    def _advice(self, seen: Seen) -> Content:
        if seen.missing and not self._asking:
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
        words.update(flip_words(line, column, self.way))
        self.query_one("#flips-scroll").scroll_home(animate=False)
        self.refresh_bindings()

    # -- actions -----------------------------------------------------------------------------

    def action_ask(self) -> None:
        if self.seen is not None and not self._asking:
            self._asking = True
            self._ask(self.seen.run.id, self._suites)
            self.status = Content("▶ loading the models")
            self.query_one("#advice", Static).update(Content(""))
            self.refresh_bindings()

    def action_halt(self) -> None:
        self._halt = True
        self.status = Content("stopping; what was answered is kept")

    def action_run(self) -> None:
        listed = [
            (str(run.id), f"{run.id}  {run.name}  {run.model}") for run in runs.all(self.catalogue)
        ]
        current = str(self.seen.run.id) if self.seen else None

        def chosen(value: str | None) -> None:
            if value is not None:
                self._run, self._suites = int(value), ()
                self._look_again()

        self.app.push_screen(PickModal("Run", listed, current=current), self.guarded(chosen))

    def action_suites(self) -> None:
        from engine.checks import suite as files

        if self.seen is None:
            return
        now = self._suites or self.seen.suites
        listed = [(name, f"{'✓' if name in now else ' '} {name}") for name in files.names()]

        def chosen(value: str | None) -> None:
            if value is not None:
                files.load(value)
                kept = tuple(name for name in now if name != value)
                self._suites = kept or now if value in now else (*now, value)
                self._look_again()

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
        self._look_again()

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


def _chosen(cat: Catalogue, run_id: int | None) -> Run | None:
    """The run that was named, or the newest that has a checkpoint."""
    from engine.train import checkpoints

    if run_id is not None:
        return runs.get(cat, run_id)
    every = runs.all(cat)
    return next((r for r in every if checkpoints.complete(cat.workspace.run_dir(r.id))), None)


def _suites(cat: Catalogue, run: Run, named: Sequence[str]) -> tuple[list[Suite], str | None]:
    """The suites to ask, and the name of the one about retention.

    The run's own as it keeps them; else the one about what its base could do.
    """
    from engine.checks import suite as files
    from engine.train import suites
    from engine.train.recipe import from_dict, suite_label

    recipe = from_dict(run.recipe)
    own = suites.load(recipe, cat.workspace.run_dir(run.id))
    general = "retention" if run.model == "starter" else "general"
    label = suite_label(recipe.retention_suite or general)
    wanted = list(named) or list(own) or [general]
    found = [own[name] if name in own else files.load(name) for name in wanted]
    about = [suite.name for name, suite in zip(wanted, found, strict=True) if name == label]
    return found, about[0] if about else None


def _seen(
    cat: Catalogue, run: Run, suites: Sequence[Suite], retention: str | None, missing: int
) -> Seen:
    from engine.checks import series

    names = tuple(suite.name for suite in suites)
    if missing:
        return Seen(run, names, None, None, missing)
    found = series.over_checkpoints(cat, run.id, suites)
    return Seen(run, names, found, series.recommend(found, retention), 0)
