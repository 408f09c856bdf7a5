"""What a whole dataset holds: how many rows of which shape, and which are bad.

Knows how to read every row once, on all processors. Does not know models, or what to do about a
bad row.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.data.journal.changes import FileRun, OwnLine
from engine.data.rows import HEAD_BYTES, MAX_ROW_BYTES, parse_row
from store.errors import Conflict

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

MAX_BAD = 1000
"""So many bad rows are named; all are counted."""
_READ = 1 << 20
_SHARE = 16 << 20
_PARALLEL_FROM = 64 << 20
"""A smaller dataset is read sooner than processes start."""
_MOST_PROCESSES = 8


@dataclass(slots=True)
class Census:
    """Counts over rows.

    Attributes:
        shapes, dialects, purposes: rows of each that can be read.
        bad_rows: how many cannot.
        bad: the numbers of the first of them, from 1.
    """

    rows: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    dialects: Counter[str] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    bad: list[int] = field(default_factory=list)

    def take(self, raw: bytes) -> None:
        """Count one row."""
        self.rows += 1
        row = parse_row(self.rows, raw)
        if row.error is not None:
            self.bad_rows += 1
            if len(self.bad) < MAX_BAD:
                self.bad.append(self.rows)
            return
        self.shapes[row.shape] += 1
        self.dialects[row.dialect] += 1
        self.purposes[row.purpose] += 1

    def join(self, other: Census) -> None:
        """Add the counts of the rows that follow."""
        room = MAX_BAD - len(self.bad)
        self.bad += [self.rows + row for row in other.bad[:room]]
        self.rows += other.rows
        self.bad_rows += other.bad_rows
        self.shapes += other.shapes
        self.dialects += other.dialects
        self.purposes += other.purposes


def census(data: Dataset, tell: Callable[[int], None] | None = None) -> Census:
    """Count all rows of `data`, which is complete.

    Args:
        tell: is called now and then with the rows counted so far.
    Raises:
        Conflict: the file was cut short while it was read.
    """
    total = Census()
    processes = min(_MOST_PROCESSES, os.cpu_count() or 1)
    parallel = data.size >= _PARALLEL_FROM and processes > 1 and os.path.isdir("/proc/self/fd")
    if not parallel:
        for number, raw in data.iter_raw():
            total.take(raw)
            if tell is not None and not number % 4096:
                tell(number)
        return total
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=start) as pool:
        waiting: list[Future[Census]] = []
        for part in _parts(data):
            if isinstance(part, Census):
                done: Future[Census] = Future()
                done.set_result(part)
                waiting.append(done)
            else:
                waiting.append(pool.submit(count_range, *part))
            while len(waiting) > 2 * processes:
                total.join(_result(data, waiting.pop(0)))
                if tell is not None:
                    tell(total.rows)
        for future in waiting:
            total.join(_result(data, future))
            if tell is not None:
                tell(total.rows)
    return total


def _result(data: Dataset, future: Future[Census]) -> Census:
    try:
        return future.result()
    except EOFError:
        raise Conflict(
            f"{data.path}: the file was cut short while it was read",
            "try again; unsaved edits are kept",
        ) from None


def _parts(data: Dataset) -> Iterator[Census | tuple[str, int, int]]:
    """The document in order: own lines counted, and ranges of files to be counted."""
    for run in data.runs():
        if isinstance(run, OwnLine):
            own = Census()
            own.take(run.content)
            yield own
            continue
        at = run.start
        while at < run.end:
            end = _line_end(run, at + _SHARE)
            yield f"/proc/{os.getpid()}/fd/{run.fd}", at, end
            at = end


def _line_end(run: FileRun, at: int) -> int:
    """The first end of a line from `at` on."""
    while at < run.end:
        piece = os.pread(run.fd, 64 << 10, at)
        found = piece.find(b"\n")
        if found >= 0:
            return min(at + found + 1, run.end)
        if not piece:
            break
        at += len(piece)
    return run.end


def count_range(path: str, start: int, end: int) -> Census:
    """Count the lines in the bytes [start, end) of a file.

    Raises:
        EOFError: the file ends before that.
    """
    found = Census()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        rest = b""
        while start < end and (piece := os.pread(fd, min(_READ, end - start), start)):
            start += len(piece)
            first, *lines = piece.split(b"\n")
            # Of a line that is too long the head is enough to say so.
            rest = rest + first if len(rest) <= MAX_ROW_BYTES + HEAD_BYTES else rest
            for line in lines:
                found.take(rest.removesuffix(b"\r"))
                rest = line
        if start < end:
            raise EOFError
        if rest:
            found.take(rest)
    finally:
        os.close(fd)
    return found
