"""The Data room: rows of a dataset, one of them read, edited and seen as training sees it.

Knows which document is open and what was asked of it. Does not know JSON, tokens or files:
the document edits, the renderer renders, worker threads do what takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from screens.actions import bindings, room_actions
from screens.base import OpenFile, TrainOn, Visit
from screens.data.finding import Finding
from screens.data.messages import Grown, Saved
from screens.data.preview import Preview
from screens.data.rowlist import RowList
from screens.data.side import Side
from screens.safe import line, text, visible
from screens.widgets import words
from screens.widgets.linelist import LineList
from screens.widgets.pane import EmptyState, Pane, empty_state
from store.errors import BadInput, Conflict, WorkbenchError

if TYPE_CHECKING:
    from engine.data.document import Document
    from screens.data.fields import Field

_KEYS = (("o", "open a starter dataset, a recent one, or a path"), ("?", "all keys"))
LOOK_SECONDS = 0.1
"""How long a worker looks further into a file before it tells."""


class DataRoom(Finding, Preview):
    """The list of rows, and the row beside it."""

    ROOM = "data"
    TITLE_WORDS = (
        "Rows of a JSONL file. Edits are kept at once and survive a crash; the file itself "
        "changes only when you save. ✎ edited · ! wants a look · ✗ cannot be read."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("data"))]

    def __init__(self) -> None:
        super().__init__()
        self.document: Document | None = None

    def compose_room(self) -> ComposeResult:
        with Pane(id="list"):
            yield Static(id="head")
            yield RowList()
            find = Input(placeholder="find words", id="find", compact=True)
            find.cursor_blink = False
            yield find
        yield Side()
        with Container(classes="nothing"):
            yield EmptyState("No dataset is open.", _KEYS)

    def on_mount(self) -> None:
        self.add_class("-empty")

    def on_unmount(self) -> None:
        if self.document is not None:
            self.document.close()

    @property
    def rows(self) -> RowList:
        return self.query_one(RowList)

    @property
    def side(self) -> Side:
        return self.query_one(Side)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        if action in ("open", "model", "back"):
            return True
        if action in ("undo", "redo", "save"):
            return self.document is not None
        if action == "side":
            return self.has_rows and not self.wide and not self.has_class("-reading")
        return self.has_rows

    @property
    def has_rows(self) -> bool:
        """Whether there is a row to do something with."""
        return self.document is not None and self.document.count > 0

    # Opening

    def receive(self, visit: Visit) -> None:
        """Open the file that was handed over."""
        if isinstance(visit, OpenFile):
            self.open_file(Path(visit.path), visit.row or 1)

    def open_file(self, path: Path, number: int = 1, *, force: bool = False) -> None:
        """Show a file, its first rows at once.

        Raises:
            NotFound, BadInput: there is no such file, or it cannot be read.
        """
        from engine.data.document import Document

        try:
            document = Document.open(self.catalogue, path, force=force)
        except Conflict as conflict:
            self._ask_about(conflict, lambda: self.open_file(path, number, force=True))
            return
        self._show_document(document, number)

    def _show_document(self, document: Document, number: int) -> None:
        """Put a document in place of the one that was open."""
        self.workers.cancel_group(self, "grow")
        self.workers.cancel_group(self, "seek")
        if self.document is not None:
            self.document.close()
        self.document = document
        document.grow(seconds=LOOK_SECONDS / 2)
        self.remove_class("-empty", "-reading", "-finding")
        self.side.forget_tokens()
        self.rows.show(document)
        self.rows.cursor = number - 1
        self.focus_on(self.rows)
        self.forget_tokens()
        self.show_row()
        self.load_renderer()
        if not document.complete:
            self._grow(document)
        self.tell()

    @work(thread=True, exclusive=True, group="grow", exit_on_error=False)
    def _grow(self, document: Document) -> None:
        worker = get_current_worker()
        complete = False
        while not complete and not worker.is_cancelled:
            complete = document.grow(seconds=LOOK_SECONDS)
            self.post_message(Grown(document, complete))

    @on(Grown)
    def _grown(self, event: Grown) -> None:
        if event.document is self.document:
            self.rows.count = event.document.count
            self.tell()

    def action_open(self) -> None:
        from screens.data import opening
        from screens.widgets.modals import PickModal

        def chosen(value: str | None) -> None:
            if value is None:
                return
            try:
                path = opening.locate(self.workspace, value)
            except OSError as error:
                raise BadInput(
                    f"{value}: cannot be copied into the workspace ({error.strerror})",
                    "Make room, or open a file of your own.",
                ) from error
            self.open_file(path)

        self.app.push_screen(
            PickModal(
                "Open a dataset",
                opening.choices(self.catalogue),
                placeholder="type to narrow, or the path of a .jsonl file",
                free=True,
            ),
            self.guarded(chosen),
        )

    # What is on screen

    def tell(self) -> None:
        """Title of the list and the status line."""
        document = self.document
        if document is None:
            return
        none = document.complete and not document.count
        self.set_class(none, "-empty")
        if none:
            what = f"{visible(document.path.name)} has no rows."
            keys = (("u", "take the last edit back"), *_KEYS) if document.unsaved else _KEYS
            self.query_one(EmptyState).update(empty_state(what, keys))
        title = line(document.path.name, "bold")
        count = (
            words.plural(document.count, "row")
            if document.complete
            else f"{document.count:,}+ rows"
        )
        title += Content.styled(f" · {count}", "$text-muted")
        if document.unsaved:
            title += Content.styled(f" · {document.unsaved:,} unsaved ✎", "$accent")
        self.query_one("#list", Pane).title_is(title)
        self.query_one("#head", Static).update(Content(self.rows.head))
        if not document.complete:
            self.status = Content.styled(f"reading {document.progress:.0%}", "$accent")
        elif document.unsaved:
            self.status = Content.styled(f"✎ {document.unsaved:,} unsaved", "$accent")
        else:
            self.status = Content.styled("saved", "$text-muted")
        self.refresh_bindings()

    @property
    def parting(self) -> str:
        if self.document is None or not self.document.unsaved:
            return ""
        name = visible(self.document.path.name)
        return f"{self.document.unsaved:,} unsaved edits of {name} are kept in the workspace."

    @on(LineList.Moved)
    def _moved(self) -> None:
        self.show_row()

    @on(LineList.Chosen)
    def action_side(self) -> None:
        """On a narrow screen the row takes the place of the list."""
        self.add_class("-reading")
        self.focus_on(self.side.scroller)

    def action_back(self) -> None:
        """From the search or the row to the list."""
        self.workers.cancel_group(self, "seek")
        self.remove_class("-finding", "-reading")
        if self.document is not None:
            self.focus_on(self.rows)
            self.tell()

    def action_goto(self) -> None:
        self.rows.action_top()

    def action_bottom(self) -> None:
        self.rows.action_bottom()

    def action_down(self) -> None:
        self.rows.move(1)

    def action_up(self) -> None:
        self.rows.move(-1)

    def action_half_down(self) -> None:
        self.rows.half_page(1)

    def action_half_up(self) -> None:
        self.rows.half_page(-1)

    def action_copy(self) -> None:
        assert self.document is not None
        self.copy(self.document.raw(self.rows.number).decode("utf-8", "replace"))

    def action_train(self) -> None:
        """Hand the file to the Train room."""
        assert self.document is not None
        if self.document.unsaved:
            self.say(f"{self.document.unsaved:,} edits are not saved yet: s saves them.")
        self.shell.visit(TrainOn(str(self.document.path)))

    # Editing

    def action_edit(self) -> None:
        """Choose a text of the row, then edit it."""
        from screens.data.fields import favourite, fields
        from screens.widgets.modals import PickModal

        assert self.document is not None
        row = self.document.row(self.rows.number)
        found = fields(row)
        if len(found) == 1:
            self._edit(row.number, found[0])
            return
        by_place = {field.dotted: field for field in found}

        def chosen(dotted: str | None) -> None:
            if dotted is not None:
                self._edit(row.number, by_place[dotted])

        items = [(f.dotted, f"{f.label[:11]:<12} {' '.join(f.text[:80].split())}") for f in found]
        self.app.push_screen(
            PickModal(f"Edit row {row.number:,}", items, current=favourite(found).dotted),
            self.guarded(chosen),
        )

    def _edit(self, number: int, field: Field) -> None:
        from engine.data.rows import parse_row
        from screens.data.editor import EditModal
        from screens.data.fields import WHOLE

        assert self.document is not None
        whole = field.dotted == WHOLE
        text = field.text
        if whole:
            text = self.document.raw(number).decode("utf-8", "replace")

        def kept(new: str | None) -> None:
            if new is None or new == text or self.document is None:
                return
            if whole:
                self.document.replace(number, new.encode("utf-8", "replace"))
            else:
                self.document.set(number, field.dotted, new)
            self._edited(number)

        def check(new: str) -> str | None:
            if "\n" in new:
                return "A row is one line: write line breaks inside a text as \\n."
            return parse_row(number, new.encode("utf-8", "replace")).error

        title = Content(f"row {number:,} · ") + line(field.dotted or "as JSON", "$text-muted")
        editor = EditModal(title, text, check if whole else None)
        self.app.push_screen(editor, self.guarded(kept))

    def _edited(self, number: int) -> None:
        """Rows are not what they were: ask for them again and go to the one that changed."""
        assert self.document is not None
        same_rows = self.rows.count == self.document.count
        self.forget_tokens(number if same_rows else None)
        self.rows.count = self.document.count
        self.rows.cursor = number - 1
        self.rows.forget()
        self.show_row()
        self.tell()

    def action_delete(self) -> None:
        assert self.document is not None
        number = self.rows.number
        self.document.delete(number)
        self._edited(min(number, self.document.count))
        self.say(f"Row {number:,} deleted. u brings it back.")

    def action_undo(self) -> None:
        self._undone(self.document.undo() if self.document else None, "undo")

    def action_redo(self) -> None:
        self._undone(self.document.redo() if self.document else None, "redo")

    def _undone(self, number: int | None, what: str) -> None:
        if number is None:
            self.say(f"Nothing to {what}.")
        else:
            self._edited(number)

    # Saving

    def action_save(self) -> None:
        assert self.document is not None
        if not self.document.unsaved:
            self.say("Nothing to save.")
            return
        self.status = Content.styled("saving …", "$accent")
        self._save(self.document.path, force=False)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, path: Path, force: bool) -> None:
        """Save through a document of its own: the journal is in the catalogue, not in memory."""
        from engine.data.document import Document

        try:
            if not path.exists():
                raise BadInput(
                    f"{path}: the file is gone since it was opened",
                    "Put it back and save again; the edits are kept in the workspace.",
                )
            with (
                self.open_catalogue() as cat,
                Document.open(cat, path, force=force) as document,
            ):
                self.post_message(Saved(document.save(force=force)))
        except Conflict as conflict:
            self.post_message(Saved(None, conflict))
        except WorkbenchError:
            self.post_message(Saved(None))
            raise

    @on(Saved)
    def _saved(self, event: Saved) -> None:
        document = self.document
        if document is None:
            return
        if event.conflict is not None:
            self.tell()
            self._ask_about(event.conflict, self._save_anyway)
        elif event.report is None:
            self.tell()
        else:
            self.open_file(document.path, self.rows.number)
            self.say(f"Saved {event.report.rows:,} rows, {event.report.bytes:,} bytes.")

    def _save_anyway(self) -> None:
        assert self.document is not None
        self._save(self.document.path, force=True)

    def _ask_about(self, conflict: Conflict, anyway: Callable[[], None]) -> None:
        """The file was changed underneath: say so, and let the person choose."""
        from screens.widgets.modals import Choice, ChoiceModal

        def chosen(answer: str | None) -> None:
            if answer == "anyway":
                anyway()

        choices = (Choice("a", "put my edits on top of the file as it is now", "anyway"),)
        question = text(conflict.message) + text(f"\n{conflict.hint}", "$text-muted")
        modal = ChoiceModal("The file was changed outside", question, choices)
        self.app.push_screen(modal, self.guarded(chosen))
