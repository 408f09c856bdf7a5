"""Size against divergence as a small plot: what is measured, and faintly what is usual.

Knows points, labels and cells. Does not measure or choose anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from screens.safe import visible
from screens.widgets.braille import Curve, Run, View, fit
from screens.widgets.ink import PARTS
from screens.widgets.plot import plot

LEAST_KL = 1e-9
"""What is smaller is the noise of 32-bit arithmetic, and drawn there."""
_SIGNS = {
    "pass": ("●", "good"),
    "warn": ("●", "warn"),
    "fail": ("✗", "bad"),
    "usual": ("·", "quiet"),
}
_ROWS_BELOW = 2


@dataclass(frozen=True, slots=True)
class Point:
    """One file.

    Attributes:
        label: its type.
        bytes: its size.
        kl: mean KL divergence (nats) from the trained model.
        verdict: `pass`, `warn` or `fail`; `usual` where it is not measured.
        best: whether it is the recommended one.
        here: whether the cursor is on it.
    """

    label: str
    bytes: int
    kl: float
    verdict: str = "usual"
    best: bool = False
    here: bool = False


def picture(points: Sequence[Point], width: int, height: int) -> Content:
    """The plot as lines of text, y logarithmic; the first line says what is drawn.

    What is no number is left out: the table beside it says so.

    Args:
        width: cells; height: lines in all.
    """
    points = [point for point in points if math.isfinite(point.kl)]
    if not points:
        return Content("")
    unit, word = (1e9, "GB") if max(p.bytes for p in points) >= 20e9 else (1e6, "MB")
    drawn = [(p, p.bytes / unit, max(p.kl, LEAST_KL)) for p in sorted(points, key=_order)]
    curves = [Curve.of(p.label, _sign(p)[1], [x], [y], mark=_sign(p)[0]) for p, x, y in drawn]
    xs, ys = [x for _, x, _ in drawn], [y for _, _, y in drawn]
    every = Curve.of("all", "label", sorted(xs), [None] * len(xs), ys, ys)
    air = (max(xs) - min(xs)) * 0.08 or max(xs) * 0.1
    view = fit([every], max(min(xs) - air, 0), max(xs) + air * 1.6, log=True)
    made = plot(curves, view, width, height - 1)
    body = [_cells(row) for row in made.rows]
    for point, x, y in reversed(drawn):
        _label(
            body[: len(body) - _ROWS_BELOW],
            point,
            _place(view, x, y, made.columns, body),
            made.left,
        )
    head = Content.assemble(
        (" divergence (mean KL, log)", "bold"), (f"  against size in {word}", "$foreground 60%")
    )
    return Content("\n").join([head, *(_content(row) for row in body)])


def _order(point: Point) -> tuple[bool, bool, int]:
    """What matters most is drawn last, and labelled first."""
    return point.here or point.best, point.verdict != "usual", point.bytes


def _sign(point: Point) -> tuple[str, str]:
    sign, ink = _SIGNS[point.verdict]
    if point.best and point.verdict != "fail":
        sign = "★"
    return sign, "cursor" if point.here or (point.best and point.verdict == "usual") else ink


def _place(
    view: View, x: float, y: float, columns: int, body: Sequence[list[Run]]
) -> tuple[int, int]:
    """Row and column at which `Canvas` sets the mark."""
    height = len(body) - _ROWS_BELOW
    column = min(round((x - view.x0) / (view.x1 - view.x0) * (columns * 2 - 1)) >> 1, columns - 1)
    row = min(max(round((1 - view.up(y)) * (height * 4 - 1)), 0) >> 2, height - 1)
    return row, column


def _cells(row: Sequence[Run]) -> list[Run]:
    return [(character, ink) for text, ink in row for character in text]


def _label(body: list[list[Run]], point: Point, place: tuple[int, int], left: int) -> None:
    """Write the label right of its mark, else left of it, where nothing else stands."""
    row, column = place
    cells = body[row]
    name = visible(point.label)
    ink = "cursor" if point.here else "label" if point.verdict != "usual" else "axis"
    at = left + column
    for start in (at + 2, at - 1 - len(name)):
        around = cells[max(start - 1, 0) : start + len(name) + 1]
        free = start > left and start + len(name) <= len(cells)
        if free and all(
            text in " ┈" or place == at for place, (text, _) in enumerate(around, max(start - 1, 0))
        ):
            cells[start : start + len(name)] = [(character, ink) for character in name]
            return


def _content(cells: Sequence[Run]) -> Content:
    return Content.assemble(*[(text, PARTS.get(ink, "")) for text, ink in cells])
