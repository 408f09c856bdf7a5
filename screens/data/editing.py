"""The part of the Data room that takes rows away, and takes changes back.

Knows which row is under the cursor. The document keeps the edits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screens.data.views import Views

if TYPE_CHECKING:
    from engine.data.dataset import Step


class Editing(Views):
    """Rows that go, undo and redo."""

    def changed(self, number: int | None = None, *, moved: bool = True) -> None:
        document = self.open_document
        if moved:
            self.follow_edits()
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
        self.changed(number)
        self.say(f"Row {number:,} deleted. u brings it back.")

    def action_undo(self) -> None:
        self._undone(self.open_document.undo(), "undo")

    def action_redo(self) -> None:
        self._undone(self.open_document.redo(), "redo")

    def _undone(self, step: Step | None, what: str) -> None:
        if step is None:
            self.say(f"Nothing to {what}.")
            return
        self.follow_edits()
        if self.views and step.row <= self.open_document.count:
            self.list_row(step.row)
        self.changed(step.row)
        if step.rows_changed > 1:
            self.say(f"{what}: {step.label}, {step.rows_changed:,} rows")
