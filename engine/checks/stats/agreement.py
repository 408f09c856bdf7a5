"""How far two who judge the same answers agree, beyond what they would by chance.

Knows arithmetic alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.checks.stats.rates import wilson

_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """Verdicts of two on the same answers.

    Attributes:
        total: answers that both judged; same: those with the same verdict.
        low, high: the 95 % Wilson interval of `same / total`.
        kappa: Cohen's (1960): 1 where they always agree, 0 where no more than by chance; None
            where both always said one and the same.
        kappa_low, kappa_high: its 95 % interval.
    """

    total: int
    same: int
    low: float
    high: float
    kappa: float | None
    kappa_low: float
    kappa_high: float


def agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement | None:
    """How far the first and the second of each pair agree; None where there are no pairs.

    The interval of kappa holds 95 % of what the four shares may be after these counts, by Jeffreys'
    prior (as Basu, Banerjee & Sen 2000 for kappa): it stays honest for few answers and where all
    agree, where the formula of Fleiss, Cohen & Everitt (1969) has no width.
    """
    if not pairs:
        return None
    found = Counter(pairs)
    order = ((True, True), (True, False), (False, True), (False, False))
    counts = np.array([found[pair] for pair in order], dtype=np.float64)
    same, total = found[True, True] + found[False, False], len(pairs)
    low, high = wilson(same, total) or (0.0, 1.0)
    kappa = float(_kappa(counts[None, :] / total)[0])
    drawn = _kappa(np.random.default_rng(0).dirichlet(counts + 0.5, size=_DRAWS))
    ends = np.quantile(drawn, (0.025, 0.975))
    return Agreement(
        total, same, low, high, None if np.isnan(kappa) else kappa, float(ends[0]), float(ends[1])
    )


def _kappa(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of shares (…, 4): both yes, first alone, second alone, neither. NaN where chance does all."""
    both, first, second, neither = np.moveaxis(shares, -1, 0)
    seen = both + neither
    chance = (both + first) * (both + second) + (neither + second) * (neither + first)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(chance < 1 - 1e-12, (seen - chance) / (1 - chance), np.nan))
