"""Rates with their uncertainty, and how surprising a difference is.

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


def at_least(found: int, total: int, rate: float) -> float:
    """Probability of `found` or more out of `total` where each has the probability `rate`."""
    if found <= 0:
        return 1.0
    if rate <= 0 or rate >= 1:
        return float(rate >= 1)
    logs = (
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(rate)
        + (total - k) * math.log1p(-rate)
        for k in range(found, total + 1)
    )
    return min(math.fsum(map(math.exp, logs)), 1.0)


def fell(worse: int, better: int) -> float:
    """One-sided exact McNemar test of paired outcomes (McNemar 1947, exact as in Agresti 2002).

    Args:
        worse: pairs that passed before and fail now; better: the other way round.
    Returns:
        Probability of as many or more `worse` where both were equally likely.
    """
    return at_least(worse, worse + better, 0.5)
