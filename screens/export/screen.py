"""The Export room: choose types, watch them being written and proved, read and use what there is.

Knows the form, and which of both is on screen. What is read is `reading`'s, what runs `working`'s.
"""

from __future__ import annotations

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

from screens.actions import bindings, room_actions
from screens.base import ExportRef, Visit
from screens.export.form import AboutPane, ExportForm
from screens.export.ledger import ExportList
from screens.export.looking import Outlook, Wish, look, models
from screens.export.reading import Reading
from screens.safe import line
from screens.widgets.field import Pick
from screens.widgets.linelist import LineList
from screens.widgets.modals import Choice, ChoiceModal, PickModal
from screens.widgets.pane import EmptyState, Pane, focus_within
from store.errors import WorkbenchError

LOOK_AFTER = 0.3
"""Seconds after the last change of the form until what it says is looked at."""


class Looked(Message):
    """A worker looked at what there is to choose from; `error` is why there is nothing."""

    def __init__(
        self, wish: Wish, outlook: Outlook | None, error: WorkbenchError | None = None
    ) -> None:
        super().__init__()
        self.wish = wish
        self.outlook = outlook
        self.error = error


class ExportRoom(Reading):
    """From a trained model to files that are proved to answer like it."""

    ROOM = "export"
    TITLE_WORDS = (
        "Write a trained model as files, and read the proof that each answers the same. ★ is "
        "recommended; ° was merged into the base's own 16-bit weights."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("export"))]

    def __init__(self) -> None:
        super().__init__()
        self._look_timer: Timer | None = None
        self._starting: Wish | None = None
        """What is to be written once it was looked at again."""

    def compose_room(self) -> ComposeResult:
        with Container(id="choosing"):
            yield ExportForm()
            yield AboutPane()
        with Container(id="reading"):
            with Pane(id="exports-pane"):
                yield Static(id="export-heading")
                yield ExportList()
                yield EmptyState(
                    "An export is done when it is proved: kept here with what was found.",
                    (("n", "describe the first"), ("V", "verify a file made elsewhere")),
                    widget_id="no-exports",
                )
            with Container(id="below"):
                with Pane(id="proof-pane"), VerticalScroll(id="proof-scroll", can_focus=False):
                    yield Static(id="proof-words")
                with Pane(id="compare-pane"), VerticalScroll(id="compare-scroll", can_focus=False):
                    yield Static(id="compare-words")

    def on_mount(self) -> None:
        self.query_one("#exports-pane", Pane).title_is(Content("exports"))
        self.query_one("#compare-pane", Pane).title_is(Content("size against divergence"))
        self.set_class(self.roomy, "-compare")
        self.read_again()
        ref, label = models(self.catalogue)[0]
        self.form.fill(ref=ref, label=label)
        self.show_form(not self.listing.count)

    @property
    def form(self) -> ExportForm:
        return self.query_one(ExportForm)

    def receive(self, visit: Visit) -> None:
        if isinstance(visit, ExportRef):
            self.form.fill(ref=visit.ref, label=dict(models(self.catalogue)).get(visit.ref, ""))
            self.show_form(True)

    def show_form(self, form: bool) -> None:
        """Show the form, or the list with what is known of its exports."""
        self.set_class(form, "-form")
        self.set_class(not form, "-read")
        self.focus_on(self.form.first if form else self.listing)
        self.call_after_refresh(self.show_proof)
        self.call_after_refresh(self.show_about)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "start":
            return self.choosing and self.progress is None
        if action == "tick":
            return self.choosing and focus_within(self.form.types)
        if action == "more":
            return self.choosing and self.form.divisible
        if action == "cancel":
            return self.progress is not None
        if action == "new":
            return not self.choosing
        if action == "back":
            return self.choosing or self.error is not None or self.progress is not None
        return super().check_action(action, parameters)

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self.read_again()

    def on_resize(self) -> None:
        self.set_class(not self.roomy, "-tight")
        self.call_after_refresh(self.show_proof)
        self.call_after_refresh(self.show_about)

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        if event.sender is self.form.types:
            self.show_about()
        else:
            self.look_at_current()

    # -- the form ----------------------------------------------------------------------------

    def show_about(self) -> None:
        """The type under the cursor, where there is room beside the form."""
        if self.choosing and self.roomy:
            self.query_one(AboutPane).show(self.form.types, self.form.outlook)

    @on(Pick.Wanted)
    def _pick(self, event: Pick.Wanted) -> None:
        event.stop()

        found = models(self.catalogue)

        def chosen(ref: str | None) -> None:
            if ref is not None:
                self.form.fill(ref=ref, label=dict(found).get(ref, ""))

        modal = PickModal(
            "Export", found, current=self.form.wish.ref,
            placeholder="or type a reference", free=True,
        )  # fmt: skip
        self.app.push_screen(modal, chosen)

    @on(ExportForm.Changed)
    def _changed(self) -> None:
        if self._look_timer is not None:
            self._look_timer.stop()
        self._look_timer = self.set_timer(LOOK_AFTER, self._look_now)

    def _look_now(self) -> None:
        if self.form.wish.ref:
            self._look(self.form.wish)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, wish: Wish) -> None:
        try:
            with self.open_catalogue() as cat:
                self.post_message(Looked(wish, look(cat, wish)))
        except WorkbenchError as error:
            self.post_message(Looked(wish, None, error))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        if event.wish != self.form.wish:
            return
        self.form.show(event.outlook, event.error)
        self.show_about()
        starting, self._starting = self._starting == event.wish, None
        ready = event.outlook is not None and event.outlook.plan is not None
        if starting and ready and self.form.types.ticked and self.progress is None:
            assert event.outlook is not None
            self._begin_asking(event.wish, event.outlook.replaced)

    def _begin_asking(self, wish: Wish, replaced: tuple[Path, ...]) -> None:
        """Export; what lies under one of the names is replaced only if a person says so."""
        types = self.form.types.ticked
        if not replaced:
            self.export(wish, types)
            return

        def answered(answer: str | None) -> None:
            if answer == "yes" and self.progress is None:
                self.export(wish, types, force=True)

        more = f" and {len(replaced) - 1} more" if len(replaced) > 1 else ""
        question = line(replaced[0].name) + Content(f"{more}: there already. Replace?")
        choices = (Choice("r", "replace it, once the new one is proved", "yes"),
                   Choice("n", "keep it", "no"))  # fmt: skip
        self.app.push_screen(ChoiceModal("Replace", question, choices), self.guarded(answered))

    @on(ExportForm.Start)
    def action_start(self) -> None:
        """Look once more, and begin if it can be written."""
        self._starting = self.form.wish
        self._look_now()

    def action_tick(self) -> None:
        self.form.types.action_tick()

    def action_more(self) -> None:
        self.form.toggle_more()

    def began(self) -> None:
        super().began()
        self.form.busy = True
        self.show_form(False)

    def ended(self, made: list[Path]) -> bool:
        self.form.busy = False
        self._changed()
        return super().ended(made)

    # -- actions -----------------------------------------------------------------------------

    def action_new(self) -> None:
        self.show_form(True)

    def action_back(self) -> None:
        self.error = None
        self.following = self.progress is not None
        self.read_again()
        self.show_form(False)

    @property
    def _moving(self) -> LineList:
        return self.form.types if self.choosing else self.listing

    def action_down(self) -> None:
        self._step(1)

    def action_up(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        if self.choosing:
            self.focus_on(self.form.types)
        self._moving.move(by)

    def action_goto(self) -> None:
        self._moving.action_top()

    def action_bottom(self) -> None:
        self._moving.action_bottom()
