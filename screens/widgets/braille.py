"""Curves to rows of braille cells: the drawing core of every chart.

Knows arithmetic on columns of dots (2 x 4 in a cell), gaps, logarithms and opaque layers. Does not
know Textual, colours or where the numbers come from: a cell carries the *name* of its style.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BLANK = 0x2800
_DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_SPANS = tuple(
    tuple(tuple(sum(side[top : bottom + 1]) for bottom in range(4)) for top in range(4))
    for side in _DOT_BITS
)
"""`_SPANS[right half?][first dot][last dot]`: the bits of a vertical run inside one cell."""

Run = tuple[str, str]
"""Some characters and the name of the style they share."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A series as min/max buckets in order of `xs`; missing values are gaps, never zeros.

    Attributes:
        style: name of the style its cells carry.
        xs: x of each bucket, rising.
        lows: smallest value of each bucket, `inf` where nothing was measured.
        highs: largest value of each bucket, `-inf` where nothing was measured.
        means: what the line follows, None where nothing was measured.
        mark: a character to set at each mean instead of drawing a line.
        holes: x of each bucket in which something measured was not a number.
    """

    name: str
    style: str
    xs: Sequence[float]
    lows: Sequence[float] = field(repr=False)
    highs: Sequence[float] = field(repr=False)
    means: Sequence[float | None] = field(repr=False)
    mark: str = ""
    holes: Sequence[float] = ()

    @classmethod
    def of(
        cls,
        name: str,
        style: str,
        xs: Sequence[float],
        means: Sequence[float | None],
        lows: Sequence[float | None] | None = None,
        highs: Sequence[float | None] | None = None,
        mark: str = "",
        holes: Sequence[float] = (),
    ) -> Curve:
        """Build a curve from values that may be None, NaN or infinite; those become gaps."""
        clean = [value if value is not None and math.isfinite(value) else None for value in means]
        low = means if lows is None else lows
        high = means if highs is None else highs
        return cls(
            name,
            style,
            xs,
            [_or(value, math.inf) for value in low],
            [_or(value, -math.inf) for value in high],
            clean,
            mark,
            holes,
        )

    def nearest(self, x: float) -> int | None:
        """Index of the bucket nearest to `x`, or None for a curve without points."""
        if not self.xs:
            return None
        right = bisect_left(self.xs, x)
        if right == 0:
            return 0
        if right == len(self.xs):
            return right - 1
        return right if self.xs[right] - x < x - self.xs[right - 1] else right - 1


def _or(value: float | None, missing: float) -> float:
    return value if value is not None and math.isfinite(value) else missing


@dataclass(frozen=True, slots=True)
class View:
    """The part of the plane that a chart shows; with `log`, y is drawn by its logarithm."""

    x0: float
    x1: float
    y0: float
    y1: float
    log: bool = False

    def up(self, y: float) -> float:
        """Height of `y` between 0 (bottom) and 1 (top), clipped to just outside."""
        if self.log:
            if y <= 0:
                return -0.01
            y, low, high = math.log10(y), math.log10(self.y0), math.log10(self.y1)
        else:
            low, high = self.y0, self.y1
        return min(max((y - low) / (high - low), -0.01), 1.01)


def fit(
    curves: Iterable[Curve],
    x0: float | None = None,
    x1: float | None = None,
    log: bool = False,
    clip: bool = False,
) -> View:
    """The smallest view of everything between `x0` and `x1`, with a little air above and below.

    Args:
        clip: leave out the few buckets that lie far from all others; they are marked where drawn.
    """
    curves = [curve for curve in curves if curve.xs]
    left = min((curve.xs[0] for curve in curves), default=0.0) if x0 is None else x0
    right = max((curve.xs[-1] for curve in curves), default=1.0) if x1 is None else x1
    if right <= left:
        right = left + 1.0
    lows: list[float] = []
    highs: list[float] = []
    for curve in curves:
        a = max(bisect_left(curve.xs, left) - 1, 0)
        b = bisect_left(curve.xs, right) + 1
        lows += [value for value in curve.lows[a:b] if value > 0 or not log]
        highs += curve.highs[a:b]
    low, high = min(lows, default=math.inf), max(highs, default=-math.inf)
    if clip and math.isfinite(low) and math.isfinite(high):
        low, high = _most(lows, highs)
    if not math.isfinite(low) or not math.isfinite(high):
        low, high = (0.1, 1.0) if log else (0.0, 1.0)
    return View(left, right, *_air(low, high, log), log)


def _most(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """Least and greatest of what is not far out: three times the spread of nine in ten."""
    lows, highs = sorted(filter(math.isfinite, lows)), sorted(filter(math.isfinite, highs))
    bottom, top = lows[len(lows) // 20], highs[-len(highs) // 20]
    reach = 3 * (top - bottom)
    low = next(value for value in lows if value >= bottom - reach)
    high = next(value for value in reversed(highs) if value <= top + reach)
    return low, high


def _air(low: float, high: float, log: bool) -> tuple[float, float]:
    """Widen a range a little, so that no curve runs along the frame; a flat one gets room."""
    if log:
        ratio = max(high / low, 1.2) ** 0.04
        return low / ratio, high * ratio
    span = high - low or abs(high) * 0.2 or 1.0
    bottom = low - span * 0.04
    return (0.0 if bottom < 0 <= low else bottom), high + span * 0.04


class Canvas:
    """Dots of several layers in one rectangle of cells; a later layer hides an earlier one."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._bits: list[tuple[str, bytearray]] = []
        self._marks: dict[int, tuple[str, str]] = {}

    def draw(self, curve: Curve, view: View) -> None:
        """Add a curve as the topmost layer."""
        if curve.mark:
            self._draw_marks(curve, view)
            return
        layer = bytearray(self.width * self.height)
        self._bits.append((curve.style, layer))
        last_row = self.height * 4 - 1
        tip: tuple[int, float] | None = None  # where the pen is, None when it is up
        for column, a, b in _columns(curve.xs, view, self.width * 2):
            low, high = min(curve.lows[a:b]), max(curve.highs[a:b])
            if high < low or (view.log and high <= 0):
                tip = None
                continue
            top, bottom = (1 - view.up(high)) * last_row, (1 - view.up(low)) * last_row
            if 0 <= column < self.width * 2 and (high > view.y1 or low < view.y0):
                self._mark_outside(column >> 1, curve.style, above=high > view.y1)
            self._span(layer, column, top, bottom)
            first, last = curve.means[a], curve.means[b - 1]
            if tip is not None and first is not None and column > tip[0]:
                self._line(layer, tip, (column, (1 - view.up(first)) * last_row))
            tip = None if last is None else (column, (1 - view.up(last)) * last_row)

    def _mark_outside(self, column: int, style: str, *, above: bool) -> None:
        """Say at the border that a curve goes on beyond it."""
        row = 0 if above else self.height - 1
        self._marks[row * self.width + column] = ("▲" if above else "▼", style)

    def _draw_marks(self, curve: Curve, view: View) -> None:
        for x, mean in zip(curve.xs, curve.means, strict=True):
            if mean is None or not view.x0 <= x <= view.x1 or (view.log and mean <= 0):
                continue
            place = (x - view.x0) / (view.x1 - view.x0)
            column = min(round(place * (self.width * 2 - 1)) >> 1, self.width - 1)
            row = min(max(round((1 - view.up(mean)) * (self.height * 4 - 1)), 0) >> 2, self.height)
            self._marks[min(row, self.height - 1) * self.width + column] = (curve.mark, curve.style)

    def _line(self, layer: bytearray, start: tuple[int, float], end: tuple[int, float]) -> None:
        """A straight line as one vertical run in each column of dots, without thick corners."""
        (x0, y0), (x1, y1) = start, end
        slope = (y1 - y0) / (x1 - x0)
        reach = math.copysign(max(abs(slope) / 2 - 0.5, 0.0), slope)
        for x in range(max(x0, 0), min(x1, self.width * 2 - 1) + 1):
            y = y0 + (x - x0) * slope
            self._span(layer, x, y if x == x0 else y - reach, y if x == x1 else y + reach)

    def _span(self, layer: bytearray, column: int, y0: float, y1: float) -> None:
        """Set the dots of one column between two heights, clipped to the canvas."""
        top, bottom = round(min(y0, y1)), round(max(y0, y1))
        limit = self.height * 4 - 1
        if bottom < 0 or top > limit or not 0 <= column < self.width * 2:
            return
        top, bottom = max(top, 0), min(bottom, limit)
        spans = _SPANS[column & 1]
        first, last = top >> 2, bottom >> 2
        cell = first * self.width + (column >> 1)
        if first == last:
            layer[cell] |= spans[top & 3][bottom & 3]
            return
        layer[cell] |= spans[top & 3][3]
        for _ in range(first + 1, last):
            cell += self.width
            layer[cell] |= spans[0][3]
        layer[cell + self.width] |= spans[0][bottom & 3]

    def rows(
        self, grid: Iterable[int] = (), cursor: int | None = None, ink: str = "grid"
    ) -> list[list[Run]]:
        """The cells, top row first, as runs of one style.

        Args:
            grid: rows that carry a faint horizontal line where nothing is drawn.
            cursor: column that carries the crosshair where nothing is drawn.
            ink: style of the horizontal lines.
        """
        codes = bytearray(self.width * self.height)
        owners = bytearray(self.width * self.height)
        for number, (_, layer) in enumerate(self._bits):
            for cell, bits in enumerate(layer):
                if bits:
                    codes[cell], owners[cell] = bits, number
        lined = set(grid)
        rows = []
        for row in range(self.height):
            base = row * self.width
            empty = ("┈", ink) if row in lined else (" ", "")
            cells: list[Run] = []
            for column in range(self.width):
                code = codes[base + column]
                if code:
                    cells.append((chr(BLANK + code), self._bits[owners[base + column]][0]))
                else:
                    cells.append(("│", "cursor") if column == cursor else empty)
            for column in range(self.width):
                if base + column in self._marks:
                    cells[column] = self._marks[base + column]
            rows.append(joined(cells))
        return rows


def _columns(xs: Sequence[float], view: View, columns: int) -> Iterable[tuple[int, int, int]]:
    """`(column, a, b)` for each column of dots that holds buckets `a..b-1`.

    One bucket beyond each edge is included, at the column where it would be, so that a line that
    leaves the view is drawn to the border.
    """
    scale = (view.x1 - view.x0) / max(columns - 1, 1)
    a = bisect_left(xs, view.x0 - scale / 2)
    if a > 0:
        yield min(round((xs[a - 1] - view.x0) / scale), -1), a - 1, a
    end = bisect_left(xs, view.x1 + scale / 2)
    while a < end:
        column = min(max(int((xs[a] - view.x0) / scale + 0.5), 0), columns - 1)
        edge = view.x0 + (column + 0.5) * scale
        b = max(bisect_left(xs, edge, a + 1, end), a + 1)
        yield column, a, b
        a = b
    if end < len(xs):
        yield max(round((xs[end] - view.x0) / scale), columns), end, end + 1


def joined(cells: Iterable[Run]) -> list[Run]:
    """Join neighbours of one style."""
    runs: list[Run] = []
    for text, style in cells:
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + text, style)
        else:
            runs.append((text, style))
    return runs


def ema(xs: Sequence[float], means: Sequence[float | None], span: float) -> list[float | None]:
    """The exponential moving average of what came before, free of the bias of its start.

    A point counts by exp(-distance / span), distance in units of x, and the sum is divided by the
    weights: the first value stands for itself alone, as in Adam's bias correction (Kingma & Ba
    2015). Gaps stay gaps and count for nothing.
    """
    total = weight = 0.0
    before = xs[0] if xs else 0.0
    out: list[float | None] = []
    for x, mean in zip(xs, means, strict=True):
        if mean is None:
            out.append(None)
            continue
        keep = math.exp(-abs(x - before) / span)
        total, weight, before = keep * total + mean, keep * weight + 1.0, x
        out.append(total / weight)
    return out
