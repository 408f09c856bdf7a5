"""A piece table: which lines of the file, and which lines of our own, make up the document.

Knows row numbers (from 0) and the bytes of edited lines. Does not know the file, its offsets or
how many rows it has: the last piece is the rest of the file, however long that is.

Edits are replayed as the journal has them: a replacement is the content of a line without its
ending, an insertion the whole line with its ending, so that undo restores the file to the byte.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from store.edits import Edit

_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows [start, stop) of the file, as they are."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class OwnRow:
    """An edited or added line.

    `ending` None is the ending of the file's row `replaces`, which an edited line keeps.
    """

    content: bytes
    ending: bytes | None
    replaces: int | None

    def __len__(self) -> int:
        return 1


Piece = FileRows | OwnRow


def split_ending(line: bytes) -> tuple[bytes, bytes]:
    """A line as its content and its ending: b"\\n", b"\\r\\n" or nothing."""
    for ending in (b"\r\n", b"\n"):
        if line.endswith(ending):
            return line[: -len(ending)], ending
    return line, b""


def standing(edits: Iterable[Edit]) -> list[Edit]:
    """The primitives that are left when each undo cancels what it takes back."""
    stack: list[Edit] = []
    for edit in edits:
        root = edit.reverts or edit.id
        if stack and (stack[-1].reverts or stack[-1].id) == root:
            stack.pop()
        else:
            stack.append(edit)
    return stack


class Pieces:
    """The document as pieces in order; the last is always the (perhaps empty) rest of the file."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = [FileRows(0, _FOREVER)]
        self._starts: list[int] = [0]

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._pieces)

    def known(self, rows: int) -> int:
        """Rows of the document that can be read when the first `rows` of the file are known."""
        for start, piece in zip(self._starts, self._pieces, strict=True):
            if isinstance(piece, FileRows) and piece.stop > rows:
                return start + max(0, rows - piece.start)
        return 0

    def find(self, row: int) -> int | OwnRow:
        """What stands at `row`: a row number of the file, or a line of our own."""
        at = bisect_right(self._starts, row) - 1
        piece = self._pieces[at]
        return piece if isinstance(piece, OwnRow) else piece.start + row - self._starts[at]

    def apply(self, edit: Edit) -> None:
        """Do one primitive of the journal, whose rows count from 1."""
        row = edit.row - 1
        if edit.kind == "replace":
            self.replace(row, edit.after or b"")
        elif edit.kind == "insert":
            self.insert(row, edit.after or b"")
        else:
            self.delete(row)

    def replace(self, row: int, content: bytes) -> None:
        """Give the line at `row` another content; it keeps its ending."""
        found = self.find(row)
        if isinstance(found, OwnRow):
            new = OwnRow(content, found.ending, found.replaces)
        else:
            new = OwnRow(content, None, found)
        self._cut(row, 1, [new])

    def insert(self, row: int, line: bytes) -> None:
        """Put a whole line before the one at `row`."""
        content, ending = split_ending(line)
        self._cut(row, 0, [OwnRow(content, ending, None)])

    def delete(self, row: int) -> None:
        self._cut(row, 1, [])

    def _cut(self, row: int, gone: int, new: list[OwnRow]) -> None:
        """Put `new` where `gone` (0 or 1) rows at `row` are now."""
        at = bisect_right(self._starts, row) - 1
        piece, start = self._pieces[at], self._starts[at]
        put: list[Piece] = list(new)
        if isinstance(piece, FileRows):
            middle = piece.start + row - start
            if middle > piece.start:
                put.insert(0, FileRows(piece.start, middle))
            if middle + gone < piece.stop:
                put.append(FileRows(middle + gone, piece.stop))
        elif not gone:
            put.append(piece)
        starts = []
        for part in put:
            starts.append(start)
            start += len(part)
        self._pieces[at : at + 1] = put
        self._starts[at : at + 1] = starts
        shift = len(new) - gone
        if shift:
            after = at + len(put)
            self._starts[after:] = [begin + shift for begin in self._starts[after:]]
