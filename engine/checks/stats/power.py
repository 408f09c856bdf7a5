"""What could have been seen: the smallest drop that a suite would notice.

Knows arithmetic alone. Power is the probability that a real difference is found at 5 %, two-sided.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.checks.stats.rates import at_least

ALPHA = 0.05
POWER = 0.8


def drop_power(total: int, drop: float, churn: float = 0.0, alpha: float = ALPHA) -> float:
    """The chance that exact McNemar finds a drop in so many pairs.

    A pair flips down with probability `drop + churn` and up with `churn`.
    """
    down, up = drop + churn, churn
    flips = min(down + up, 1.0)
    if total <= 0 or flips <= 0:
        return 0.0
    share = down / (down + up)
    middle = total * flips
    reach = 8 * math.sqrt(middle) + 12
    first, last = max(0, int(middle - reach)), min(total, int(middle + reach))
    chances = _binomial(total, flips)[first : last + 1]
    found = sum(
        chance * _rejects(count, share, alpha)
        for count, chance in enumerate(chances.tolist(), first)
        if chance > 1e-12
    )
    return float(min(found, 1.0))


@lru_cache(maxsize=1024)
def detectable_drop(
    total: float, rate: float, churn: float = 0.0, *, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """The smallest drop that these prompts would have shown four times in five.

    Args:
        total: pairs that were judged, or their effective number.
        rate: share that passes with the base: nothing can drop by more.
        churn: share of the pairs that flips each way for no reason.
    Returns:
        A share of 1, rounded up to a thousandth; None where not even the loss of all would show.
    """
    size = int(total)
    most = math.floor(min(rate, 1 - 2 * churn) * 1000 + 1e-9)
    if most <= 0 or drop_power(size, most / 1000, churn, alpha) < power:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if drop_power(size, middle / 1000, churn, alpha) < power:
            low = middle
        else:
            high = middle
    return high / 1000


@lru_cache(maxsize=4096)
def _bound(count: int, alpha: float) -> int | None:
    """The smallest majority of `count` that a two-sided test takes for no chance."""
    if 2 * 0.5**count > alpha:
        return None
    low, high = count // 2, count
    while high - low > 1:
        middle = (low + high) // 2
        if 2 * at_least(middle, count, 0.5) <= alpha:
            high = middle
        else:
            low = middle
    return high


def _rejects(count: int, share: float, alpha: float) -> float:
    """The chance that so many flips, each down with probability `share`, are significant."""
    bound = _bound(count, alpha)
    if bound is None:
        return 0.0
    return at_least(bound, count, share) + at_least(bound, count, 1 - share)


def _binomial(total: int, rate: float) -> npt.NDArray[np.float64]:
    """The probabilities of 0 … total."""
    if rate >= 1:
        return np.asarray(np.arange(total + 1) == total, dtype=np.float64)
    k = np.arange(total + 1)
    logs = _log_ways(total) + k * math.log(rate) + (total - k) * math.log1p(-rate)
    return np.asarray(np.exp(logs))


@lru_cache(maxsize=64)
def _log_ways(total: int) -> npt.NDArray[np.float64]:
    """The logarithms of how many subsets of each size there are."""
    logs = np.array([math.lgamma(i + 1) for i in range(total + 1)])
    return np.asarray(logs[total] - logs - logs[::-1])
