"""JSONL as it lies on disk: its lines are the file's own.

Knows how a document is spliced from ranges of the file and lines of our own. Does not know JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.file.copying import Gathered
from engine.data.file.index import RowIndex
from engine.data.journal.pieces import FileRows, OwnRow
from engine.data.sources.base import Source

if TYPE_CHECKING:
    from engine.data.file.lines import Lines


class PlainSource(Source):
    """A JSONL file. Untouched rows are saved byte for byte, line endings included."""

    def __init__(self, path: Path, index: RowIndex, cache: Path) -> None:
        self.path = path
        self.format = "jsonl"
        self.compression = None
        self.index = index
        self.identity = index.identity
        self._cache = cache

    def fileno(self) -> int:
        return self.index.fileno()

    @property
    def complete(self) -> bool:
        return self.index.complete

    @property
    def progress(self) -> float:
        return self.index.progress

    def grow(self, seconds: float | None = None) -> bool:
        return self.index.grow(seconds=seconds)

    def changed(self) -> bool:
        return self.index.changed()

    def grew(self) -> bool:
        return self.index.grew()

    def refresh(self) -> None:
        self.index.refresh()
        self.identity = self.index.identity

    def compose(self, fd: int, lines: Lines) -> int:
        return splice(fd, lines)

    def keep(self) -> None:
        self.index.keep(self._cache)

    def close(self) -> None:
        self.index.close()


def splice(fd: int, lines: Lines) -> int:
    """Write every line of the (completely indexed) document to `fd`; returns how many."""
    index, written, out = lines.index, 0, Gathered(fd)
    rows, final_newline = len(index), index.final_newline
    # `owed`: the line written last has no ending yet, and needs one only if another follows.
    owed, last = False, b""
    for piece in lines.pieces:
        if isinstance(piece, FileRows):
            stop = min(piece.stop, rows)
            if piece.start >= stop:
                continue
            if owed:
                out.write(lines.usual_ending())
            out.copy(index.fileno(), index.start(piece.start), index.start(stop))
            written += stop - piece.start
            # Only the file's last line may lack an ending.
            last = lines.file_ending(stop - 1) if stop == rows else b"\n"
        else:
            ending = _own_ending(piece, lines)
            if owed:
                out.write(ending or lines.usual_ending())
                ending = b""
            out.write(piece.content + ending)
            written += 1
            last = ending
        owed = not last
    out.flush()
    if written and not owed and not final_newline:
        ending = lines.ending(written - 1)
        os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR) - len(ending))
    return written


def _own_ending(piece: OwnRow, lines: Lines) -> bytes:
    return lines.file_ending(piece.replaces or 0) if piece.ending is None else piece.ending
