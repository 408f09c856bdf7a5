"""A report as one Markdown file that reads well as it is: aligned tables, curves as sparklines.

Knows Markdown's signs, and that every text in a block is data: what would become a link, an image,
a tag or a fence is escaped, control bytes and bidi overrides are made visible.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from engine.records.report.blocks import (
    Block,
    Cell,
    Code,
    Figure,
    Heading,
    Items,
    Passage,
    Table,
    Words,
    number,
)
from store.metrics import Series
from store.visible import visible

SPARK = 40
_BARS = "▁▂▃▄▅▆▇█"
_GAP = "·"
_ACTIVE = re.compile(r"[\\`*_\[\]<|~]")
_WIDEST = 44
_LARGEST = 1e150


def write(title: str, mark: str, blocks: Iterable[Block]) -> str:
    """The whole file."""
    parts = [mark, f"# {_safe(title)}"]
    figures: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure):
            figures.append(block)
            continue
        if figures:
            parts.append(_figures(figures))
            figures = []
        parts.append(_block(block))
    return "\n\n".join(part for part in parts if part) + "\n"


def sparkline(series: Series, width: int = SPARK) -> str:
    """A curve as a line of bars; `·` is a value that was not a number."""
    means = _resampled(series, width)
    known = [value for value in means if value is not None]
    if not known:
        return _GAP * len(means)
    low, high = min(known), max(known)
    span = high - low
    top = len(_BARS) - 1
    return "".join(
        _GAP if v is None else _BARS[round((v - low) / span * top) if span else top // 2]
        for v in means
    )


def _resampled(series: Series, width: int) -> list[float | None]:
    means = [v if v is not None and abs(v) < _LARGEST else None for v in series.means]
    if len(means) <= width:
        return means
    edges = [round(i * len(means) / width) for i in range(width + 1)]
    found: list[float | None] = []
    for start, end in itertools.pairwise(edges):
        known = [value for value in means[start:end] if value is not None]
        found.append(sum(known) / len(known) if known else None)
    return found


def _block(block: Heading | Words | Items | Table | Passage) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_safe(text)}"
        case Words(text, only):
            return _cell(text) if only != "html" else ""
        case Items(items):
            return "\n".join(
                f"- {_safe(text)}" + (f"  \n  {_safe(more)}" if more else "")
                for text, more in items
            )
        case Table(header, rows):
            return _table(header, [[_cell(cell) for cell in row] for row in rows], rows)
        case Passage(label, text):
            return f"{_safe(label)}:\n\n{_fenced(visible(text, keep_newlines=True))}"


def _figures(figures: Sequence[Figure]) -> str:
    """Each curve as one line of a table."""
    rows: list[list[str]] = []
    for figure in figures:
        for name, series in figure.curves:
            first = next((m for m in series.means if m is not None), None)
            lows = [v for v in series.lows if v is not None]
            highs = [v for v in series.highs if v is not None]
            last = series.last[1] if series.last else None
            cells = (first, min(lows, default=None), max(highs, default=None), last)
            rows.append([f"`{sparkline(series)}`", _safe(name), *map(number, cells)])
    plain: list[list[Cell | Code]] = [["", "", *(0.0,) * 4] for _ in rows]
    return _table(("curve", "metric", "first", "least", "greatest", "last"), rows, plain)


def _table(
    header: Sequence[str], cells: Sequence[Sequence[str]], rows: Sequence[Sequence[Cell | Code]]
) -> str:
    """An aligned table; very long cells do not widen their column."""
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        for i in range(len(header))
    ]
    widths = [
        min(max([3, len(name), *(len(row[i]) for row in cells)]), _WIDEST)
        for i, name in enumerate(header)
    ]
    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    lines = [list(header), rule, *cells]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        + " |"
        for line in lines
    )


def _fenced(text: str) -> str:
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _cell(cell: Cell | Code) -> str:
    if isinstance(cell, Code):
        return _code(visible(cell.text))
    if isinstance(cell, float):
        return number(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return _safe(cell) if cell is not None else "–"


def _code(text: str) -> str:
    """A code span. A bar would end a table's cell, so it stands as its likeness."""
    if not text.strip():
        return ""
    text = text.replace("|", "❘")
    if "`" not in text:
        return f"`{text}`"
    longest = max(len(found) for found in re.findall(r"`+", text))
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"


def _safe(text: str) -> str:
    """Text in which nothing is Markdown; names with underscores stay as they are."""
    text = _ACTIVE.sub(lambda found: "\\" + found[0], visible(text).replace("&", "&amp;"))
    return re.sub(r"(?<=\w)\\_(?=\w)", "_", text).replace("\\|", "❘")
