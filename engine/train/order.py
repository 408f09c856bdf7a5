"""Which rows are in which batch: a pure function of the lengths, the seed and the epoch.

A resumed run sees the batches that an undisturbed one would have seen, and a diagnosis can name the
rows of any step. Knows numbers. Does not know rows or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


def epoch_batches(
    lengths: Sequence[int] | Places, size: int, seed: int, epoch: int, *, grouped: bool
) -> list[list[int]]:
    """Lists of example indices, shuffled anew each epoch, of similar length where asked for."""
    counts = np.asarray(lengths)
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(counts))
    if grouped:
        order = _sorted_in_pools(order, counts, size)
    batches: list[list[int]] = [
        order[start : start + size].tolist() for start in range(0, len(order), size)
    ]
    if grouped:
        random.shuffle(batches)
    return batches


def _sorted_in_pools(order: Places, lengths: Places, size: int) -> Places:
    """Sort by length within pools, so that batches are even and still differ each epoch.

    Method and pool size: `LengthGroupedSampler` of transformers, with the batches shuffled
    afterwards so that length does not follow the step.
    """
    pool = size * max(1, min(len(order) // (size * 4), 50))
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    return np.concatenate([p[np.argsort(-lengths[p], kind="stable")] for p in pools])
