"""The lines of the document: a piece table laid over the file's index.

Knows how to find and read any line, edited or not. Does not know the catalogue or JSON.
"""

from __future__ import annotations

from engine.data.file.index import RowIndex
from engine.data.journal.pieces import OwnRow, Pieces, split_ending


class Lines:
    """Lines numbered from 0. Asking for a line looks as far into the file as is needed."""

    def __init__(self, index: RowIndex, pieces: Pieces) -> None:
        self.index = index
        self.pieces = pieces

    @property
    def known(self) -> int:
        """How many lines can be read without looking further into the file."""
        return self.pieces.known(len(self.index))

    def reach(self, row: int) -> bool:
        """Look into the file until `row` is known; False when the document ends before it."""
        while row >= self.known:
            if self.index.complete:
                return False
            self.index.grow(rows=len(self.index) + max(1, row + 1 - self.known))
        return True

    def size(self, row: int) -> int:
        """Bytes of the line, its ending included where the file has it."""
        found = self.pieces.find(row)
        if isinstance(found, OwnRow):
            return len(found.content)
        start, end = self.index.span(found)
        return end - start

    def content(self, row: int) -> bytes:
        """The line without its ending."""
        found = self.pieces.find(row)
        if isinstance(found, OwnRow):
            return found.content
        return split_ending(self.index.read(*self.index.span(found)))[0]

    def wrong(self, row: int) -> str | None:
        """Why the line is bad, where its file's format knows it and JSON does not."""
        found = self.pieces.find(row)
        return None if isinstance(found, OwnRow) else self.index.wrong(found)

    def head(self, row: int, size: int) -> bytes:
        """The first `size` bytes of the line, for one that is too long to read."""
        found = self.pieces.find(row)
        if isinstance(found, OwnRow):
            return found.content[:size]
        start, end = self.index.span(found)
        return self.index.read(start, min(end, start + size))

    def ending(self, row: int) -> bytes:
        """The line's ending; empty only for the last line of a file without a final newline."""
        found = self.pieces.find(row)
        if isinstance(found, OwnRow) and found.ending is not None:
            return found.ending
        return self.file_ending(found.replaces or 0 if isinstance(found, OwnRow) else found)

    def file_ending(self, row: int) -> bytes:
        """The ending of a row of the file."""
        start, end = self.index.span(row)
        return split_ending(self.index.read(max(start, end - 2), end))[1]

    def usual_ending(self) -> bytes:
        """The ending that new lines get: the first line's."""
        return (self.ending(0) if self.reach(0) else b"") or b"\n"

    def whole(self, row: int) -> bytes:
        """The line and the ending that goes with it when it goes: its own, else a neighbour's."""
        ending = self.ending(row)
        if not ending and self.reach(row + 1):
            ending = self.ending(row + 1)
        if not ending and row:
            ending = self.ending(row - 1)
        return self.content(row) + ending
