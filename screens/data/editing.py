"""The part of the Data room that changes single rows, and takes changes back.

Knows which row is under the cursor. The document keeps the edits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from screens.data.views import Views
from screens.safe import line

if TYPE_CHECKING:
    from screens.data.fields import Field


class Editing(Views):
    """One row under the pen; undo and redo."""

    def action_edit(self) -> None:
        """Choose a text of the row, then edit it."""
        from screens.data.fields import favourite, fields
        from screens.widgets.modals import PickModal

        row = self.open_document.row(self.rows.number)
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

        whole = field.dotted == WHOLE
        text = field.text
        if whole:
            text = self.open_document.raw(number).decode("utf-8", "replace")

        def kept(new: str | None) -> None:
            if new is None or new == text or self.document is None:
                return
            if whole:
                self.document.replace(number, new.encode("utf-8", "replace"))
            else:
                self.document.set(number, field.dotted, new)
            self.changed(number, moved=False)

        def check(new: str) -> str | None:
            if "\n" in new:
                return "A row is one line: write line breaks inside a text as \\n."
            return parse_row(number, new.encode("utf-8", "replace")).error

        title = Content(f"row {number:,} · ") + line(field.dotted or "as JSON", "$text-muted")
        editor = EditModal(title, text, check if whole else None)
        self.app.push_screen(editor, self.guarded(kept))

    def changed(self, number: int | None = None, *, moved: bool = True) -> None:
        document = self.open_document
        self.forget_tokens(None if moved else number)
        self.rows.forget_rows()
        order = self.rows.order = self.below()
        self.rows.count = document.count if order is None else len(order)
        if number is not None:
            self.jump(number)
        self.show_row()
        self.tell()

    def action_delete(self) -> None:
        document = self.open_document
        number = self.rows.number
        document.delete(number)
        self.row_deleted(number)
        self.changed(min(number, document.count))
        self.say(f"Row {number:,} deleted. u brings it back.")

    def action_undo(self) -> None:
        self._undone(self.open_document.undo(), "undo")

    def action_redo(self) -> None:
        self._undone(self.open_document.redo(), "redo")

    def _undone(self, number: int | None, what: str) -> None:
        if number is None:
            self.say(f"Nothing to {what}.")
        else:
            self.changed(number)
