"""Choosing the next token from logits, the same way for every kind of worker.

Knows temperature, nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751) and seeds. One number
is drawn a token from a generator of the row's own, and the token is found by inverting the
cumulative distribution: an answer can be reproduced whatever its neighbours in the batch are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CANDIDATES = 512


class Sampler:
    """The sampling state of one row.

    Args:
        temperature: 0 is greedy, and then no number is drawn.
        top_p: keep the fewest tokens whose probabilities reach this sum.
        seed: equal seeds give equal draws.
    """

    def __init__(self, temperature: float, top_p: float, seed: int) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def pick(self, logits: NDArray[np.float32]) -> int:
        """The next token id; `logits` has shape (vocabulary,)."""
        if self._temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64) / self._temperature
        weights = np.exp(scaled - scaled.max())
        drawn = self._generator.random()
        if self._top_p >= 1:
            sums = np.cumsum(weights)
            return _invert(sums, drawn)
        order = _nucleus(weights, self._top_p * float(weights.sum()))
        return int(order[_invert(np.cumsum(weights[order]), drawn)])


def _nucleus(weights: NDArray[np.float64], wanted: float) -> NDArray[np.int64]:
    """Ids of the fewest heaviest tokens whose weights reach `wanted`, heaviest first."""
    count = min(_CANDIDATES, len(weights))
    top = np.argpartition(weights, -count)[-count:]
    if weights[top].sum() < wanted:
        top = np.arange(len(weights))
    # Ties are broken by id, so that the order does not depend on the partition.
    order = top[np.lexsort((top, -weights[top]))]
    reached = int(np.searchsorted(np.cumsum(weights[order]), wanted))
    return order[: reached + 1]


def _invert(sums: NDArray[np.float64], drawn: float) -> int:
    at = int(np.searchsorted(sums, drawn * sums[-1], side="right"))
    return min(at, len(sums) - 1)
