"""What a document reads from: a file of any format, seen as lines of JSON.

Knows what every format must be able to say and do. Does not know any one format, edits or the
catalogue.

Lines are those of `index`: the user's file itself where that is JSONL, else an unpacked JSONL
copy in the workspace which grows while it is read and is kept for the next opening.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from engine.data.file.index import Identity, RowIndex

if TYPE_CHECKING:
    from engine.data.file.lines import Lines

Format = Literal["jsonl", "json", "csv", "parquet"]
"""`json` is one array of values; `csv` is any table of separated values, TSV too."""
Compression = Literal["gzip", "zstd"]


class Source(ABC):
    """An open file of the user's. Safe to use from several threads.

    Attributes:
        path: the user's file, symlinks resolved.
        format, compression: what it was found to be, by content first.
        index: the lines, numbered from 0, as far as they are known.
        wrongs: why rows of the file (from 0) are bad, where the format knows better than JSON.
        identity: what the user's file was when it was opened (its size is `identity.bytes`).
    """

    path: Path
    format: Format
    compression: Compression | None
    index: RowIndex
    wrongs: Mapping[int, str] = MappingProxyType({})
    identity: Identity

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor of the user's file, for `fstat` and hashing; valid until `close`."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Are all rows known?"""

    @property
    @abstractmethod
    def progress(self) -> float:
        """The share of the user's file that has been looked at, 0 to 1."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file as a whole, in one line: cut short, a bomb, no room.

        The rows before it are there; `compose` refuses, as it would lose the rest.
        """
        return None

    @abstractmethod
    def grow(self, seconds: float | None = None) -> bool:
        """Look further for about so long; True when all rows are known."""

    @abstractmethod
    def changed(self) -> bool:
        """Is the user's file another one than was opened, or gone?"""

    def grew(self) -> bool:
        """Is the change only that bytes were added at its end? Then `refresh` goes on."""
        return False

    def refresh(self) -> None:
        """Take in what was added at the end; the known rows stay what they are."""
        raise NotImplementedError(f"{self.format} files do not grow at their end")

    def accept(self, raw: bytes) -> bytes:
        """A row as this format will keep it: what reading back a saved `raw` would give.

        Call it on what an edit puts in, so that an undo after a save finds what it expects.

        Raises:
            BadInput: the format has no place for it; the message names the key (not the row).
        """
        return raw

    @abstractmethod
    def compose(self, fd: int, lines: Lines) -> int:
        """Write the whole document to `fd` in this format; returns how many rows it has.

        Raises:
            BadInput: a row does not fit the format; the message names row and key.
            OSError: whatever writing refuses.
        """

    @abstractmethod
    def keep(self) -> None:
        """Keep the index, or the unpacked copy, for the next opening."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file, and end what is still unpacking."""
