"""The part of the Data room that opens a file, reads on in it, and moves about.

Knows which document is open and where the cursor is. Finding the rest of the file is a worker's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.worker import get_current_worker

from screens.base import OpenFile, TrainOn, Visit
from screens.data.messages import Grown
from screens.data.shared import Shared
from screens.widgets.linelist import LineList
from store.errors import BadInput, Conflict

if TYPE_CHECKING:
    from engine.data.document import Document

LOOK_SECONDS = 0.1
"""How long a worker looks further into a file before it tells."""


class Browsing(Shared):
    """Opening, growing, and the keys that move the cursor."""

    # Opening

    def receive(self, visit: Visit) -> None:
        """Open the file that was handed over."""
        if isinstance(visit, OpenFile):
            self.open_file(visit.path, visit.row or 1)

    def open_file(self, path: Path | str, number: int = 1, *, force: bool = False) -> None:
        """Show a file, its first rows at once.

        Raises:
            NotFound, BadInput: there is no such file, or it cannot be read.
        """
        from engine.data.document import Document

        try:
            document = Document.open(self.catalogue, path, force=force)
        except Conflict as conflict:
            self.ask_about(conflict, Path(path))
            return
        self._show_document(document, number)

    def ask_about(self, conflict: Conflict, path: Path) -> None:
        """The file was changed underneath: let the person choose."""
        raise NotImplementedError

    def _show_document(self, document: Document, number: int) -> None:
        """Put a document in place of the one that was open."""
        for group in ("grow", "seek"):
            self.workers.cancel_group(self, group)
        if self.document is not None:
            self.document.close()
        self.document = document
        document.grow(seconds=LOOK_SECONDS / 2)
        self.remove_class("-empty", "-reading", "-finding")
        self.side.forget_tokens()
        self.rows.show(document)
        self.jump(number)
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

    # Moving

    def jump(self, number: int) -> None:
        self.rows.cursor = number - 1

    @on(LineList.Moved)
    def _moved(self) -> None:
        self.show_row()

    @on(LineList.Chosen)
    def action_side(self) -> None:
        """On a narrow screen the row takes the place of the list."""
        self.add_class("-reading")
        self.focus_on(self.side.scroller)

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
        self.copy(self.open_document.raw(self.rows.number).decode("utf-8", "replace"))

    def action_train(self) -> None:
        """Hand the file to the Train room."""
        document = self.open_document
        if document.unsaved:
            self.say(f"{document.unsaved:,} edits are not saved yet: s saves them.")
        self.shell.visit(TrainOn(str(document.path)))
