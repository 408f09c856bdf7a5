"""Which dialect a row is: the first of the table that fits, the most specific ones first.

Knows the order. The dialects are in the modules of their families.
"""

from __future__ import annotations

from functools import lru_cache

from engine.data.shapes.chat import CHAT
from engine.data.shapes.completion import COMPLETION
from engine.data.shapes.dialect import Dialect, Object
from engine.data.shapes.instruct import INSTRUCT
from engine.data.shapes.preference import PREFERENCE
from engine.data.shapes.tokens import TOKENS
from engine.data.shapes.unpaired import STEPWISE, UNPAIRED

TABLE: tuple[Dialect, ...] = (
    *TOKENS,
    *PREFERENCE[:1],
    *STEPWISE,
    *UNPAIRED,
    *PREFERENCE[1:],
    *CHAT,
    *INSTRUCT,
    *COMPLETION,
)


def recognise(row: Object) -> Dialect | None:
    """The dialect of a row; None if it is none that is known. Keys that hold null do not count."""
    for dialect in _candidates(tuple(row)):
        if dialect.fits is None or dialect.fits(row):
            return dialect
    return None


def without_nulls(row: dict[str, object]) -> dict[str, object]:
    """The row without keys that hold null, which is how tables spell a missing key."""
    if None in row.values():
        return {key: value for key, value in row.items() if value is not None}
    return row


@lru_cache(maxsize=512)
def _candidates(keys: tuple[str, ...]) -> tuple[Dialect, ...]:
    there = set(keys)
    return tuple(dialect for dialect in TABLE if there.issuperset(dialect.keys))
