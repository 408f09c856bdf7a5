"""Two models on the same prompts: is the difference more than chance?

Knows arithmetic alone. A difference is `after - before`: of outcomes, 1 for pass and 0 for fail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from engine.checks.stats.rates import at_least


def mcnemar(up: int, down: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947; exact as in Agresti 2002, 10.1.4).

    Args:
        up: pairs that failed before and pass now; down: the other way round.
    Returns:
        The probability of a split as uneven or more where both ways are equally likely.
    """
    return min(2 * at_least(max(up, down), up + down, 0.5), 1.0)


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided sign test (Arbuthnott 1710; Conover 1999, 3.4); ties are left out before."""
    return mcnemar(wins, losses)


def difference_test(
    differences: Sequence[int], clusters: Sequence[Hashable] | None = None
) -> float:
    """Exact two-sided randomisation test that differences are as likely up as down.

    Each cluster's sum keeps its size and takes either sign with equal chance (Fisher 1935, §21;
    Eden & Yates 1933 for whole clusters); all signs are counted by convolution, none are drawn.
    With no clusters and differences of -1, 0 and 1 this is `mcnemar`.

    Args:
        differences: one a prompt. clusters: its cluster, None for one of its own each.
    """
    sums: defaultdict[Hashable, int] = defaultdict(int)
    for key, value in zip(clusters or range(len(differences)), differences, strict=True):
        sums[key] += value
    sizes = [abs(value) for value in sums.values() if value]
    seen = abs(sum(sums.values()))
    if all(size == 1 for size in sizes):
        return min(2 * at_least((len(sizes) + seen) // 2, len(sizes), 0.5), 1.0) if seen else 1.0
    reach = sum(sizes)
    chance = np.zeros(2 * reach + 1)
    chance[reach] = 1.0
    for size in sizes:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2
    return min(float(chance[: reach - seen + 1].sum() + chance[reach + seen :].sum()), 1.0)


def bootstrap_difference(
    differences: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    rounds: int = 10_000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean difference (Efron 1979; pairs are drawn whole).

    Clusters are drawn whole too (Davison & Hinkley 1997, 3.8). Where no cluster differs from
    another a draw shows nothing: then the interval is as wide as what would have gone unseen in so
    many clusters with 2.5 % (Hanley & Lippman-Hand 1983), for differences between -1 and 1.

    Returns:
        (low, high), or None where there is nothing to draw from.
    """
    if not differences:
        return None
    keys = clusters or range(len(differences))
    sums: defaultdict[Hashable, float] = defaultdict(float)
    sizes: defaultdict[Hashable, int] = defaultdict(int)
    for key, value in zip(keys, differences, strict=True):
        sums[key] += value
        sizes[key] += 1
    # Clusters that are alike are drawn by their number: a draw costs their kinds, not the prompts.
    alike, counts = np.unique([(sums[key], sizes[key]) for key in sums], axis=0, return_counts=True)
    if len(alike) == 1:
        middle = float(alike[0, 0] / alike[0, 1])
        unseen = 1 - 0.025 ** (1 / len(sums))
        return max(middle - unseen, -1.0), min(middle + unseen, 1.0)
    draws = np.random.default_rng(seed).multinomial(len(sums), counts / len(sums), size=rounds)
    means = draws @ alike[:, 0] / (draws @ alike[:, 1])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order (Holm 1979).

    What stays below 0.05 keeps the chance of any false alarm in the family at 5 %.
    """
    adjusted = [0.0] * len(chances)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, (len(chances) - place) * chances[index]))
        adjusted[index] = highest
    return adjusted
