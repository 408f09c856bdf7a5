"""The Export room: choose types, watch them being written and proved, read and use what there is.

Knows what is on screen: the form, or the list with the proof of one. What runs is `working`'s.
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

from engine.export import advice
from screens.actions import bindings, room_actions
from screens.base import ExportRef, Visit
from screens.export.compare import compare_words
from screens.export.form import AboutPane, ExportForm
from screens.export.ledger import ExportList, Record, read_records
from screens.export.looking import Outlook, Wish, look, models
from screens.export.proof import error_words, proof_words
from screens.export.using import Using
from screens.safe import line
from screens.widgets import words
from screens.widgets.field import Pick
from screens.widgets.linelist import LineList
from screens.widgets.modals import PickModal
from screens.widgets.pane import EmptyState, Pane, focus_within
from store.errors import WorkbenchError

LOOK_AFTER = 0.3
"""Seconds after the last change of the form until what it says is looked at."""

ROOMY = 124
"""Columns from which on a second pane stands beside the first."""


class Looked(Message):
    """A worker looked at what there is to choose from; `error` is why there is nothing."""

    def __init__(
        self, wish: Wish, outlook: Outlook | None, error: WorkbenchError | None = None
    ) -> None:
        super().__init__()
        self.wish = wish
        self.outlook = outlook
        self.error = error


class ExportRoom(Using):
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
        self._starting = False
        self._following = False
        self._told = False
        self._shown: tuple[int | None, str] | None = None

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
    def listing(self) -> ExportList:
        return self.query_one(ExportList)

    @property
    def form(self) -> ExportForm:
        return self.query_one(ExportForm)

    @property
    def choosing(self) -> bool:
        """Whether the form is shown, and not the list."""
        return self.has_class("-form")

    @property
    def current(self) -> Record | None:
        return None if self.choosing else self.listing.current

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
        if action == "cancel":
            return self.progress is not None
        if action == "new":
            return not self.choosing
        if action == "back":
            return self.choosing or self.error is not None or self.progress is not None
        if action in ("limits", "compare", "read"):
            return self.current is not None
        return super().check_action(action, parameters)

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self.read_again()

    @property
    def roomy(self) -> bool:
        """Whether two panes fit beside each other."""
        return self.app.size.width >= ROOMY

    def on_resize(self) -> None:
        self.set_class(not self.roomy, "-tight")
        self.call_after_refresh(self.show_proof)
        self.call_after_refresh(self.show_about)

    # -- the list and the proof --------------------------------------------------------------

    def read_again(self) -> None:
        """Read every record."""
        self.listing.show(read_records(self.catalogue))
        self.set_class(not self.listing.count, "-empty")
        self.show_proof()
        self.refresh_bindings()
        if self.progress is None:
            count = words.plural(self.listing.count, "export")
            self.status = Content.styled(count, "$foreground 60%")

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        if event.sender is self.form.types:
            self.show_about()
            return
        record = self.listing.current
        if record is not None and record.key != self._shown:
            self._shown = record.key
            self._following = record.status == "running" and self.progress is not None
            self.error = None
            self.query_one("#proof-scroll").scroll_home(animate=False)
        self.show_proof()
        self.refresh_bindings()

    def show_proof(self) -> None:
        """The list's head, the proof, and what is compared with it."""
        if self.choosing or not self.listing.size.width:
            return  # nothing is laid out yet
        heading = self.listing.heading(self.listing.size.width)
        self.query_one("#export-heading", Static).update(Content(heading))
        self._show_one()
        self._show_compared(self.listing.current)

    def _show_one(self) -> None:
        """What runs, what went wrong, or the proof of the export under the cursor."""
        width = self.query_one("#proof-pane").size.width - 2
        if width < 0:
            return
        pane = self.query_one("#proof-pane", Pane)
        follows = self.progress is not None and self._following
        pane.set_class(follows, "-alive")
        record = self.listing.current
        if self.progress is not None and follows:
            pane.title_is(self.progress.title())
            shown = Content("\n").join(self.progress.lines(width))
        elif self.error is not None:
            pane.title_is(Content("what happened"))
            shown = error_words(self.error)
        elif record is not None:
            pane.title_is(line(f"proof of {record.path.name}"))
            shown = proof_words(record, width, told=self._told)
        else:
            pane.title_is(Content("proof"))
            shown = Content("")
        self.query_one("#proof-words", Static).update(shown)
        if follows:
            scroll = self.query_one("#proof-scroll")
            self.call_after_refresh(scroll.scroll_end, animate=False)

    def _show_compared(self, record: Record | None) -> None:
        """Every measured type of the model under the cursor, where there are several."""
        pane, room = self.query_one("#compare-pane", Pane), self.query_one("#below").size
        if not room.width or not self.has_class("-compare"):
            return
        width = room.width // (2 if self.roomy else 1) - 3
        shown = Content("")
        rows = advice.measured(self.catalogue, record.ref) if record is not None else []
        if record is not None and len(rows) > 1:
            here = record.export.id if record.export else None
            shown = compare_words(
                rows, advice.recommend(rows), advice.which_merge(rows), here,
                max(width, 40), room.height - 1,
            )  # fmt: skip
        elif record is not None:
            few = "Export another type of this model, and both are compared here."
            shown = Content.styled(few, "$foreground 60%")
        pane.title_is(line(f"{record.ref if record else ''}: size against divergence"))
        self.query_one("#compare-words", Static).update(shown)

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
        starting, self._starting = self._starting, False
        ready = event.outlook is not None and event.outlook.plan is not None
        if starting and ready and self.form.types.ticked and self.progress is None:
            self.export(event.wish, self.form.types.ticked)

    @on(ExportForm.Start)
    def action_start(self) -> None:
        """Look once more, and begin if it can be written."""
        self._starting = True
        self._look_now()

    def action_tick(self) -> None:
        self.form.types.action_tick()

    # -- the job -----------------------------------------------------------------------------

    def began(self) -> None:
        self._following = True
        self.form.busy = True
        self.show_form(False)
        self.show_progress()

    def show_progress(self) -> None:
        progress = self.progress
        if progress is None:
            return
        self.status = progress.status()
        if len(progress.stages) == 1 and not any(
            record.status == "running" for record in self.listing.records
        ):
            self.read_again()
            running = [r.path for r in self.listing.records if r.status == "running"]
            if running and self._following:
                self.listing.choose(running[-1])
        elif not self.choosing:
            self._show_one()

    def ended(self, made: list[Path]) -> bool:
        self.form.busy = False
        self._following = False
        self.read_again()
        if made:
            self.listing.choose(made[0])
        if len(made) > 1:
            self.add_class("-compare")
            self.call_after_refresh(self.show_proof)
        self._changed()
        proved = [r for r in self.listing.records if r.path in made and r.status == "proved"]
        return len(made) == len(proved) > 0

    # -- actions -----------------------------------------------------------------------------

    def action_new(self) -> None:
        self.show_form(True)

    def action_back(self) -> None:
        self.error = None
        self._following = self.progress is not None
        self.show_form(False)

    def action_read(self) -> None:
        """A page on, from the end back to the beginning."""
        proof = self.roomy or not self.has_class("-compare")
        scroll = self.query_one("#proof-scroll" if proof else "#compare-scroll")
        if scroll.scroll_y < scroll.max_scroll_y:
            scroll.scroll_page_down(animate=False)
        else:
            scroll.scroll_home(animate=False)

    def action_limits(self) -> None:
        self._told = not self._told
        self.show_proof()

    def action_compare(self) -> None:
        self.toggle_class("-compare")
        self.call_after_refresh(self.show_proof)

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
