"""The whole document from front to back, in large reads: what every scan of all rows uses.

Knows pieces and byte ranges. Does not know JSON; long lines come as they are up to
`MAX_ROW_BYTES`, longer ones by their head, so that memory stays flat whatever the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.data.file.lines import Lines
from engine.data.journal.changes import FileRun, OwnLine
from engine.data.journal.pieces import OwnRow, split_ending
from engine.data.rows import HEAD_BYTES, MAX_ROW_BYTES
from store.errors import Conflict

READ = 1 << 20
_LOOK = 0.05
"""Seconds that a scan looks ahead in a file whose rows are not all known yet."""


def runs(lines: Lines, start: int = 0) -> Iterator[FileRun | OwnLine]:
    """The document as stretches of the file and lines of our own, from line `start` (from 0)."""
    index, row = lines.index, 0
    for piece in list(lines.pieces):
        if isinstance(piece, OwnRow):
            if row >= start:
                yield OwnLine(row + 1, piece.content)
            row += 1
            continue
        at = piece.start + max(0, min(start - row, len(piece)))
        row += at - piece.start
        while at < piece.stop:
            known = min(piece.stop, len(index))
            if at < known:
                yield FileRun(
                    row + 1, known - at, index.fileno(), index.start(at), index.start(known)
                )
                row, at = row + known - at, known
            elif index.complete:
                return
            else:
                index.grow(seconds=_LOOK)


def iter_raw(lines: Lines, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Rows [start, stop) as (number, content), numbered from 1.

    Raises:
        Conflict: the file was cut short, or closed, while it was read.
    """
    for run in runs(lines, start - 1):
        if isinstance(run, OwnLine):
            if stop is not None and run.row >= stop:
                return
            yield run.row, run.content
            continue
        number = run.first_row
        for content in _split(lines, run):
            if stop is not None and number >= stop:
                return
            yield number, content
            number += 1


def _split(lines: Lines, run: FileRun) -> Iterator[bytes]:
    """The lines of one run without their endings."""
    at, left, begun, length = run.start, run.rows, b"", 0
    while at < run.end:
        chunk = lines.index.read(at, min(run.end, at + READ))
        if not chunk:
            break
        at += len(chunk)
        parts = chunk.split(b"\n")
        if len(parts) > 1:
            left -= len(parts) - 1
            yield _whole(begun, length, parts[0])
            for part in parts[1:-1]:
                yield part[:-1] if part.endswith(b"\r") else part
            begun, length = b"", 0
        # Of a line that is too long only the head is kept while the rest goes by.
        length += len(parts[-1])
        if len(begun) <= MAX_ROW_BYTES:
            begun += parts[-1]
    if left == 1 and length:
        left = 0
        yield _whole(begun, length, b"")
    if left:
        raise Conflict(
            f"{lines.index.path}: the file was cut short or changed while it was read",
            "try again; unsaved edits are kept",
        )


def _whole(begun: bytes, length: int, rest: bytes) -> bytes:
    if length + len(rest) > MAX_ROW_BYTES + 2:
        return (begun + rest)[:HEAD_BYTES]
    return split_ending(begun + rest + b"\n")[0] if begun or rest else b""
