"""Changes to be made at once, however many: what rows become lies in a file, not in memory.

Knows changes and where their bytes are. Does not know documents. Rows, kinds and places are
arrays, some twenty bytes a change.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from engine.data.journal.changes import Change, Delete, Insert, Replace
from engine.data.journal.pieces import Ink

_KINDS: tuple[type[Change], ...] = (Replace, Delete, Insert)


class Batch(Sequence[Change]):
    """A list of changes that only grows."""

    def __init__(self, folder: Path, changes: Iterable[Change] = ()) -> None:
        """`folder`: where bytes go that are too many for memory, into a file without a name."""
        self._ink = Ink(folder)
        self._kinds, self._rows = array("B"), array("Q")
        self._places, self._sizes = array("Q"), array("Q")
        for change in changes:
            self.append(change)

    def append(self, change: Change) -> None:
        """Add one."""
        raw = b"" if isinstance(change, Delete) else change.raw
        self._kinds.append(_KINDS.index(type(change)))
        self._rows.append(change.before_row if isinstance(change, Insert) else change.row)
        self._places.append(self._ink.add(raw))
        self._sizes.append(len(raw))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> list[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | list[Change]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        row = self._rows[at]
        if _KINDS[self._kinds[at]] is Delete:
            return Delete(row)
        raw = self._ink.read(self._places[at], self._sizes[at])
        return Replace(row, raw) if _KINDS[self._kinds[at]] is Replace else Insert(row, raw)

    def __iter__(self) -> Iterator[Change]:
        return (self[at] for at in range(len(self)))

    def order(self) -> Iterator[tuple[int, bool]]:
        """The row of each change, and whether it is an insertion; without reading any."""
        inserts = _KINDS.index(Insert)
        return ((row, kind == inserts) for row, kind in zip(self._rows, self._kinds, strict=True))
