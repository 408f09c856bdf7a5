"""A document's bytes in stretches of whole lines, edits laid over, read once from front to back.

Knows runs and line ends. Does not know what is looked for. Memory is two buffers: a line longer
than `LONG` is handed out as a place in the file, to be looked at in windows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.data.dataset import Dataset
from engine.data.journal.changes import FileRun, OwnLine
from engine.data.rows import MAX_ROW_BYTES
from store.errors import Conflict

CHUNK = 1 << 18
"""Small enough to stay in a processor's cache between the read and the search."""
LONG = MAX_ROW_BYTES + CHUNK
WINDOW = 1 << 20
NEWLINE = 0x0A
_FEW = 32


class Chunk:
    """Whole lines: `buffer[:end]`, the first of them row `row`. Valid until the next is asked for.

    The last line of a file may lack its newline.
    """

    def __init__(self, size: int) -> None:
        self.row = 0
        self.end = 0
        self.rows: int | None = None
        """How many lines there are, where somebody has counted."""
        # One more than is read: the last line of a file ends in a newline here, whatever it has.
        self.buffer = bytearray(size + 1)
        self._folded: bytearray | None = None
        self._bytes = np.frombuffer(self.buffer, np.uint8)
        self._equal = np.empty(size + 1, np.bool_)

    def folded(self) -> bytearray:
        """The same bytes with bit 0x20 set: letters become small ones."""
        if self._folded is None:
            self._folded = bytearray(len(self.buffer))
        out = np.frombuffer(self._folded, np.uint8)
        np.bitwise_or(self._bytes[: self.end], 0x20, out=out[: self.end])
        return self._folded

    def newlines(self) -> npt.NDArray[np.int64]:
        """Where the newlines are."""
        return np.flatnonzero(self._marked())

    def lines_at(self, starts: list[int]) -> tuple[npt.NDArray[np.int64], int]:
        """In which lines (from 0) these places are, in order; and how many lines there are."""
        if len(starts) > _FEW:
            newlines = self.newlines()
            lines = np.searchsorted(newlines, np.array(starts)).astype(np.int64)
            return lines, len(newlines) + self.is_open
        # Counting between the places is quicker than listing every newline.
        marked, before = self._marked(), 0
        counts: list[int] = []
        for start in starts:
            counts.append(int(np.count_nonzero(marked[before:start])))
            before = start
        lines = np.cumsum(np.array(counts, np.int64))
        return lines, int(lines[-1] + np.count_nonzero(marked[before:])) + self.is_open

    def count(self) -> int:
        """How many lines there are."""
        return int(np.count_nonzero(self._marked())) + self.is_open

    @property
    def is_open(self) -> int:
        """1 where the last line lacks its newline, else 0."""
        return int(self.end > 0 and self.buffer[self.end - 1] != NEWLINE)

    def _marked(self) -> npt.NDArray[np.bool_]:
        end = self.end
        return np.equal(self._bytes[:end], NEWLINE, out=self._equal[:end])

    def contents(self) -> list[bytes]:
        """The lines without their endings."""
        lines = bytes(memoryview(self.buffer)[: self.end]).split(b"\n")
        if not lines[-1]:
            lines.pop()
        if lines and lines[0].endswith(b"\r"):
            return [line[:-1] if line.endswith(b"\r") else line for line in lines]
        return lines


@dataclass(frozen=True, slots=True)
class LongLine:
    """A row of more than `LONG` bytes, [start, end) of `fd` without its ending."""

    row: int
    fd: int
    start: int
    end: int

    def windows(self, overlap: int) -> Iterator[bytes]:
        """The line in pieces, each beginning with the last `overlap` bytes of the one before."""
        at, tail = self.start, b""
        while at < self.end:
            part = os.pread(self.fd, min(WINDOW, self.end - at), at)
            if not part:
                return
            at += len(part)
            yield tail + part
            tail = part[-overlap:] if len(part) >= overlap else (tail + part)[-overlap:]

    def head(self, size: int) -> bytes:
        """The first `size` bytes."""
        return os.pread(self.fd, min(size, self.end - self.start), self.start)


Part = Chunk | LongLine | OwnLine


def parts(data: Dataset, *, after: int = 0) -> Iterator[tuple[Part, int]]:
    """Everything from the row after `after` on; beside each part, how many bytes it took.

    Whole chunks are given, so the first may begin before that row.

    Raises:
        Conflict: the file was cut short while it was read.
    """
    reader = _Reader()
    for run in data.runs():
        if isinstance(run, OwnLine):
            if run.row > after:
                yield run, len(run.content)
        elif run.first_row + run.rows - 1 > after:
            yield from reader.read(run, data, after)


class _Reader:
    """Reads runs into one buffer, which grows where a line is longer than it."""

    def __init__(self) -> None:
        self.chunk = Chunk(CHUNK)

    def read(self, run: FileRun, data: Dataset, after: int) -> Iterator[tuple[Part, int]]:
        at, row, size = run.start, run.first_row, CHUNK
        while at < run.end:
            chunk = self._sized(size)
            want = min(size, run.end - at)
            got = os.preadv(run.fd, [memoryview(chunk.buffer)[:want]], at)
            if not got:
                raise Conflict(
                    f"{data.path}: the file was cut short while it was read",
                    "try again; unsaved edits are kept",
                )
            chunk.row, chunk.rows = row, None
            whole = at + got >= run.end
            chunk.end = got if whole else chunk.buffer.rfind(b"\n", 0, got) + 1
            if whole:
                chunk.buffer[got] = NEWLINE
            if chunk.end:
                used = chunk.end
                if row <= after:
                    chunk.rows = chunk.count()
                if chunk.rows is None or row + chunk.rows - 1 > after:
                    yield chunk, used
                at += used
                row += chunk.count() if chunk.rows is None else chunk.rows
                size = CHUNK
            elif size < LONG:
                size = min(LONG, size * 4)
            else:
                long = LongLine(row, run.fd, at, _line_end(run, at))
                if row > after:
                    yield long, long.end - at
                at, row, size = _after(run, long.end), row + 1, CHUNK

    def _sized(self, size: int) -> Chunk:
        if len(self.chunk.buffer) != size + 1:
            self.chunk = Chunk(size)
        return self.chunk


def _line_end(run: FileRun, at: int) -> int:
    while at < run.end:
        part = os.pread(run.fd, min(WINDOW, run.end - at), at)
        found = part.find(b"\n")
        if found >= 0:
            return at + found
        if not part:
            break
        at += len(part)
    return at


def _after(run: FileRun, end: int) -> int:
    return min(run.end, end + 1)
