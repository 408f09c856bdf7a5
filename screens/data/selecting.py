"""The part of the Data room that marks rows, so that one key does something to all of them.

Knows which rows are marked. What is done to them is in `bulk`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screens.data.views import Views
from screens.widgets import words

if TYPE_CHECKING:
    from engine.data.journal.shift import Shift
    from screens.data.rowset import Rows, Selection


class Selecting(Views):
    """Marks on single rows, on a range, and on all that is listed."""

    def __init__(self) -> None:
        super().__init__()
        self._selection: Selection | None = None

    @property
    def selection(self) -> Selection:
        from screens.data.rowset import Selection

        if self._selection is None:
            self._selection = Selection()
        return self._selection

    @property
    def selected(self) -> int:
        """How many rows are marked."""
        return len(self._selection) if self._selection is not None else 0

    def is_marked(self, number: int) -> bool:
        """Whether a row is marked."""
        return self._selection is not None and number in self._selection

    def targets(self) -> Rows:
        """The marked rows, or the one under the cursor where none is."""
        from screens.data.rowset import rows_of

        self._close_range()
        return self.selection.rows() if self.selected else rows_of([self.rows.number])

    def target_words(self) -> str:
        """`row 214`, or `12 rows`."""
        count = self.selected
        return words.plural(count, "row") if count else f"row {self.rows.number:,}"

    def action_mark(self) -> None:
        """Mark the row, or take its mark off, and go on."""
        number = self.rows.number
        self.selection.set(number, number not in self.selection)
        self.rows.move(1)
        self._marks_changed()

    def action_mark_range(self) -> None:
        """Begin a range here, or mark from where it began up to here."""
        if self.rows.range_from is None:
            self.rows.range_from = self.rows.cursor
        else:
            self._close_range()
        self._marks_changed()

    def action_mark_all(self) -> None:
        """Mark all that is listed; once more takes the marks off."""
        listed = self.rows.order
        if self.selected == self.rows.count:
            self.selection.clear()
        else:
            self.selection.take(range(1, self.rows.count + 1) if listed is None else listed)
        self.rows.range_from = None
        self._marks_changed()

    def unmark(self) -> bool:
        """Take all marks off; False when there are none."""
        if self.rows.range_from is None and not self.selected:
            return False
        if self.rows.range_from is not None:
            self.rows.range_from = None
        else:
            self.selection.clear()
        self._marks_changed()
        return True

    def shift_rows(self, shift: Shift) -> None:
        super().shift_rows(shift)
        self.rows.range_from = None
        if self.selected:
            self.selection.follow(shift)

    def forget_marks(self) -> None:
        """Nothing is marked."""
        self.rows.range_from = None
        if self._selection is not None:
            self._selection.clear()

    def _close_range(self) -> None:
        anchor = self.rows.range_from
        if anchor is None:
            return
        low, high = sorted((anchor, self.rows.cursor))
        self.rows.range_from = None
        for place in range(low, high + 1):
            self.selection.set(self.rows.number_at(place), True)

    def _marks_changed(self) -> None:
        self.rows.marked = self.is_marked
        self.rows.forget()
        self.tell()
