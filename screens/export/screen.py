"""The Export room: choose a model and a form, watch it being written and proved, read the proof.

Knows what is on screen and which job of this window runs. Does not convert or compare anything:
the engine's client does, in a process of its own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from engine.export import client
from engine.export import plan as planning
from engine.export.plan import Plan
from engine.export.stages import Stage
from engine.models import refs
from screens.actions import bindings, room_actions
from screens.base import ChatWith, ExportRef, Room, Visit
from screens.export.form import ExportForm, Wish, type_items
from screens.export.proof import (
    ExportList,
    Record,
    error_words,
    proof_words,
    read_records,
    stage_lines,
)
from screens.safe import line
from screens.widgets import words
from screens.widgets.field import Pick
from screens.widgets.linelist import LineList
from screens.widgets.modals import PickModal
from screens.widgets.pane import EmptyState, Pane
from store.errors import WorkbenchError
from store.exports import Export

PLAN_AFTER = 0.3
"""Seconds after the last change of the form until its plan is made."""


class Planned(Message):
    """A worker looked at what would be written; `error` is why it cannot."""

    def __init__(self, plan: Plan | None, error: WorkbenchError | None = None) -> None:
        super().__init__()
        self.plan = plan
        self.error = error


class Progressed(Message):
    """A stage began, moved on or was decided."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage


class Ended(Message):
    """The job of this window is over."""

    def __init__(self, export: Export | None, error: WorkbenchError | None) -> None:
        super().__init__()
        self.export = export
        self.error = error


class ExportRoom(Room):
    """From a trained model to one proved file."""

    ROOM = "export"
    TITLE_WORDS = "Write a trained model to one file, and read the proof that it answers the same."
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("export"))]

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.job = ""
        """What is being written or proved by this window, in words; empty when nothing is."""
        self.stages: dict[str, Stage] = {}
        self.error: WorkbenchError | None = None
        self._cancel = threading.Event()
        self._plan_timer: Timer | None = None

    def compose_room(self) -> ComposeResult:
        with Container(id="export-left"):
            yield ExportForm()
            with Pane(id="exports-pane"):
                yield ExportList()
                yield EmptyState(
                    "Exports are kept here with their proofs.", (("ctrl+s", "export the model"),),
                    widget_id="no-exports",
                )  # fmt: skip
        with Pane(id="proof-pane"), VerticalScroll(id="proof-scroll", can_focus=False):
            yield Static(id="proof-words")

    def on_mount(self) -> None:
        self.query_one("#exports-pane", Pane).title_is(Content("exports"))
        self._show_proof()
        found = refs.candidates(self.catalogue)
        trained = [ref for ref, _ in found if ref.startswith("run:")]
        self.form.fill(ref=(trained or [found[0][0]])[0])
        self.focus_on(self.form.first)

    @property
    def listing(self) -> ExportList:
        return self.query_one(ExportList)

    def receive(self, visit: Visit) -> None:
        if isinstance(visit, ExportRef):
            self.form.fill(ref=visit.ref)
            self.focus_on(self.form.first)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action == "start":
            return not self.job
        if action == "cancel":
            return bool(self.job)
        if action in ("chat", "verify", "copy"):
            record = self.listing.current if self.is_mounted else None
            if record is None or not record.present:
                return False
            if action == "chat":
                return record.export.kind == "gguf"
            return action == "copy" or not self.job
        return True

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self._read()

    def on_unmount(self) -> None:
        self._cancel.set()

    # -- the list and the proof --------------------------------------------------------------

    def _read(self) -> None:
        records = read_records(self.catalogue)
        self.listing.show(records)
        self.set_class(not records, "-empty")
        self._show_proof()
        self.refresh_bindings()
        self.status = Content.styled(words.plural(len(records), "export"), "$foreground 60%")

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_proof)

    @on(LineList.Moved)
    def _moved(self) -> None:
        self._show_proof()
        self.refresh_bindings()

    def _show_proof(self) -> None:
        """What runs, what went wrong, or the proof of the export under the cursor."""
        pane = self.query_one("#proof-pane", Pane)
        pane.set_class(bool(self.job), "-alive")
        width = self.query_one("#proof-scroll").size.width
        record = self.listing.current
        if self.job or self.error is not None:
            pane.title_is(line(self.job or "what happened"))
            lines = stage_lines(self.stages.values(), width)
            if self.error is not None:
                lines += [Content(""), error_words(self.error)]
            elif not lines:
                lines = [Content.styled("starting …", "$foreground 60%")]
            shown = Content("\n").join(lines)
        elif record is not None:
            pane.title_is(line(f"proof of {Path(record.export.path).name}"))
            shown = proof_words(record, width)
        else:
            pane.title_is(Content("proof"))
            shown = Content.styled(
                "An export is done when it is proved: token ids, template, stop tokens and logits "
                "are compared with the trained model, and what was found is kept here.",
                "$foreground 60%",
            )
        self.query_one("#proof-words", Static).update(shown)

    # -- the form ----------------------------------------------------------------------------

    @property
    def form(self) -> ExportForm:
        return self.query_one(ExportForm)

    @on(Pick.Wanted)
    def _pick(self, event: Pick.Wanted) -> None:
        event.stop()
        if event.name == "type":
            self._pick_type()
            return

        def chosen(ref: str | None) -> None:
            if ref is not None:
                self.form.fill(ref=ref)

        items = refs.candidates(self.catalogue)
        modal = PickModal(
            "Export", items, current=self.form.wish.ref, placeholder="or type a reference",
            free=True,
        )  # fmt: skip
        self.app.push_screen(modal, chosen)

    def _pick_type(self) -> None:
        wish = self.form.wish

        def chosen(type: str | None) -> None:
            if type is not None:
                self.form.fill(type=type)

        items = type_items(self.catalogue, wish.ref, wish.to)
        self.app.push_screen(PickModal("Type", items, current=wish.type), chosen)

    @on(ExportForm.Changed)
    def _changed(self) -> None:
        if self._plan_timer is not None:
            self._plan_timer.stop()
        self._plan_timer = self.set_timer(PLAN_AFTER, self._plan_now)

    def _plan_now(self) -> None:
        if self.form.wish.ref:
            self._make_plan(self.form.wish)

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _make_plan(self, wish: Wish) -> None:
        try:
            with self.open_catalogue() as cat:
                plan = planning.make(cat, wish.ref, to=wish.to, types=[wish.type], out=wish.out)
            self.post_message(Planned(plan))
        except WorkbenchError as error:
            self.post_message(Planned(None, error))

    @on(Planned)
    def _planned(self, event: Planned) -> None:
        self.plan = event.plan
        self.form.show_plan(event.plan, event.error)

    # -- the job -----------------------------------------------------------------------------

    @on(ExportForm.Start)
    def action_start(self) -> None:
        wish = self.form.wish
        if not self.job and wish.ref:
            self._begin(f"export {wish.ref} → {wish.type if wish.to == 'gguf' else wish.to}")
            self._export(wish)

    def _begin(self, job: str) -> None:
        self.job, self.error = job, None
        self.stages.clear()
        self._cancel = threading.Event()
        self._show_proof()
        self.form.busy = True
        self.refresh_bindings()

    @work(thread=True, group="job", exit_on_error=False)
    def _export(self, wish: Wish) -> None:
        try:
            with self.open_catalogue() as cat:
                [made] = client.export(
                    cat, wish.ref, to=wish.to, types=[wish.type], out=wish.out,
                    on_event=self._on_stage, cancel=self._cancel,
                )  # fmt: skip
            self.post_message(Ended(made, None))
        except WorkbenchError as error:
            self.post_message(Ended(None, error))

    @work(thread=True, group="job", exit_on_error=False)
    def _verify(self, record: Record) -> None:
        try:
            with self.open_catalogue() as cat:
                client.verify(
                    cat, Path(record.export.path), record.export.ref,
                    on_event=self._on_stage, cancel=self._cancel,
                )  # fmt: skip
            self.post_message(Ended(record.export, None))
        except WorkbenchError as error:
            self.post_message(Ended(None, error))

    def _on_stage(self, stage: Stage) -> None:
        self.post_message(Progressed(stage))

    @on(Progressed)
    def _progressed(self, event: Progressed) -> None:
        self.stages[event.stage.name] = event.stage
        self._show_proof()

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        cancelled = self._cancel.is_set()
        self.job = ""
        self.error = None if cancelled else event.error
        self.form.busy = False
        self._read()
        places = [
            place for place, record in enumerate(self.listing.records)
            if event.export is not None and record.export.id == event.export.id
        ]  # fmt: skip
        if places:
            self.listing.cursor = places[0]
            self.focus_on(self.listing)
            self._show_proof()
        if cancelled:
            self.say("Cancelled. Nothing was left behind.")
        self._changed()

    # -- actions -----------------------------------------------------------------------------

    def action_cancel(self) -> None:
        self._cancel.set()

    def action_chat(self) -> None:
        record = self.listing.current
        if record is not None:
            self.shell.visit(ChatWith((record.export.ref, record.export.path)))

    def action_verify(self) -> None:
        record = self.listing.current
        if record is not None and not self.job:
            self._begin(f"verify {Path(record.export.path).name}")
            self._verify(record)

    def action_copy(self) -> None:
        record = self.listing.current
        if record is not None:
            self.copy(record.export.path)

    def action_new(self) -> None:
        self.focus_on(self.form.first)

    def action_back(self) -> None:
        self.error = None
        self.focus_on(self.listing)
        self._show_proof()

    def action_down(self) -> None:
        self.listing.move(1)

    def action_up(self) -> None:
        self.listing.move(-1)

    def action_goto(self) -> None:
        self.listing.action_top()

    def action_bottom(self) -> None:
        self.listing.action_bottom()
