"""Sets of rows by number: what is selected, and what a view lists.

Knows row numbers from 1, as arrays and ranges, so that ten million of them cost little. Does not
know what is in a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.data.journal.shift import Shift

    Rows = NDArray[np.int64]


def rows_of(numbers: Iterable[int]) -> Rows:
    """Row numbers as an array; an `array('Q')` is taken over whole."""
    if isinstance(numbers, np.ndarray):
        return numbers.astype(np.int64, copy=False)
    return np.array(numbers if isinstance(numbers, list) else list(numbers), dtype=np.int64)


def narrowed(order: Rows, kept: Rows) -> Rows:
    """The rows of `order`, in its order, that are in `kept`."""
    return order[np.isin(order, kept)]


def shifted(rows: Rows, shift: Shift) -> Rows:
    """Where rows are after edits, in the same order; without those that were deleted."""
    starts = np.array([run.start for run in shift.runs], dtype=np.int64)
    if not len(starts):
        return rows[:0]
    lengths = np.array([run.length for run in shift.runs], dtype=np.int64)
    nows = np.array([run.now for run in shift.runs], dtype=np.int64)
    at = np.searchsorted(starts, rows, side="right") - 1
    inside = rows - starts[at]
    kept = (at >= 0) & (inside < lengths[at])
    return (nows[at] + inside)[kept]


def with_row(order: Rows, number: int, ordered: bool) -> Rows:
    """The rows and one more: in its place, or, in an order of their own, after the row above it."""
    if number in order:
        return order
    if not ordered:
        return np.insert(order, int(np.searchsorted(order, number)), number)
    above = np.flatnonzero(order == number - 1)
    return np.insert(order, int(above[0]) + 1 if len(above) else len(order), number)


class Selection:
    """Rows a person marked: single ones, ranges, or a whole view."""

    def __init__(self) -> None:
        self._base: Rows | range = range(0)
        """Marked at once; an array is sorted."""
        self._more: set[int] = set()
        self._less: set[int] = set()

    def __len__(self) -> int:
        return len(self._base) + len(self._more) - len(self._less)

    def __contains__(self, number: int) -> bool:
        if number in self._more:
            return True
        return number not in self._less and self._in_base(number)

    def _in_base(self, number: int) -> bool:
        if isinstance(self._base, range):
            return number in self._base
        place = int(np.searchsorted(self._base, number))
        return place < len(self._base) and int(self._base[place]) == number

    def clear(self) -> None:
        """Nothing is marked."""
        self._base = range(0)
        self._more.clear()
        self._less.clear()

    def follow(self, shift: Shift) -> None:
        """Rows have other numbers after edits; the same rows stay marked."""
        self.take(shifted(self.rows(), shift))

    def set(self, number: int, marked: bool) -> None:
        """Mark one row, or take the mark off."""
        if marked:
            self._less.discard(number)
            if not self._in_base(number):
                self._more.add(number)
        else:
            self._more.discard(number)
            if self._in_base(number):
                self._less.add(number)

    def take(self, rows: Rows | range) -> None:
        """Mark all of these and nothing else."""
        self.clear()
        self._base = rows if isinstance(rows, range) else np.unique(rows)

    def rows(self) -> Rows:
        """The marked rows in order."""
        base = np.asarray(self._base, dtype=np.int64)
        if self._less:
            base = base[~np.isin(base, rows_of(self._less))]
        if not self._more:
            return base
        return np.union1d(base, rows_of(self._more))
