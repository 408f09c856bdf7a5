"""Several files as one dataset, as it is looked at: their rows one after the other.

Knows which file a row is in. Does not change anything: see `Several`.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import msgspec

from engine.data.document import Document
from engine.data.editable import Editable
from engine.data.journal.changes import Changed, FileRun, OwnLine, Place, Status
from engine.data.journal.shift import Run, Shift
from engine.data.rows import Row
from store.catalogue import Catalogue
from store.errors import NotFound


class Joined(Editable):
    """The rows of files in the order of their names, numbered from 1 through all of them."""

    format = "several"
    compression = None

    def __init__(self, cat: Catalogue, path: Path, dataset_id: int, files: list[Document]) -> None:
        self.path = path
        self.dataset_id = dataset_id
        self.files = files
        self._cat = cat

    @property
    def name(self) -> str:
        """What to call it on a screen."""
        return f"{self.path.name if ',' not in str(self.path) else self.files[0].name} …"

    @property
    def title(self) -> str:
        return str(self.path)

    @property
    def trouble(self) -> str | None:
        """What is wrong with one of the files as a whole, in one line."""
        found = ((file.path, file.trouble) for file in self.files)
        return next((f"{path}: {trouble}" for path, trouble in found if trouble), None)

    @property
    def count(self) -> int:
        """Rows known so far: of the files up to the first that is not known whole."""
        return self._ends()[-1]

    @property
    def complete(self) -> bool:
        """Have all files been looked at?"""
        return all(file.complete for file in self.files)

    @property
    def progress(self) -> float:
        """The share of the bytes that have been looked at, 0 to 1."""
        seen = sum(file.progress * file.size for file in self.files)
        return seen / self.size if self.size else 1.0

    @property
    def size(self) -> int:
        """Bytes of the files as they were opened."""
        return sum(file.size for file in self.files)

    @property
    def unsaved(self) -> int:
        """How many changes of rows the files do not have yet."""
        return sum(file.unsaved for file in self.files)

    @property
    def moment(self) -> int:
        """The id of the last thing that happened to any of the files; see `shift`."""
        return max(file.moment for file in self.files)

    def grow(self, seconds: float | None = None) -> bool:
        """Look further into the files for about so long; True when all of them are known."""
        stop = None if seconds is None else time.monotonic() + seconds
        done = True
        for file in self.files:
            left = None if stop is None else max(0.0, stop - time.monotonic())
            done = file.grow(left if done else 0.0) and done
        return done

    def row(self, n: int) -> Row:
        """Row `n`, parsed; its errors name the line in the whole."""
        file, local = self._at(n)
        row = file.row(local)
        return _renumbered(row, n, local)

    def raw(self, n: int) -> bytes:
        """The bytes of row `n` without its line ending. Raises: NotFound."""
        file, local = self._at(n)
        return file.raw(local)

    def rows(self, start: int, n: int) -> list[Row]:
        """Up to `n` rows from row `start` on, as far as they are known."""
        return [self.row(number) for number in range(start, min(start + n, self.count + 1))]

    def status(self, n: int) -> Status:
        """Is row `n` as in its file, edited, or added?"""
        file, local = self._at(n)
        return file.status(local)

    def edited(self, n: int) -> bool:
        """Does row `n` differ from its file by an unsaved edit?"""
        file, local = self._at(n)
        return file.edited(local)

    def locate(self, n: int) -> Place:
        """Which file row `n` is in, and its line there."""
        file, local = self._at(n)
        return file.locate(local)

    def changes(self) -> list[Changed]:
        """The unsaved difference against the files; `file_line` counts within each file."""
        self.grow()
        return [
            replace(found, row=found.row and found.row + first, path=file.path)
            for file, first in self._firsts()
            for found in file.changes()
        ]

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Rows [start, stop) as (number, content), file after file."""
        first = 0
        for file in self.files:
            if stop is not None and first + 1 >= stop:
                return
            if not file.complete or first + file.count >= start:
                local = None if stop is None else stop - first
                for number, content in file.iter_raw(max(1, start - first), local):
                    yield first + number, content
            file.grow()
            first += file.count

    def runs(self) -> Iterator[FileRun | OwnLine]:
        """All files as untouched stretches and lines of our own."""
        first = 0
        for file in self.files:
            for run in file.runs():
                if isinstance(run, OwnLine):
                    yield replace(run, row=run.row + first)
                else:
                    yield replace(run, first_row=run.first_row + first)
            file.grow()
            first += file.count

    def shift(self, since: int) -> Shift:
        """Where rows that were numbered at the moment `since` are now."""
        runs: list[Run] = []
        then, outside, added = 0, False, 0
        self.grow()
        for file, first in self._firsts():
            way = file.shift(since)
            had = file.count - way.added
            for run in way.runs:
                length = min(run.length, had - run.start + 1)
                if length > 0:
                    runs.append(Run(run.start + then, length, run.now + first, run.touched))
            then += had
            outside |= way.outside
            added += way.added
        return Shift(runs, outside, added)

    def reach(self, n: int) -> None:
        self._at(n)

    def _at(self, n: int) -> tuple[Document, int]:
        """The file that holds row `n`, and the row's number in it."""
        while True:
            ends = self._ends()
            if 1 <= n <= ends[-1]:
                at = bisect_left(ends, n)
                return self.files[at], n - (ends[at - 1] if at else 0)
            if n < 1 or (len(ends) == len(self.files) and self.files[-1].complete):
                raise self.no_row(n)
            last, before = self.files[len(ends) - 1], ends[-2] if len(ends) > 1 else 0
            with contextlib.suppress(NotFound):
                last.reach(n - before)

    def _ends(self) -> list[int]:
        """The last row of each file, up to the first that is not known whole."""
        counts = []
        for file in self.files:
            complete = file.complete
            counts.append(file.count)
            if not complete:
                break
        return list(accumulate(counts))

    def _firsts(self) -> Iterator[tuple[Document, int]]:
        """Each file and how many rows lie before it; all must be known."""
        first = 0
        for file in self.files:
            yield file, first
            first += file.count


def _renumbered(row: Row, number: int, local: int) -> Row:
    """A row of one file as a row of the whole."""
    error = row.error
    if error is not None:
        error = error.replace(f"line {local}:", f"line {number}:", 1)
    return msgspec.structs.replace(row, number=number, error=error)
