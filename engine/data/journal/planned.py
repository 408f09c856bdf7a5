"""Changes made at once, as primitives of the journal; and primitives laid over a document.

Knows rows, line endings and what was there before. Does not know the catalogue or JSON.

A batch is written from the last row to the first: then every number holds, whether counted before
the whole batch or just before its primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import xxhash

from engine.data.file.lines import Lines
from engine.data.journal.batch import Batch
from engine.data.journal.changes import Change, Delete, Insert
from engine.data.journal.pieces import OwnRow, split_ending
from store.edits import Edit
from store.errors import BadInput

_NEARBY = 64
"""How many missing rows of the file are looked through for the one that an undo brings back."""


def content_hash(content: bytes) -> bytes:
    """The name of a row's content, 16 bytes."""
    return xxhash.xxh3_128_digest(content)


def plan(
    lines: Lines, changes: Sequence[Change], accept: Callable[[bytes], bytes] | None = None
) -> Iterator[Edit]:
    """The primitives of a batch, in the order in which they are to be done, made as they are asked.

    Args:
        lines: the document that the numbers are of; every row named must be there.
        accept: makes of a new row what the file's format will keep; see `Source.accept`.
    Raises:
        BadInput: a row is named twice, or is not one line, or the format has no place for it.
    """
    rows, inserts = _rows(changes)
    # From the last row on; of what is done at one row, the row itself comes first, then
    # insertions from the last on.
    ordered = np.lexsort((np.arange(len(rows)), ~inserts, rows))[::-1]
    named = rows[ordered][~inserts[ordered]]
    twice = np.flatnonzero(named[1:] == named[:-1])
    if len(twice):
        raise BadInput(
            f"row {named[twice[0]]} is changed twice in one step",
            "make the second change in a step of its own",
        )
    return _primitives(lines, changes, ordered.tolist(), accept)


def _rows(changes: Sequence[Change]) -> tuple[np.ndarray, np.ndarray]:
    """The row of each change, and whether it is an insertion."""
    if isinstance(changes, Batch):
        pairs = changes.order()
    else:
        pairs = (
            (each.before_row, True) if isinstance(each, Insert) else (each.row, False)
            for each in changes
        )
    found = np.fromiter(pairs, np.dtype([("row", np.int64), ("insert", np.bool_)]))
    return found["row"], found["insert"]


def _primitives(
    lines: Lines,
    changes: Sequence[Change],
    ordered: Sequence[int],
    accept: Callable[[bytes], bytes] | None,
) -> Iterator[Edit]:
    new_line = lines.usual_ending()
    for at in ordered:
        change = changes[at]
        if isinstance(change, Delete):
            yield Edit("delete", change.row, _whole(lines, change.row - 1), None)
            continue
        row = change.before_row if isinstance(change, Insert) else change.row
        raw = _line(change.raw, row, accept)
        if isinstance(change, Insert):
            above = content_hash(lines.content(row - 2)) if row > 1 else None
            yield Edit("insert", row, None, raw + new_line, above)
        elif (before := lines.content(row - 1)) != raw:
            yield Edit("replace", row, before, raw)


def _whole(lines: Lines, row: int) -> bytes:
    """As `Lines.whole`, with one read where the line has its ending in the file."""
    found = lines.pieces.find(row)
    if not isinstance(found, OwnRow):
        line = lines.index.read(*lines.index.span(found))
        if line.endswith(b"\n"):
            return line
    return lines.whole(row)


def needed(changes: Sequence[Change]) -> tuple[int, ...]:
    """The lowest and the highest row that must be there for changes to be possible."""
    rows, inserts = _rows(changes)
    # Below the last row is a place too; above the first is none.
    rows = np.where(inserts & (rows > 1), rows - 1, rows)[~inserts | (rows != 1)]
    return (int(rows.min()), int(rows.max())) if len(rows) else ()


def _line(raw: bytes, row: int, accept: Callable[[bytes], bytes] | None) -> bytes:
    if b"\n" in raw:
        raise BadInput(
            "a row is one line, and this text has a line break in it",
            "write line breaks inside a value as \\n",
        )
    raw = raw.rstrip(b"\r")
    if accept is None:
        return raw
    try:
        return accept(raw)
    except BadInput as wrong:
        raise BadInput(f"row {row}: {wrong.message}", wrong.hint) from None


# Laying


def fits(lines: Lines, edit: Edit, *, content: bool = True) -> bool:
    """Is the row there, and (with `content`) what the edit was made on?"""
    at = edit.row - 1
    if edit.kind == "insert":
        return at == 0 or lines.reach(at - 1)
    if not lines.reach(at):
        return False
    before = edit.before or b""
    if edit.kind == "delete":
        before = split_ending(before)[0]
    return not content or lines.content(at) == before


def lay_back(lines: Lines, edits: Iterable[Edit]) -> None:
    """Do primitives that take others back; rows that are the file's again count as untouched."""
    for edit in edits:
        if edit.kind == "insert":
            _insert_again(lines, edit)
            continue
        lines.pieces.apply(edit)
        if edit.kind == "replace":
            found = lines.pieces.find(edit.row - 1)
            assert isinstance(found, OwnRow)
            if found.replaces is not None and _is(lines, found.replaces, edit.after or b""):
                lines.pieces.give_back(edit.row - 1, found.replaces)


def _insert_again(lines: Lines, edit: Edit) -> None:
    """Put a deleted line back: as the file's own where it was that."""
    row, line = edit.row - 1, edit.after or b""
    content, ending = split_ending(line)
    above, below = lines.pieces.around(row)
    below = min(below, above + _NEARBY, len(lines.index))
    for missing in range(above, below):
        if _is(lines, missing, content) and lines.file_ending(missing) in (ending, b""):
            lines.pieces.insert(row, line, missing)
            lines.pieces.give_back(row, missing)
            return
    lines.pieces.insert(row, line, above if below - above == 1 else None)


def _is(lines: Lines, file_row: int, content: bytes) -> bool:
    start, end = lines.index.span(file_row)
    if not 0 <= end - start - len(content) <= 2:
        return False
    return split_ending(lines.index.read(start, end))[0] == content
