"""Round numbers for axes, and how to write them.

Knows which values a person likes to read on an axis. Does not know pixels, cells or curves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` multiples of 1, 2, 2.5 or 5 x 10^n inside `low..high`."""
    if high <= low or most < 1:
        return []
    for step in _steps((high - low) / most):
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [number * step for number in range(first, last + 1)]
    return []


def _steps(least: float) -> list[float]:
    """Round step sizes from about `least` upwards."""
    power = math.floor(math.log10(least))
    sizes = [m * 10.0**e for e in range(power, power + 3) for m in (1.0, 2.0, 2.5, 5.0)]
    return [size for size in sizes if size >= least * 0.6]


def whole_ticks(low: float, high: float, most: int) -> list[float]:
    """Like `linear_ticks`, for an axis that counts: no tick between whole numbers."""
    return [tick for tick in linear_ticks(low, high, most) if abs(tick - round(tick)) < 1e-9]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` of 1, 2, 5 x 10^n (or fewer mantissas) inside `low..high`, both positive."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = [m * 10.0**p for p in powers for m in mantissas if low <= m * 10.0**p <= high]
        if 2 <= len(ticks) <= most:
            return ticks
        if len(ticks) < 2:
            return linear_ticks(low, high, most)
    stride = -(-len(ticks) // max(most, 1))
    return ticks[::stride]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks as text of one width, decimal points below each other."""
    if not ticks:
        return []
    biggest = max(abs(tick) for tick in ticks)
    least = min((abs(tick) for tick in ticks if tick), default=1.0)
    if biggest and (biggest < 1e-3 or least < 1e-4):
        texts = [f"{tick:g}" if tick == 0 or abs(tick) >= 1e-2 else _power(tick) for tick in ticks]
        return [text.rjust(max(map(len, texts))) for text in texts]
    if biggest >= 10_000:
        return _scaled(ticks, biggest)
    decimals = [_decimals(tick) for tick in ticks]
    even = len(ticks) > 2 and _even(ticks)
    texts = [
        f"{tick:,.{max(decimals) if even else places}f}"
        for tick, places in zip(ticks, decimals, strict=True)
    ]
    return _align(texts)


def _power(tick: float) -> str:
    return f"{tick:.0e}".replace("e-0", "e-")


def _scaled(ticks: Sequence[float], biggest: float) -> list[str]:
    unit, letter = (1e9, "G") if biggest >= 1e9 else (1e6, "M") if biggest >= 1e6 else (1e3, "k")
    texts = [f"{tick / unit:g}{letter}" if tick else "0" for tick in ticks]
    return [text.rjust(max(map(len, texts))) for text in texts]


def _decimals(value: float) -> int:
    """How many decimals a round number needs, at most six."""
    for places in range(7):
        if abs(value - round(value, places)) <= abs(value) * 1e-9:
            return places
    return 6


def _even(ticks: Sequence[float]) -> bool:
    """Whether the ticks are equally far apart (a linear axis)."""
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    return max(gaps) - min(gaps) <= max(gaps) * 1e-6


def _align(texts: Sequence[str]) -> list[str]:
    after = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    padded = [text + " " * (max(after) - mine) for text, mine in zip(texts, after, strict=True)]
    width = max(map(len, padded))
    return [text.rjust(width) for text in padded]
