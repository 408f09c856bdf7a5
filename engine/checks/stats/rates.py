"""Rates with their uncertainty, of independent prompts and of prompts that come in clusters.

Knows arithmetic alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


def wilson(passed: float, total: float, z: float = Z95) -> tuple[float, float] | None:
    """The Wilson score interval of a rate (Wilson 1927), as shares of 1.

    Args:
        passed, total: counts, or the effective ones of `effective_size`.
    Returns:
        (low, high), or None where nothing was counted.
    """
    if total <= 0:
        return None
    rate = passed / total
    weight = z * z / total
    middle = rate + weight / 2
    half = z * math.sqrt(max(rate * (1 - rate), 0.0) / total + weight / (4 * total))
    low = 0.0 if rate <= 0 else max((middle - half) / (1 + weight), 0.0)
    high = 1.0 if rate >= 1 else min((middle + half) / (1 + weight), 1.0)
    return low, high


def effective_size(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | None = None,
) -> float:
    """How many independent, equally weighted prompts would tell as much about the mean.

    The variance of the mean is the cluster-robust one (Liang & Zeger 1986; for evaluations Miller
    2024, arXiv 2411.00640), the size is what the independent variance would need for it. Where all
    values are the same nothing is known of how clusters agree, and each counts as one (Kish 1965).

    Args:
        values: one a prompt. clusters: its cluster, None for one of its own each.
        weights: of the prompts, 1 each where None.
    Returns:
        0 to len(values).
    """
    n = len(values)
    heavy = [1.0] * n if weights is None else list(weights)
    keys: Sequence[Hashable] = range(n) if clusters is None else clusters
    total = math.fsum(heavy)
    if total <= 0:
        return 0.0
    mean = math.fsum(w * v for w, v in zip(heavy, values, strict=True)) / total
    apart: defaultdict[Hashable, float] = defaultdict(float)
    mass: defaultdict[Hashable, float] = defaultdict(float)
    for key, weight, value in zip(keys, heavy, values, strict=True):
        apart[key] += weight * (value - mean)
        mass[key] += weight
    alone = total * total / math.fsum(w * w for w in heavy)
    spread = math.fsum(w * (v - mean) ** 2 for w, v in zip(heavy, values, strict=True)) / total
    between = math.fsum(a * a for a in apart.values())
    many = len(mass)
    if many < n:
        # Few clusters agree by accident: the usual factor, and Student's t for the normal's point
        # (Korn & Graubard 1998), by its expansion in 1 / degrees of freedom.
        free = max(many - 1, 1)
        between *= many / free * (1 + (Z95**2 + 1) / (4 * free)) ** 2
    if spread <= 0 or between <= 0:
        return total * total / math.fsum(w * w for w in mass.values())
    return min(spread * total * total / between, alone)


def at_least(found: int, total: int, rate: float) -> float:
    """Probability of `found` or more out of `total` where each has the probability `rate`."""
    if found <= 0:
        return 1.0
    if found > total:
        return 0.0
    if rate <= 0 or rate >= 1:
        return float(rate >= 1)
    if found <= total * rate:
        return max(1.0 - at_least(total - found + 1, total, 1 - rate), 0.0)
    term = math.exp(
        math.lgamma(total + 1)
        - math.lgamma(found + 1)
        - math.lgamma(total - found + 1)
        + found * math.log(rate)
        + (total - found) * math.log1p(-rate)
    )
    # Beyond the mean each term is smaller than the one before: the far ones add nothing.
    odds, tail = rate / (1 - rate), 0.0
    for k in range(found, total + 1):
        tail += term
        term *= (total - k) / (k + 1) * odds
        if term <= tail * 1e-17:
            break
    return min(tail, 1.0)


def fell(worse: int, better: int) -> float:
    """One-sided exact McNemar test of paired outcomes (McNemar 1947, exact as in Agresti 2002).

    Args:
        worse: pairs that passed before and fail now; better: the other way round.
    Returns:
        Probability of as many or more `worse` where both were equally likely.
    """
    return at_least(worse, worse + better, 0.5)
