"""Looking for words in every row of a dataset, by its bytes.

Knows rows and what is looked for. Does not parse JSON. A row is found if its line matches: keys,
roles and the rest of the line included. Rows are numbered from 1, as the document stands.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.data.background.events import Hits
from engine.data.dataset import Dataset
from engine.data.find.chunks import Chunk, LongLine, parts
from engine.data.find.pattern import Pattern
from engine.data.journal.changes import OwnLine

__all__ = ["Batches", "Hits", "Pattern", "search"]

BATCH_SECONDS = 0.05
BATCH_ROWS = 1 << 16
OVERLAP = 64 << 10
"""In a line of more than four megabytes a match of a regular expression may be so long at most."""
_DENSE = 4
"""One line in so many has the words: from then on lines are walked one by one."""


class Batches:
    """Collects rows, and hands them out now and then."""

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._done = 0
        self._rows = array("Q")
        self._next = time.monotonic()

    def add(self, row: int) -> None:
        self._rows.append(row)

    def extend(self, rows: array[int] | list[int]) -> None:
        self._rows.extend(rows)

    def went(self, amount: int) -> bool:
        """So much more was looked at; True when it is time to hand out what was found."""
        self._done += amount
        return len(self._rows) >= BATCH_ROWS or time.monotonic() >= self._next

    def take(self, *, last: bool = False) -> Hits:
        """What was found since the last time."""
        rows, self._rows = self._rows, array("Q")
        self._next = time.monotonic() + BATCH_SECONDS
        return Hits(rows=rows, progress=1.0 if last else min(1.0, self._done / self._size))


def search(data: Dataset, pattern: Pattern, *, after: int = 0) -> Iterator[Hits]:
    """The rows after row `after` that have the pattern; the last batch has progress 1.

    Dropping the iterator ends the search.

    Raises:
        Conflict: the file was cut short while it was read.
    """
    # Of a packed or tabular file the runs are over an unpacked copy, whose size is not known.
    batches = Batches(data.size)
    looker = _Looker(pattern)
    for part, used in parts(data, after=after):
        if isinstance(part, Chunk):
            found = looker.rows(part)
            if part.row <= after:
                found = array("Q", (row for row in found if row > after))
            batches.extend(found)
        elif isinstance(part, OwnLine):
            if pattern.found(part.content):
                batches.add(part.row)
        elif in_long(pattern, part):
            batches.add(part.row)
        if batches.went(used):
            yield batches.take()
    yield batches.take(last=True)


class _Looker:
    """Finds the rows of a chunk in the way that suits how many lines have the words."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._dense = False
        self._needle = True

    def rows(self, chunk: Chunk) -> array[int]:
        if self._dense:
            counted = self._pattern.numbers(chunk.buffer, chunk.end)
            if counted is not None:
                found, chunk.rows = counted
                self._dense = len(found) * _DENSE > chunk.rows
                everywhere = len(found) == chunk.rows
                dense = np.arange(chunk.rows) if everywhere else np.array(found, np.int64)
                return _array(dense + chunk.row)
        starts = None
        if self._needle:
            folded = chunk.folded() if self._pattern.folds else None
            starts = self._pattern.through_needle(chunk.buffer, chunk.end, folded)
        if starts is None:
            self._needle = False
            starts = self._pattern.lines(chunk.buffer, chunk.end)
        if not starts:
            return array("Q")
        lines, chunk.rows = chunk.lines_at(starts)
        self._dense = len(starts) * _DENSE > chunk.rows
        return _array(lines + chunk.row)


def _array(rows: npt.NDArray[np.int64]) -> array[int]:
    found = array("Q")
    found.frombytes(rows.astype(np.uint64).tobytes())
    return found


def in_long(pattern: Pattern, line: LongLine) -> bool:
    """Is it in a line that is looked at in windows?"""
    overlap = max(OVERLAP, 12 * len(pattern.text))
    return any(pattern.found(window) for window in line.windows(overlap))
