"""What a report is made of, whatever it is written as.

Knows kinds of blocks. Texts in them are plain: who writes them down makes them safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from store.metrics import Series

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Code:
    """Text of the user or of a file, shown letter by letter."""

    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Words:
    """One paragraph; `only` names the one format that it is for."""

    text: str | Code
    only: Literal["", "html", "markdown"] = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list; each item with a line beneath it, which may be empty."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; columns of numbers stand to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | Code]]


@dataclass(frozen=True, slots=True)
class Passage:
    """A longer text of a model or a user under a few words."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """Curves over the same steps: name and series, the first the most important."""

    title: str
    curves: Sequence[tuple[str, Series]]


Block = Heading | Words | Items | Table | Passage | Figure


def number(value: float | None) -> str:
    """A measured number with four digits, `–` where there is none."""
    if value is None:
        return "–"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
