"""Many models compared two at a time: their strengths, whatever the order of the votes.

Bradley & Terry 1952, fitted by minorisation-maximisation (Zermelo 1929; Hunter 2004, eq. 3). Knows
arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
PRIOR = 0.1
"""Half-wins against an average opponent that each is lent, both ways: who never lost stays
finite, and groups that never met stay near each other."""
_UNSEEN = 0.5
"""Wins over each other that an interval allows for: who never lost may have been lucky."""
_ROUNDS = 2_000
_STILL = 1e-7


@dataclass(frozen=True, slots=True)
class Win:
    """One vote. A tie is half a win each way.

    Attributes:
        group: votes on the same prompt are drawn together; None for a vote of its own.
    """

    winner: str
    loser: str
    tie: bool = False
    group: Hashable = None


@dataclass(frozen=True, slots=True)
class Strength:
    """One model: `log` strength, 0 on average over the models, with its 95 % interval.

    Against another, the chance to win is 1 / (1 + exp(other.log - log)).
    """

    name: str
    log: float
    low: float
    high: float


def bradley_terry(wins: Table, prior: float = PRIOR) -> Table:
    """Log strengths (…, n), centred on 0.

    Args:
        wins: (…, n, n) how often the row won over the column; ties as a half each way.
        prior: see `PRIOR`; 0 gives the plain maximum likelihood.
    Raises:
        ValueError: no maximum exists: someone without a prior never lost, or groups never met.
    """
    if prior <= 0 and not _connected(wins):
        raise ValueError("the comparisons do not connect everyone both ways")
    games = wins + wins.swapaxes(-1, -2)
    won = wins.sum(axis=-1) + prior
    strength = np.ones(won.shape)
    for _ in range(_ROUNDS):
        shared = games / (strength[..., :, None] + strength[..., None, :])
        new = won / (shared.sum(axis=-1) + 2 * prior / (strength + 1.0))
        if prior <= 0:
            new /= np.exp(np.log(new).mean(axis=-1, keepdims=True))
        still = np.abs(new / strength - 1.0).max() < _STILL
        strength = new
        if still:
            break
    logs = np.log(strength)
    return np.asarray(logs - logs.mean(axis=-1, keepdims=True))


def rank(votes: Iterable[Win], *, rounds: int = 1_000, seed: int = 0) -> list[Strength]:
    """Everyone that was voted on, the strongest first, with intervals.

    They are of a Bayesian bootstrap (Rubin 1981): votes of one group are drawn together, and so is
    half a win of each over each other, as by Jeffreys' prior, without which few votes look sure.
    """
    every = list(votes)
    names = sorted({name for vote in every for name in (vote.winner, vote.loser)})
    if not names:
        return []
    grouped = _tables(every, names)
    best = bradley_terry(grouped.sum(axis=0))
    random = np.random.default_rng(seed)
    drawn = np.tensordot(random.standard_gamma(1, (rounds, len(grouped))), grouped, axes=1)
    unseen = random.standard_gamma(_UNSEEN, (rounds, len(names), len(names)))
    found = bradley_terry(drawn + unseen * (1 - np.eye(len(names))))
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    ranked = [
        Strength(name, float(best[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(names)
    ]
    return sorted(ranked, key=lambda strength: -strength.log)


def _tables(votes: Sequence[Win], names: Sequence[str]) -> Table:
    """(groups, n, n) wins of the row over the column."""
    at = {name: i for i, name in enumerate(names)}
    groups: dict[Hashable, int] = {}
    keys = [(i,) if vote.group is None else vote.group for i, vote in enumerate(votes)]
    for key in keys:
        groups.setdefault(key, len(groups))
    wins = np.zeros((len(groups), len(names), len(names)))
    for key, vote in zip(keys, votes, strict=True):
        a, b, group = at[vote.winner], at[vote.loser], groups[key]
        wins[group, a, b] += 0.5 if vote.tie else 1.0
        wins[group, b, a] += 0.5 if vote.tie else 0.0
    return wins


def _connected(wins: Table) -> bool:
    """Whether everyone beat everyone over some way (Ford 1957)."""
    reach = np.linalg.matrix_power((wins > 0) + np.eye(len(wins)), len(wins)) > 0
    return bool(reach.all())
