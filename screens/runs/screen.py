"""The Runs room: every run with its curve, two of them compared, and what can be done with one.

Knows which run is under the cursor and which two are compared. Does not train or chat: it hands a
run to the room that does.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from engine.train import client
from screens.actions import bindings, room_actions
from screens.base import ChatWith, CheckRun, ExportRef, ReviewRun, ShowRun
from screens.runs.ledger import (
    Ledger,
    LedgerReader,
    Line,
    RunList,
    compare_words,
    heading,
    run_words,
)
from screens.runs.records import RecordsRoom
from screens.widgets import words
from screens.widgets.chart import Chart
from screens.widgets.ink import run_ink
from screens.widgets.linelist import LineList
from screens.widgets.modals import LineModal
from screens.widgets.pane import EmptyState, Pane
from store import runs

LOOK_EVERY = 1.0
"""Seconds between looks while any run is alive."""


class Looked(Message):
    """A worker read the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger


class Worded(Message):
    """A run was given another note or name."""

    def __init__(self, run_id: int, note: str | None = None, name: str | None = None) -> None:
        super().__init__()
        self.run_id = run_id
        self.note = note
        self.name = name


class RunsRoom(RecordsRoom):
    """All runs of the workspace."""

    ROOM = "runs"
    TELLS_RUNS = True
    TITLE_WORDS = (
        "Every run with its loss. Compare two, go on with one, hand one to chat or export."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("runs"))]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger((), {})
        self._reader = LedgerReader()
        self._looking = False
        self._again = False
        self._timer: Timer | None = None

    def compose_room(self) -> ComposeResult:
        yield EmptyState(
            "Every run of this workspace is listed here, with its loss.",
            (("t", "describe the first run"),),
            widget_id="no-runs",
        )
        with Pane(id="runs-pane"):
            yield Static(id="runs-heading")
            yield RunList()
        with Pane(id="compare-pane"):
            yield Chart("loss", empty="This run has measured nothing yet.")
            with VerticalScroll(id="compare-scroll", can_focus=False):
                yield Static(id="compare-words")

    def on_mount(self) -> None:
        self.query_one("#runs-pane", Pane).title_is(Content("runs"))
        self.chart.can_focus = False
        self.set_class(not runs.all(self.catalogue), "-empty")
        self.focus_on(self.listing)

    @property
    def current(self) -> Line | None:
        """The run under the cursor."""
        return self.listing.current

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action in ("open", "select", "chat", "check", "export", "note", "rename", "report"):
            return self.current is not None
        if action == "weigh":
            return len(self.listing.chosen) == 2
        status = self.current.run.status if self.current else None
        if action == "stop":
            return status in words.ALIVE
        if action == "resume":
            return status in ("paused", "stopped", "failed", "lost")
        return self.current is not None if action == "again" else True

    # -- looking -----------------------------------------------------------------------------

    def _wanted(self) -> list[tuple[int, str]]:
        """The runs whose curves are shown, with their colours."""
        if len(self.listing.chosen) == 2:
            return list(zip(self.listing.chosen, ("side-a", "side-b"), strict=True))
        return [(self.current.run.id, run_ink(self.current.run.id))] if self.current else []

    def _look_now(self) -> None:
        if self._looking:
            self._again = True
            return
        self._looking, self._again = True, False
        self._look(self._wanted())

    @work(thread=True, group="look", exit_on_error=False)
    def _look(self, wanted: list[tuple[int, str]]) -> None:
        try:
            with self.open_catalogue() as cat:
                ledger = self._reader.read(cat, wanted)
        finally:
            self._looking = False  # before the message: its handler may ask for the next look
        self.post_message(Looked(ledger))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self.ledger = event.ledger
        with self.app.batch_update():
            self.set_class(not self.ledger.lines, "-empty")
            self.listing.styles.height = max(len(self.ledger.lines), 3)
            self.listing.show(self.ledger.lines)
            self.show_detail()
        self._say_status()
        self.refresh_bindings()
        self._follow()
        if self._again or any(run_id not in self.ledger.curves for run_id, _ in self._wanted()):
            self._look_now()

    def _follow(self) -> None:
        """Look again soon while something runs and the room is on screen."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self.ledger.living and self.is_current:
            self._timer = self.set_timer(LOOK_EVERY, self._look_now)

    def on_screen_suspend(self, _event: events.ScreenSuspend) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self._look_now()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_heading)

    def _show_heading(self) -> None:
        self.query_one("#runs-heading", Static).update(heading(self.listing.size.width))

    def show_detail(self) -> None:
        """The curves and facts of the run under the cursor, or of the two compared."""
        self._show_heading()
        by_id = {item.run.id: item for item in self.ledger.lines}
        sides = [by_id[run_id] for run_id in self.listing.chosen if run_id in by_id]
        pane = self.query_one("#compare-pane", Pane)
        facts = self.query_one("#compare-words", Static)
        if len(sides) == 2:
            shown = sides
            title = f"A run {sides[0].run.id} against B run {sides[1].run.id}"
            keys = Content.styled("v what follows · esc ends it", "$foreground 60%")
            pane.title_is(Content(title), keys)
            facts.update(self.with_verdict(compare_words(*sides)))
        elif self.current is not None:
            shown = [self.current]
            title = f"run {self.current.run.id}"
            pane.title_is(Content(title + (" is A · choose B with space" if sides else "")))
            facts.update(run_words(self.current))
        else:
            return
        curves = [self.ledger.curves.get(item.run.id, ()) for item in shown]
        flat = [one for pair in curves for one in pair]
        last = max((one.xs[-1] for one in flat if one.xs), default=1.0)
        self.chart.show(flat, (0.0, last))

    def _say_status(self) -> None:
        count = len(self.ledger.lines)
        said = Content.styled(words.plural(count, "run"), "$foreground 60%")
        statuses = [item.run.status for item in self.ledger.lines]
        running, queued = statuses.count("running"), statuses.count("queued")
        parts = [f"▶ {running} running"] if running else []
        parts += [f"{queued} queued"] if queued else []
        if parts:
            said = Content.assemble((" · ".join(parts), "$accent"), " · ", said)
        self.status = said

    @on(LineList.Moved)
    def _moved(self) -> None:
        self.refresh_bindings()
        if len(self.listing.chosen) < 2 and self.current is not None:
            self.show_detail()
            if self.current.run.id not in self.ledger.curves:
                self._look_now()

    @on(LineList.Chosen)
    def _clicked(self) -> None:
        self.action_open()

    # -- actions -----------------------------------------------------------------------------

    def action_open(self) -> None:
        if self.current is not None:
            self.shell.visit(ShowRun(self.current.run.id))

    def action_select(self) -> None:
        if self.current is None:
            return
        run_id = self.current.run.id
        chosen = self.listing.chosen
        if run_id in chosen:
            chosen.remove(run_id)
        else:
            del chosen[1:]
            chosen.append(run_id)
        self.listing.forget()
        self.show_detail()
        self._look_now()

    def action_back(self) -> None:
        self.listing.chosen.clear()
        self.listing.forget()
        self._look_now()

    def action_chat(self) -> None:
        if self.current is None:
            return
        if len(self.listing.chosen) == 2:
            refs = tuple(f"run:{run_id}" for run_id in self.listing.chosen)
        else:
            refs = (self.current.run.model, f"run:{self.current.run.id}")
        self.shell.visit(ChatWith(refs))

    def action_export(self) -> None:
        if self.current is not None:
            self.shell.visit(ExportRef(f"run:{self.current.run.id}"))

    def action_check(self) -> None:
        if self.current is not None:
            self.shell.visit(CheckRun(self.current.run.id))

    def action_review(self) -> None:
        if self.current is not None:
            self.shell.visit(ReviewRun(self.current.run.id))

    def action_new(self) -> None:
        self.app.call_later(self.app.run_action, "app.go('train')")

    def action_resume(self) -> None:
        if self.current is not None:
            self._resume(self.current.run.id)

    @work(thread=True, exclusive=True, group="resume", exit_on_error=False)
    def _resume(self, run_id: int) -> None:
        with self.open_catalogue() as cat:
            client.resume(cat, run_id)
            self.post_message(Looked(LedgerReader().read(cat, [])))
        self.app.call_from_thread(self.shell.look_at_runs)

    def action_stop(self) -> None:
        if self.current is not None:
            client.stop(self.catalogue, self.current.run.id)
            self.say("It will stop after this step and keep a checkpoint.")

    def action_note(self) -> None:
        if self.current is not None:
            run = self.current.run

            def noted(text: str | None) -> None:
                if text is not None:
                    self.post_message(Worded(run.id, note=text.strip()))

            modal = LineModal(f"Note on run {run.id}", value=run.note, placeholder="what you saw")
            self.app.push_screen(modal, noted)

    def action_rename(self) -> None:
        if self.current is not None:
            run = self.current.run

            def named(text: str | None) -> None:
                if text is not None:
                    self.post_message(Worded(run.id, name=text.strip()))

            modal = LineModal(
                f"Name of run {run.id}",
                value=run.name,
                check=lambda text: None if text.strip() else "A name needs a letter or two.",
            )
            self.app.push_screen(modal, named)

    @on(Worded)
    def _worded(self, event: Worded) -> None:
        if event.note is not None:
            runs.note(self.catalogue, event.run_id, event.note)
            if len(self.listing.chosen) == 2:  # the comparison hides it
                self.say(f"The note on run {event.run_id} is kept.")
        if event.name is not None:
            runs.rename(self.catalogue, event.run_id, event.name)
        self._look_now()

    def action_down(self) -> None:
        self.listing.move(1)

    def action_up(self) -> None:
        self.listing.move(-1)

    def action_goto(self) -> None:
        self.listing.action_top()

    def action_bottom(self) -> None:
        self.listing.action_bottom()
