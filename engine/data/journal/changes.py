"""What may be done to a dataset at once, and what is said of what was done.

Records only. Does not know how they come about (see `engine.data.document`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["same", "edited", "added"]


@dataclass(frozen=True, slots=True)
class Replace:
    """Make `raw` (one line, without its ending) the content of row `row`."""

    row: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Take row `row` away."""

    row: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Add `raw` as a new row before row `before_row`; one past the last adds at the end."""

    before_row: int
    raw: bytes


Change = Replace | Delete | Insert
"""One of many changes made at once: rows are numbers from before any of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of undo: where it was, what it is called, how many rows it changed.

    `when` is the time it was made, seconds since the epoch; `done` is False where it was undone.
    """

    row: int
    label: str
    rows_changed: int
    when: float = 0.0
    done: bool = True


@dataclass(frozen=True, slots=True)
class Changed:
    """One unsaved difference between the file and the document.

    Attributes:
        row: where it is in the document; None for a row that was deleted.
        before: the line in the file without its ending; None for a row that was added.
        after: the row as it is now; None for a row that was deleted.
        file_line: its line in the file; None for a row that was added.
        path: the file, where the document is several.
    """

    row: int | None
    before: bytes | None
    after: bytes | None
    file_line: int | None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row comes from. `line` is its line in that file, None for a row added there."""

    path: Path
    line: int | None


@dataclass(frozen=True, slots=True)
class FileRun:
    """Rows that are untouched and lie one after the other in a file.

    The bytes [start, end) of the descriptor `fd`, line endings included (the last line of a
    file may have none). `fd` stays open until the dataset is closed or sees a new file.
    """

    first_row: int
    rows: int
    fd: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A row that was edited or added: its content is not in the file."""

    row: int
    content: bytes


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """The file as it was first opened, or after one of its saves.

    Attributes:
        sha256: hash of the file, as `sha256` or, for the file as first opened where that is
            large, `xxh128:…`.
        rows, bytes: how much that was.
        created: seconds since the epoch.
        current: the file holds this version now.
        restorable: `restore` can bring it back; else `why_not` says what stands in the way.
        path: the file, where a dataset has several.
    """

    id: int
    sha256: str
    rows: int
    bytes: int
    created: float
    current: bool
    restorable: bool
    why_not: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a person noted about a row, beside the file."""

    tags: tuple[str, ...] = ()
    note: str = ""
