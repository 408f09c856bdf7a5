"""A whole picture in cells: axes, ticks, labels and curves.

Knows how a chart is laid out in a rectangle of text. Does not know Textual, keys or colours; it is
pure, so that a test can print it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from screens.widgets.braille import Canvas, Curve, Run, View, joined
from screens.widgets.ticks import linear_ticks, log_ticks, tick_labels, whole_ticks

LEAST_WIDTH, LEAST_HEIGHT = 16, 4
"""Below this many cells a chart is not drawn."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `x`: a sign below the axis, and the words for it."""

    x: float
    sign: str
    style: str
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn picture.

    Attributes:
        rows: top row first; the axis, its labels and the events are the last.
        left: cells taken by the labels and the axis on the left.
        columns: cells that the curves have.
    """

    rows: list[list[Run]]
    left: int
    columns: int

    def x_at(self, column: float, view: View) -> float:
        """The x that lies in the middle of a cell column of the whole picture."""
        place = (column - self.left) / max(self.columns - 1, 1)
        return view.x0 + min(max(place, 0.0), 1.0) * (view.x1 - view.x0)


def plot(
    curves: Sequence[Curve],
    view: View,
    width: int,
    height: int,
    cursor: float | None = None,
    *,
    labelled: bool = True,
    marks: Sequence[Mark] | None = None,
) -> Plot:
    """Draw curves, later ones on top, with axes that carry round numbers.

    Args:
        width: cells in all, at least `LEAST_WIDTH`.
        height: rows in all, at least `LEAST_HEIGHT`, one more where there are marks.
        cursor: x of the crosshair.
        labelled: whether the x axis has a row of numbers.
        marks: what happened, the most important last; None has no row for it.
    """
    body = height - 1 - labelled - (marks is not None)
    find = log_ticks if view.log else linear_ticks
    ticks = find(view.y0, view.y1, min(max(round(body / 1.8), 2), max(7, body // 4)))
    ticks = ticks[: max(body, 1)]
    labels = tick_labels(ticks)
    left = max((len(label) for label in labels), default=1) + 2
    columns = width - left
    canvas = Canvas(columns, body)
    for curve in curves:
        canvas.draw(curve, view)
    at = {min(max(round((1 - view.up(tick)) * (body * 4 - 1)), 0) >> 2, body - 1): label
          for tick, label in zip(ticks, labels, strict=True)}  # fmt: skip
    column = None if cursor is None else _column(cursor, view, columns)
    rows = []
    for number, cells in enumerate(canvas.rows(at, column)):
        label = at.get(number, "")
        rows.append(
            [(label.rjust(left - 2) + " ", "label"), ("┤" if label else "│", "axis"), *cells]
        )
    holes = {_column(x, view, columns) for curve in curves for x in curve.holes}
    line, words = _x_axis(view, left, columns, column, {hole for hole in holes if hole is not None})
    rows.append(line)
    if labelled:
        rows.append(words)
    if marks is not None:
        rows.append(_happenings(marks, view, left, columns, column))
    return Plot(rows, left, columns)


def _happenings(
    marks: Sequence[Mark], view: View, left: int, columns: int, cursor: int | None
) -> list[Run]:
    """One row of signs, each below its x; at the crosshair a bar where nothing happened."""
    cells: list[Run] = [(" ", "")] * columns
    if cursor is not None:
        cells[cursor] = ("·", "cursor")
    for mark in marks:
        column = _column(mark.x, view, columns)
        if column is not None:
            cells[column] = (mark.sign, mark.style)
    return joined([(" " * left, "label"), *cells])


def _column(x: float, view: View, columns: int) -> int | None:
    """The cell column where `x` is drawn, or None outside the view."""
    if not view.x0 <= x <= view.x1:
        return None
    return min(int((x - view.x0) / (view.x1 - view.x0) * (columns * 2 - 1) + 0.5) >> 1, columns - 1)


def _x_axis(
    view: View, left: int, columns: int, cursor: int | None, holes: Collection[int]
) -> tuple[list[Run], list[Run]]:
    """The line with its ticks, and the row of labels below, each centred on its tick.

    What was not a number is marked on the line, where no curve can cover it.
    """
    ticks = whole_ticks(view.x0, view.x1, max(columns // 8, 2))
    labels = [label.strip() for label in tick_labels(ticks)]
    line: list[Run] = [("─", "axis")] * columns
    words = [" "] * (left + columns)
    free_from = 0
    for tick, label in zip(ticks, labels, strict=True):
        column = _column(tick, view, columns)
        if column is None:
            continue
        line[column] = ("┬", "axis")
        start = min(max(left + column - len(label) // 2, 0), len(words) - len(label))
        if start >= free_from:
            words[start : start + len(label)] = label
            free_from = start + len(label) + 2
    for hole in holes:
        line[hole] = ("×", "bad")
    if cursor is not None:
        line[cursor] = ("×", "bad") if cursor in holes else ("┴", "cursor")
    cells = joined([(" " * (left - 1), "label"), ("└", "axis"), *line])
    return cells, [("".join(words), "label")]
