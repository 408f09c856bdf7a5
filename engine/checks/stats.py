"""Rates with their uncertainty.

Knows arithmetic alone.
"""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


def wilson(passed: int, total: int, z: float = Z95) -> tuple[float, float] | None:
    """The Wilson score interval of a rate (Wilson 1927), as shares of 1.

    Returns:
        (low, high), or None where nothing was counted.
    """
    if total <= 0:
        return None
    rate = passed / total
    weight = z * z / total
    middle = rate + weight / 2
    half = z * math.sqrt(rate * (1 - rate) / total + weight / (4 * total))
    low = 0.0 if passed == 0 else (middle - half) / (1 + weight)
    high = 1.0 if passed == total else (middle + half) / (1 + weight)
    return low, high
