"""One table of a suite file, asked for its values by name and kind.

Knows how a wrong value is refused. Does not know what the values mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.checks.reading.source import Place, named, refusal
from store.errors import BadInput


class Refusing(Protocol):
    """Where values come from, and how one of them is refused."""

    def bad(self, place: Place, expected: str, found: object = None) -> BadInput:
        """The error that a value deserves."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file of rows: whatever is wrong is wrong there."""

    path: Path
    number: int
    hint: str

    def bad(self, place: Place, expected: str, found: object = None) -> BadInput:
        """The error that a value deserves."""
        key = f"the row.{named(place)}" if place else "the row"
        return refusal(self.path, self.number, key, expected, found, self.hint)


@dataclass(frozen=True, slots=True)
class Table:
    """A table at its place. `get` is for the bold."""

    values: Mapping[str, Any]
    place: Place
    source: Refusing

    @staticmethod
    def of(value: object, place: Place, source: Refusing) -> Table:
        """Raises: BadInput where it is no table."""
        if not isinstance(value, dict):
            raise source.bad(place, "a table", value)
        return Table(value, place, source)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def bad(self, key: str, expected: str, found: object = None) -> BadInput:
        """The error that a value of this table deserves; of the table itself for no key."""
        return self.source.bad((*self.place, key) if key else self.place, expected, found)

    def only(self, known: Iterable[str]) -> None:
        """Refuse any other key."""
        allowed = set(known)
        for key in self.values:
            if key not in allowed:
                raise self.bad(key, f"only {', '.join(sorted(allowed))}")

    def text(self, key: str, default: str = "", *, filled: bool = False) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or (filled and not value):
            raise self.bad(key, "a text that is not empty" if filled else "a text", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none empty; () where there is none."""
        value = self.values.get(key, [])
        wrong = not isinstance(value, list) or not all(isinstance(v, str) and v for v in value)
        if wrong or (key in self.values and not value):
            raise self.bad(key, "a list of texts, none empty", value)
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false", value)
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.bad(key, f"a whole number from {low:,} to {high:,}", value)
        return value

    def number(
        self, key: str, default: float | None = None, low: float = -math.inf
    ) -> float | None:
        value = self.values.get(key, default)
        if value is None and key not in self.values:
            return None
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not math.isfinite(value) or value < low:
            least = f", {low:g} or more" if low > -math.inf else ""
            raise self.bad(key, f"a number{least}", value)
        return float(value)

    def tables(self, key: str) -> list[Table]:
        """The tables of a list; [] where there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.bad(key, "a list of tables", value)
        at = (*self.place, key)
        return [Table.of(item, (*at, i), self.source) for i, item in enumerate(value)]
