"""A plot as an SVG image that needs nothing else: curves over steps, with their extremes.

Knows scales, ticks and shapes; colours are classes that the page defines. Does not know runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from store.metrics import Series
from store.visible import visible

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 10, 26
_LOG_FROM = 30.0
"""How many times larger than the least the greatest value is where a scale becomes logarithmic."""
_DOTS = 40
_LARGEST = 1e150


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels, linear or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most so many round values."""
        return _powers(self.low, self.high) if self.log else _round(self.low, self.high, most)


def plot(title: str, curves: Sequence[tuple[str, Series]]) -> str:
    """One `<svg>` of one curve or more; empty text where no value is a number.

    Args:
        title: read out where the image is not seen.
    """
    low, high = _bounds(curves)
    if low is None or high is None:
        return ""
    first = min(series.steps[0] for _, series in curves if len(series))
    last = max(series.ends[-1] for _, series in curves if len(series))
    across = Scale(first, last if last > first else first + 1, _LEFT, WIDTH - _RIGHT)
    # One spike must not make a scale logarithmic: means decide, extremes are only drawn.
    means = [m for _, series in curves for m in series.means if m is not None]
    log = min(means) > 0 and low > 0 and max(means) / min(means) >= _LOG_FROM
    up = _upright(low, high, log=log)
    parts = [*_axes(across, up)]
    for slot, (name, series) in enumerate(curves):
        parts += _curve(series, across, up, slot)
        parts.append(_name(slot, name, len(curves)))
    words = escape(visible(f"{title}: from {_label(low)} to {_label(high)}"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def is_log(curves: Sequence[tuple[str, Series]]) -> bool:
    """Whether `plot` draws these by the logarithm."""
    low, _ = _bounds(curves)
    means = [m for _, series in curves for m in series.means if m is not None]
    return bool(low and low > 0 and min(means) > 0 and max(means) / min(means) >= _LOG_FROM)


def _bounds(curves: Sequence[tuple[str, Series]]) -> tuple[float | None, float | None]:
    # The distance of two larger ones may be infinite.
    lows = [v for _, s in curves for v in s.lows if v is not None and abs(v) < _LARGEST]
    highs = [v for _, s in curves for v in s.highs if v is not None and abs(v) < _LARGEST]
    return min(lows, default=None), max(highs, default=None)


def _upright(low: float, high: float, *, log: bool) -> Scale:
    if log:
        return Scale(low, high, HEIGHT - _BOTTOM, _TOP, log=True)
    room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    floor = 0.0 if 0 <= low < (high - low) * 0.5 else low - room
    return Scale(floor, high + room, HEIGHT - _BOTTOM, _TOP)


def _axes(across: Scale, up: Scale) -> Iterator[str]:
    for value in up.ticks(5):
        y = up(value)
        yield f'<line class="g" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_label(value)}</text>'
    for value in across.ticks(8):
        if value == round(value):
            x = across(value)
            yield f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{value:,.0f}</text>'


def _curve(series: Series, across: Scale, up: Scale, slot: int) -> Iterator[str]:
    """Shade, line, and dots where there are few points; gaps as marks at the top."""
    for run in _runs(series):
        middle = [(across((series.steps[i] + series.ends[i]) / 2), up(series.means[i] or 0.0))
                  for i in run]  # fmt: skip
        spread = any(series.lows[i] != series.highs[i] for i in run)
        if spread:
            upper = [(x, up(series.highs[i] or 0.0)) for (x, _), i in zip(middle, run, strict=True)]
            lower = [(x, up(series.lows[i] or 0.0)) for (x, _), i in zip(middle, run, strict=True)]
            yield f'<path class="b c{slot}" d="{_path([*upper, *lower[::-1]])}Z"/>'
        yield f'<path class="l c{slot}" d="{_path(middle)}"/>'
        if len(series) <= _DOTS or len(run) == 1:
            yield from (f'<circle class="d c{slot}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
                        for x, y in middle)  # fmt: skip
    for i, nulls in enumerate(series.nulls):
        if nulls:
            x = across((series.steps[i] + series.ends[i]) / 2)
            yield f'<text class="x" x="{x:.1f}" y="{_TOP + 8}" text-anchor="middle">✗</text>'


def _runs(series: Series) -> Iterator[list[int]]:
    """Stretches of buckets without a gap."""
    run: list[int] = []
    for i, mean in enumerate(series.means):
        if mean is None:
            if run:
                yield run
            run = []
        else:
            run.append(i)
    if run:
        yield run


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _name(slot: int, name: str, count: int) -> str:
    if count < 2:
        return ""
    y = _TOP + 14 + 16 * slot
    x = WIDTH - _RIGHT - 8
    return (
        f'<text class="n c{slot}" x="{x}" y="{y}" text-anchor="end">{escape(visible(name))}</text>'
    )


def _round(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return []
    power = math.floor(math.log10((high - low) / most))
    for size in (m * 10.0**e for e in (power, power + 1) for m in (1, 2, 5)):
        first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
        if last - first < most:
            return [n * size for n in range(first, last + 1)]
    return []


def _powers(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten, or powers alone where there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**p for p in powers for m in steps if low <= m * 10.0**p <= high]
        if len(found) <= 7:
            return found
    return found[:: len(found) // 7 + 1]


def _label(value: float) -> str:
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= 10 * unit or (unit > 1e3 and size >= unit):
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}" if size >= 1e-3 or not value else f"{value:.1e}".replace("e-0", "e-")
