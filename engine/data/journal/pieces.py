"""A piece table: which lines of the file, and which lines of our own, make up the document.

Knows row numbers (from 0) and the bytes of edited lines. Does not know the file, its offsets or
how many rows it has: the last piece is the rest of the file, however long that is.

Pieces lie in blocks with known sums, so that an edit among 100,000 others takes microseconds, and
what was typed lies in `Ink`, which leaves memory for a temporary file when it grows.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from store.edits import Edit

_FOREVER = 1 << 62
_BLOCK = 128
_IN_MEMORY = 16 << 20


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows [start, stop) of the file, as they are."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class Ink:
    """Bytes that are not in the file: appended once, read by several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """Beyond some megabytes the bytes go to an unnamed file in `folder`, where one is given."""
        self._folder = folder
        self._held = bytearray()
        self._fd: int | None = None
        self._size = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> int:
        """Keep `data`; returns where it lies."""
        with self._lock:
            at = self._size + len(self._held)
            self._held += data
            if len(self._held) > _IN_MEMORY and self._folder is not None:
                self._spill(self._folder)
            return at

    def read(self, at: int, size: int) -> bytes:
        with self._lock:
            if at >= self._size:
                return bytes(self._held[at - self._size : at - self._size + size])
            assert self._fd is not None
            return os.pread(self._fd, size, at)

    def _spill(self, folder: Path) -> None:
        # Memory is a fallback: on a full disk an edit is worth more than a flat footprint.
        with contextlib.suppress(OSError):
            if self._fd is None:
                with tempfile.TemporaryFile(dir=folder) as file:
                    self._fd = os.dup(file.fileno())
            if os.pwrite(self._fd, self._held, self._size) == len(self._held):
                self._size += len(self._held)
                self._held = bytearray()

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


class OwnRow:
    """An edited or added line.

    `ending` None is the ending of the file's row `replaces`, which an edited line keeps.
    """

    __slots__ = ("_at", "_ink", "ending", "replaces", "size")

    def __init__(
        self, ink: Ink, content: bytes, ending: bytes | None, replaces: int | None
    ) -> None:
        self._ink, self._at, self.size = ink, ink.add(content), len(content)
        self.ending, self.replaces = ending, replaces

    @property
    def content(self) -> bytes:
        """The line without its ending."""
        return self._ink.read(self._at, self.size)

    def __len__(self) -> int:
        return 1


Piece = FileRows | OwnRow


def split_ending(line: bytes) -> tuple[bytes, bytes]:
    """A line as its content and its ending: b"\\n", b"\\r\\n" or nothing."""
    for ending in (b"\r\n", b"\n"):
        if line.endswith(ending):
            return line[: -len(ending)], ending
    return line, b""


class Pieces:
    """The document as pieces in order; the last is always the (perhaps empty) rest of the file."""

    def __init__(self, folder: Path | None = None) -> None:
        self._ink = Ink(folder)
        self._blocks: list[list[Piece]] = [[FileRows(0, _FOREVER)]]
        self._lengths: list[list[int]] = [[_FOREVER]]
        self._sums: list[int] = [_FOREVER]
        # Where blocks start; only the first `_sure` entries hold, the others are found on demand.
        self._starts: list[int] = [0]
        self._sure = 1
        # The block that was looked into last, and where its pieces end.
        self._looked: tuple[list[int], list[int]] = ([], [])

    def __iter__(self) -> Iterator[Piece]:
        for block in list(self._blocks):
            yield from tuple(block)

    def __len__(self) -> int:
        """How many pieces there are."""
        return sum(map(len, self._blocks))

    def known(self, rows: int) -> int:
        """Rows of the document that can be read when the first `rows` of the file are known."""
        last = self._blocks[-1][-1]
        if isinstance(last, FileRows) and last.start <= rows:
            self._find_start(_FOREVER * 2)
            before = self._starts[len(self._blocks) - 1] + sum(self._lengths[-1][:-1])
            return before + rows - last.start
        row = 0
        for block, total in zip(self._blocks, self._sums, strict=True):
            # Rows of the file only ever follow one another, so a block's last ones decide.
            stop = next((p.stop for p in reversed(block) if isinstance(p, FileRows)), 0)
            if stop > rows:
                return row + _known(block, rows)
            row += total
        return row

    def find(self, row: int) -> int | OwnRow:
        """What stands at `row`: a row number of the file, or a line of our own."""
        block, at, start = self._seek(row)
        piece = self._blocks[block][at]
        return piece if isinstance(piece, OwnRow) else piece.start + row - start

    def around(self, row: int) -> tuple[int, int]:
        """The rows of the file [above, below) that are missing at the boundary before `row`."""
        above = 0
        block, at, start = self._seek(row)
        piece = self._blocks[block][at]
        if isinstance(piece, FileRows) and row > start:
            return piece.start + row - start, piece.start + row - start
        for piece in self._back(block, at):
            if isinstance(piece, FileRows) or piece.replaces is not None:
                above = piece.stop if isinstance(piece, FileRows) else (piece.replaces or 0) + 1
                break
        for piece in self._forth(block, at):
            if isinstance(piece, FileRows):
                return above, piece.start
            if piece.replaces is not None:
                return above, piece.replaces
        return above, above

    def copy(self) -> Pieces:
        """The same document, to be edited apart."""
        other = Pieces.__new__(Pieces)
        other._ink = self._ink
        other._blocks = [list(block) for block in self._blocks]
        other._lengths = [list(lengths) for lengths in self._lengths]
        other._sums, other._starts = list(self._sums), list(self._starts)
        other._sure, other._looked = self._sure, ([], [])
        return other

    # Editing

    def apply(self, edit: Edit) -> None:
        """Do one primitive of the journal, whose rows count from 1."""
        row = edit.row - 1
        if edit.kind == "replace":
            self.replace(row, edit.after or b"")
        elif edit.kind == "insert":
            self.insert(row, edit.after or b"")
        else:
            self.delete(row)

    def apply_all(self, edits: Sequence[Edit]) -> None:
        """Do primitives in order; a large batch that was planned at once in a single pass."""
        if len(edits) < 2 * _BLOCK or not _downwards(edits):
            for edit in edits:
                self.apply(edit)
            return
        self.apply_upwards(reversed(edits))

    def apply_upwards(self, edits: Iterable[Edit]) -> None:
        """Do primitives that were planned at once in a single pass, the last one given first."""
        new: list[Piece] = []
        rest, row = _Rest(edits), 1
        for piece in self:
            stop = row + len(piece)
            if rest.row >= stop:
                new.append(piece)
            elif isinstance(piece, FileRows):
                self._into_rows(piece, row, stop, rest, new)
            else:
                self._into_own(piece, stop, rest, new)
            row = stop
        self._blocks = [new[at : at + _BLOCK] for at in range(0, len(new), _BLOCK)]
        self._lengths = [[len(piece) for piece in block] for block in self._blocks]
        self._sums = [sum(lengths) for lengths in self._lengths]
        self._starts, self._sure = [0] * len(self._blocks), 1

    def _into_rows(
        self, piece: FileRows, row: int, stop: int, rest: _Rest, new: list[Piece]
    ) -> None:
        """Take from `rest` what is to be done in a run of file rows."""
        at, shift = piece.start, piece.start - row
        while rest.row < stop:
            edit = rest.take()
            here = edit.row + shift
            if here > at:
                new.append(FileRows(at, here))
                at = here
            if edit.kind == "insert":
                new.append(self._own(edit.after or b""))
                continue
            at = here + 1
            if edit.kind == "replace":
                new.append(OwnRow(self._ink, edit.after or b"", None, here))
        if at < piece.stop:
            new.append(FileRows(at, piece.stop))

    def _into_own(self, piece: OwnRow, stop: int, rest: _Rest, new: list[Piece]) -> None:
        """As `_into_rows`, for a line of our own."""
        left: OwnRow | None = piece
        while rest.row < stop:
            edit = rest.take()
            if edit.kind == "insert":
                new.append(self._own(edit.after or b""))
            elif edit.kind == "delete":
                left = None
            else:
                left = OwnRow(self._ink, edit.after or b"", piece.ending, piece.replaces)
        if left is not None:
            new.append(left)

    def _own(self, line: bytes, replaces: int | None = None) -> OwnRow:
        content, ending = split_ending(line)
        return OwnRow(self._ink, content, ending, replaces)

    def replace(self, row: int, content: bytes) -> None:
        """Give the line at `row` another content; it keeps its ending."""
        found = self.find(row)
        if isinstance(found, OwnRow):
            new = OwnRow(self._ink, content, found.ending, found.replaces)
        else:
            new = OwnRow(self._ink, content, None, found)
        self._cut(row, 1, new)

    def insert(self, row: int, line: bytes, replaces: int | None = None) -> None:
        """Put a whole line before the one at `row`; `replaces` is a missing row of the file."""
        self._cut(row, 0, self._own(line, replaces))

    def delete(self, row: int) -> None:
        self._cut(row, 1, None)

    def give_back(self, row: int, file_row: int) -> None:
        """Let the line of our own at `row` be the file's row `file_row` again."""
        self._cut(row, 1, FileRows(file_row, file_row + 1))

    def put(self, row: int, found: int | OwnRow) -> None:
        """Put what `find` found, and was deleted, before the line at `row`."""
        self._cut(row, 0, found if isinstance(found, OwnRow) else FileRows(found, found + 1))

    def _cut(self, row: int, gone: int, new: Piece | None) -> None:
        """Put `new` where `gone` (0 or 1) rows at `row` are now."""
        block, at, start = self._seek(row)
        pieces, lengths = self._blocks[block], self._lengths[block]
        piece = pieces[at]
        put: list[Piece] = [] if new is None else [new]
        if isinstance(piece, FileRows):
            middle = piece.start + row - start
            if middle > piece.start:
                put.insert(0, FileRows(piece.start, middle))
            if middle + gone < piece.stop:
                put.append(FileRows(middle + gone, piece.stop))
        elif not gone:
            put.append(piece)
        low, high = at, at + 1
        if isinstance(new, FileRows):
            low, high, put = _merged(pieces, low, high, put)
        pieces[low:high] = put
        self._looked = ([], [])
        lengths[low:high] = [len(part) for part in put]
        self._sums[block] += (new is not None) - gone
        self._sure = min(self._sure, block + 1)
        if len(pieces) > 2 * _BLOCK:
            self._split(block)
        elif not pieces:
            for column in (self._blocks, self._lengths, self._sums, self._starts):
                del column[block]
            self._sure = max(1, min(self._sure, block))
            self._starts[0] = 0

    def _split(self, block: int) -> None:
        pieces, lengths = self._blocks[block], self._lengths[block]
        self._blocks[block : block + 1] = [pieces[:_BLOCK], pieces[_BLOCK:]]
        self._lengths[block : block + 1] = [lengths[:_BLOCK], lengths[_BLOCK:]]
        head = sum(lengths[:_BLOCK])
        self._sums[block : block + 1] = [head, self._sums[block] - head]
        self._starts.insert(block + 1, 0)

    # Finding

    def _find_start(self, row: int) -> None:
        """Make sure of the starts of blocks up to the one that holds `row`."""
        starts, sums, at = self._starts, self._sums, self._sure
        while at < len(sums):
            here = starts[at - 1] + sums[at - 1]
            if row < here:
                break
            starts[at] = here
            at += 1
        self._sure = at

    def _seek(self, row: int) -> tuple[int, int, int]:
        """Block and place of the piece that holds `row`, and the row it starts at."""
        self._find_start(row)
        block = bisect_right(self._starts, row, 0, self._sure) - 1
        if self._looked[0] is not self._lengths[block]:
            self._looked = (self._lengths[block], list(accumulate(self._lengths[block])))
        ends = self._looked[1]
        start = self._starts[block]
        at = bisect_right(ends, row - start)
        return block, at, start + (ends[at - 1] if at else 0)

    def _back(self, block: int, at: int) -> Iterator[Piece]:
        yield from reversed(self._blocks[block][:at])
        for earlier in range(block - 1, -1, -1):
            yield from reversed(self._blocks[earlier])

    def _forth(self, block: int, at: int) -> Iterator[Piece]:
        yield from self._blocks[block][at:]
        for later in range(block + 1, len(self._blocks)):
            yield from self._blocks[later]


class _Rest:
    """Primitives still to be done; `row` is that of the next, beyond all rows after the last."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        self._edits = iter(edits)
        self._next = next(self._edits, None)

    @property
    def row(self) -> int:
        return _FOREVER * 2 if self._next is None else self._next.row

    def take(self) -> Edit:
        """The next one."""
        taken, self._next = self._next, next(self._edits, None)
        assert taken is not None
        return taken


def _downwards(edits: Sequence[Edit]) -> bool:
    """Is every edit above the ones before it, or an insertion at the same row?"""
    return all(
        later.row < edit.row or (later.row == edit.row and later.kind == "insert")
        for edit, later in pairwise(edits)
    )


def _known(block: list[Piece], rows: int) -> int:
    row = 0
    for piece in block:
        if isinstance(piece, FileRows) and piece.stop > rows:
            return row + max(0, rows - piece.start)
        row += len(piece)
    return row


def _merged(
    pieces: list[Piece], low: int, high: int, put: list[Piece]
) -> tuple[int, int, list[Piece]]:
    """Join a run of file rows with the runs it now continues."""
    if len(put) > 1:
        return low, high, put
    (here,) = put
    assert isinstance(here, FileRows)
    start, stop = here.start, here.stop
    if low and isinstance(above := pieces[low - 1], FileRows) and above.stop == start:
        start, low = above.start, low - 1
    if high < len(pieces) and isinstance(below := pieces[high], FileRows) and below.start == stop:
        stop, high = below.stop, high + 1
    return low, high, [FileRows(start, stop)]
