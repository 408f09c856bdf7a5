"""The texts in a row that can be edited, with their places.

Knows JSON. Does not know files; `Document.set` writes a text back without touching the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from engine.data.rows import Row

WHOLE = ""
"""The place of the row as a whole."""


@dataclass(frozen=True, slots=True)
class Field:
    """One text in a row: its dotted place, what to call it, and the text."""

    dotted: str
    label: str
    text: str


def fields(row: Row) -> list[Field]:
    """Every text of a readable row in order, and the row itself as JSON last (roles only there).

    A row that is not JSON, and one with bytes that are not UTF-8, has no place that could be
    named: only the whole of it can be edited.
    """
    whole = Field(WHOLE, "row as JSON", row.raw.decode("utf-8", "replace"))
    try:
        value = json.loads(row.raw)
    except ValueError:
        return [whole]
    return [*_leaves(value, "", ""), whole]


def _leaves(value: object, path: str, label: str) -> Iterator[Field]:
    if isinstance(value, str):
        yield Field(path, label or path, value)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, _join(path, str(index)), label)
    elif isinstance(value, dict):
        role = value.get("role", value.get("from"))
        for key, item in value.items():
            if "." in key or key in ("role", "from"):
                continue
            spoken = key in ("content", "value") and isinstance(role, str)
            yield from _leaves(item, _join(path, key), str(role) if spoken else key)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
