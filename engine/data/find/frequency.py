"""The values of a field by how often they are there, in bounded memory.

Knows counting. Does not know how a field gets its values (see `filter.fields`). Exact up to
`MOST` different values; with more, the rare ones are forgotten from time to time, and it is said by
how much a count may be too small (lossy counting: Manku and Motwani 2002).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import xxhash

from engine.data.background.events import Table
from engine.data.background.events import Value as Counted
from engine.data.dataset import Dataset
from engine.data.filter import Context, Field, Look, looks
from engine.data.filter.fields import Value

MOST = 200_000
"""Different values that are remembered before rare ones are forgotten."""
SHOWN = 200
"""Characters of a value that are kept; longer ones are told apart by a hash of all of it."""
NOTHING = "(nothing)"
"""Stands for a row that does not have the field."""
_EVERY = 0.25
"""Seconds between two tables."""


def frequency(
    data: Dataset, field: Field, limit: int, context: Context | None = None
) -> Iterator[Table]:
    """Tables of the most frequent values, each complete so far; the last has progress 1.

    A row with several values (`messages.*.role`) counts for each; one without any for NOTHING.

    Raises:
        BadInput: the field needs what the context does not have.
        Conflict: the file was cut short while it was read.
    """
    tally = _Tally()
    due = time.monotonic() + _EVERY
    size = max(1, data.size)
    for look, done in looks(data, context or Context()):
        tally.count(values_of(field, look))
        if not tally.rows % 256 and time.monotonic() >= due:
            yield tally.table(limit, min(1.0, done / size))
            due = time.monotonic() + _EVERY
    yield tally.table(limit, 1.0)


def values_of(field: Field, look: Look) -> list[Value]:
    """The values to count: of turns their number, of flags yes or no."""
    if field.kind == "turns":
        return [len(field.values(look))]
    return field.values(look)


def shown(value: Value) -> str:
    """A value as it stands in a table: texts as they are, others as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self._counts: Counter[object] = Counter()
        self._lost = 0
        self._forgot = False

    def count(self, values: Sequence[object]) -> None:
        self.rows += 1
        for value in values or [_NONE]:
            self._counts[_key(value)] += 1
        if len(self._counts) > MOST:
            self._forget()

    def _forget(self) -> None:
        """Leave the more frequent half; from now on counts are too small by `_lost` at most."""
        self._forgot = True
        edge = sorted(self._counts.values())[len(self._counts) // 2]
        self._lost += edge
        # What stays gives up as much as those that go, so that a newcomer is not behind it.
        self._counts = Counter(
            {key: count - edge for key, count in self._counts.items() if count > edge}
        )

    def table(self, limit: int, progress: float) -> Table:
        rows = max(1, self.rows)
        return Table(
            values=tuple(
                Counted(_name(key), count, count / rows)
                for key, count in self._counts.most_common(limit)
            ),
            rows=self.rows,
            distinct=len(self._counts),
            exact=not self._forgot,
            lost=self._lost,
            progress=progress,
        )


class _None:
    """Nothing, which is not null."""


_NONE = _None()


def _key(value: object) -> object:
    if isinstance(value, str):
        if len(value) <= SHOWN:
            return value
        return value[:SHOWN], xxhash.xxh3_64_intdigest(value.encode("utf-8", "surrogatepass"))
    # Numbers and truth values of equal size are one key in Python and not in a file.
    return value if isinstance(value, _None) else (type(value).__name__, value)


def _name(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, tuple):
        head, rest = key
        if len(head) == SHOWN:
            return f"{head}…"
        return shown(rest)
    return NOTHING
