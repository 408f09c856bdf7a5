"""Which rows are in which batch: a pure function of the lengths, the seed and the epoch.

A resumed run sees the batches that an undisturbed one would have seen, and a diagnosis can name the
rows of any step. Knows numbers. Does not know rows or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
_POOL_BATCHES = 50
_ABOUT = 0.04
"""Lengths this much apart (a standard deviation, as a share) count as alike."""


def epoch_batches(
    lengths: Sequence[int] | Places, size: int, seed: int, epoch: int, *, grouped: bool
) -> list[list[int]]:
    """Lists of example indices, shuffled anew each epoch, of similar length where asked for."""
    counts = np.asarray(lengths)
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(counts))
    if grouped:
        order = _sorted_in_pools(order, counts, size, random)
    batches: list[list[int]] = [
        order[start : start + size].tolist() for start in range(0, len(order), size)
    ]
    if grouped:
        random.shuffle(batches)
    return batches


def _sorted_in_pools(
    order: Places, lengths: Places, size: int, random: np.random.Generator
) -> Places:
    """Sort by length within pools, so that batches are even and still differ each epoch.

    Method and pool size: `LengthGroupedSampler` of transformers, with the batches shuffled
    afterwards so that length does not follow the step. A dataset of less than a pool is one pool
    here, where transformers makes four of it: of 128 mixed chats 88 % are then no padding, and not
    70 %. Its rows change places with others of about their length, so that batches differ too.
    """
    pool = size * _POOL_BATCHES
    if len(order) <= pool:
        near = lengths[order] * np.exp(random.normal(0.0, _ABOUT, len(order)))
        return order[np.argsort(-near, kind="stable")]
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    return np.concatenate([p[np.argsort(-lengths[p], kind="stable")] for p in pools])


def packed_batches(
    lengths: Sequence[int] | Places, size: int, seed: int, epoch: int, capacity: int
) -> list[list[list[int]]]:
    """Batches of sequences of example indices; a sequence holds at most `capacity` tokens.

    Rows of equal length change places each epoch, so that neighbours differ; how many sequences
    there are does not, for that follows from the lengths alone.
    """
    counts = np.asarray(lengths)
    random = np.random.default_rng((seed, epoch))
    sequences = _packed(counts, random.permutation(len(counts)), capacity)
    random.shuffle(sequences)
    return [sequences[start : start + size] for start in range(0, len(sequences), size)]


def _packed(lengths: Places, order: Places, capacity: int) -> list[list[int]]:
    """Best fit decreasing, as TRL's `bfd`: the longest first, each where least is left over.

    The bits of `open_` say which amounts of free space some sequence has, so that the smallest
    that is enough is found at once.
    """
    sequences: list[list[int]] = []
    with_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    open_ = 0
    for row in order[np.argsort(-lengths[order], kind="stable")].tolist():
        length = min(int(lengths[row]), capacity)
        fitting = open_ >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            place = with_space[space].pop()
            if not with_space[space]:
                open_ &= ~(1 << space)
        else:
            space, place = capacity, len(sequences)
            sequences.append([])
        sequences[place].append(row)
        left = space - length
        if left:
            with_space[left].append(place)
            open_ |= 1 << left
    return sequences
