"""Choosing the next token from logits, the same way for every kind of worker.

Knows temperature, top-k, nucleus (Holtzman et al. 2020, arXiv:1904.09751) and min-p (Nguyen et al.
2024, arXiv:2407.01082) sampling, the repetition penalty (Keskar et al. 2019, arXiv:1909.05858) and
seeds; they act in the order that transformers has. One number is drawn a token from a generator of
the row's own, and the token is found by inverting the cumulative distribution: an answer can be
reproduced whatever its neighbours in the batch are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.chat.protocol import Ask

_CANDIDATES = 512


class Sampler:
    """The sampling state of one row.

    Args:
        temperature: 0 is greedy, and then no number is drawn.
        top_p: keep the fewest tokens whose probabilities reach this sum.
        seed: equal seeds give equal draws.
        top_k: keep so many of the likeliest tokens first; 0 keeps all.
        min_p: drop tokens less likely than this share of the likeliest.
        repetition_penalty: what makes a token that was there before less likely; 1 does nothing.
    """

    def __init__(
        self,
        temperature: float,
        top_p: float,
        seed: int,
        *,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
    ) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._top_k = top_k
        self._min_p = min_p
        self._penalty = repetition_penalty
        self._met: set[int] = set()
        self._generator = np.random.Generator(np.random.PCG64(seed))

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is always the one."""
        return self._temperature == 0 and self._penalty == 1

    def read(self, prompt: Iterable[int]) -> None:
        """Tokens that count as there before."""
        self._met.update(prompt)

    def pick(self, logits: NDArray[np.float32]) -> int:
        """The next token id; `logits` has shape (vocabulary,)."""
        if self._penalty != 1:
            logits = self._penalised(logits)
        token = int(np.argmax(logits)) if self._temperature == 0 else self._draw(logits)
        self._met.add(token)
        return token

    def _penalised(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        met = np.fromiter(self._met, np.int64, len(self._met))
        lower = logits.copy()
        old = logits[met]
        lower[met] = np.where(old < 0, old * self._penalty, old / self._penalty)
        return lower

    def _draw(self, logits: NDArray[np.float32]) -> int:
        scaled = logits.astype(np.float64) / self._temperature
        weights = np.exp(scaled - scaled.max())
        drawn = self._generator.random()
        if not self._top_k and self._top_p >= 1:
            weights[weights < self._min_p] = 0  # the likeliest weighs 1
            return _invert(np.cumsum(weights), drawn)
        order = _heaviest(weights, self._top_k, self._top_p)
        kept = weights[order]
        return int(order[_invert(np.cumsum(kept[kept >= self._min_p]), drawn)])


def sampler_of(ask: Ask, prompt: Iterable[int]) -> Sampler:
    """The sampler of one row of a question."""
    sampler = Sampler(
        ask.temperature,
        ask.top_p,
        ask.seed,
        top_k=ask.top_k,
        min_p=ask.min_p,
        repetition_penalty=ask.repetition_penalty,
    )
    sampler.read(prompt)
    return sampler


def log_probability(logits: NDArray[np.float32], token: int) -> float:
    """Natural logarithm of a token's probability; `logits` has shape (vocabulary,)."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(wide[token] - top - np.log(np.exp(wide - top).sum()))


def _heaviest(weights: NDArray[np.float64], top_k: int, top_p: float) -> NDArray[np.int64]:
    """Ids of the `top_k` heaviest, of them the fewest that reach `top_p`, heaviest first."""
    count = min(top_k or _CANDIDATES, len(weights))
    wanted = 0.0 if top_k else top_p * weights.sum()
    top = np.argpartition(weights, -count)[-count:]
    while count < len(weights) and weights[top].sum() < wanted:
        count = min(8 * count, len(weights))
        top = np.argpartition(weights, -count)[-count:]
    # Ties are broken by id, so that the order does not depend on the partition.
    order = top[np.lexsort((top, -weights[top]))]
    sums = np.cumsum(weights[order])
    whole = sums[-1] if top_k else weights.sum()
    return order[: int(np.searchsorted(sums, top_p * whole)) + 1]


def _invert(sums: NDArray[np.float64], drawn: float) -> int:
    at = int(np.searchsorted(sums, drawn * sums[-1], side="right"))
    return min(at, len(sums) - 1)
