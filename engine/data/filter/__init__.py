"""Rows that fit an expression over fields, roles, lengths, tokens, findings, edits and tags.

Knows how all rows are asked, quickly. The language is in `language`, the fields are in `fields`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from engine.data.background.events import Hits
from engine.data.dataset import Dataset
from engine.data.filter.context import Context
from engine.data.filter.evaluate import Words, question, words
from engine.data.filter.fields import FIELDS, Field, Look, field
from engine.data.filter.language import EXAMPLES, OPERATORS, Filter, FilterError, help_lines, parse
from engine.data.find import Batches
from engine.data.find.chunks import Chunk, Part, parts
from engine.data.find.pattern import Pattern
from engine.data.journal.changes import OwnLine
from engine.data.rows import HEAD_BYTES, MAX_ROW_BYTES

__all__ = [
    "EXAMPLES",
    "FIELDS",
    "OPERATORS",
    "Context",
    "Field",
    "Filter",
    "FilterError",
    "Look",
    "field",
    "filter_rows",
    "help_lines",
    "looks",
    "parse",
]

_ODD = Pattern.compile(r"\\u(?:00[2-7]|212[aA]|017[fF])", regex=True, case=True)
"""Escapes of letters that need none, and of two signs that are ASCII letters in lower case."""
_ASK_EVERY = 64
"""Rows between two looks at the clock."""


def filter_rows(data: Dataset, wanted: Filter, context: Context | None = None) -> Iterator[Hits]:
    """The rows that fit, in order; the last batch has progress 1.

    Raises:
        BadInput: the expression needs what the context does not have.
        Conflict: the file was cut short while it was read.
    """
    batches = Batches(data.size)
    fits = question(wanted.node)
    look = Look(context or Context())
    sieve = _Sieve(words(wanted.node))
    for part, used in parts(data):
        if isinstance(part, Chunk) and (kept := sieve.lines(part)) is not None:
            for row, raw in kept:
                see(look, row, raw)
                if fits(look):
                    batches.add(row)
            if batches.went(used):
                yield batches.take()
            continue
        for asked, _ in enumerate(_seen(look, part)):
            if fits(look):
                batches.add(look.number)
            if asked % _ASK_EVERY == 0 and batches.went(0):
                yield batches.take()
        if batches.went(used):
            yield batches.take()
    yield batches.take(last=True)


def looks(data: Dataset, context: Context) -> Iterator[tuple[Look, int]]:
    """Every row of the dataset to be asked about; beside it the bytes done before its stretch.

    The same `Look` each time, turned to the next row.
    """
    look, done = Look(context), 0
    for part, used in parts(data):
        for _ in _seen(look, part):
            yield look, done
        done += used


def see(look: Look, row: int, raw: bytes) -> None:
    """Turn to a row whose line is whole, however long."""
    if len(raw) > MAX_ROW_BYTES:
        look.see(row, raw[:HEAD_BYTES], len(raw))
    else:
        look.see(row, raw, len(raw))


def _seen(look: Look, part: Part) -> Iterator[None]:
    """Turn to each row of a part in turn."""
    if isinstance(part, Chunk):
        row = part.row
        lines = part.contents()
        part.rows = len(lines)
        for raw in lines:
            see(look, row, raw)
            yield
            row += 1
    elif isinstance(part, OwnLine):
        see(look, part.row, part.content)
        yield
    else:
        look.see(part.row, part.head(HEAD_BYTES), part.end - part.start)
        yield


class _Sieve:
    """Leaves out lines that cannot fit, without reading them as JSON."""

    def __init__(self, needed: Words | None) -> None:
        self._pattern = None
        if needed is not None:
            self._pattern = Pattern.compile(needed.text, case=not needed.ignore_case)

    def lines(self, chunk: Chunk) -> list[tuple[int, bytes]] | None:
        """The lines that may fit as (row, content); None: all of them may."""
        pattern = self._pattern
        buffer, end = chunk.buffer, chunk.end
        if pattern is None or _ODD.within(buffer, end):
            return None
        starts = pattern.lines(buffer, end)
        if not starts:
            return []
        import numpy as np

        newlines = chunk.newlines()
        chunk.rows = len(newlines) + chunk.is_open
        if len(starts) * 2 > chunk.rows:
            # The words are everywhere: from now on looking for them is in vain.
            self._pattern = None
            return None
        found = []
        edges = array("q", newlines.tobytes())
        for line in np.searchsorted(newlines, np.array(starts)).tolist():
            begin = edges[line - 1] + 1 if line else 0
            close = edges[line] if line < len(edges) else end
            if close > begin and buffer[close - 1] == 0x0D and line < len(edges):
                close -= 1
            found.append((chunk.row + line, bytes(buffer[begin:close])))
        return found
