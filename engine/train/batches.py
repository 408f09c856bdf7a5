"""Batches for the trainer (heavy): order decided by seed and epoch alone, padding on the right.

The order of an epoch does not depend on the state of any random generator, so that a resumed run
sees the batches that an undisturbed one would have seen. Knows examples and tensors. Does not know
models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from engine.train.examples import IGNORED, Example
from engine.train.order import epoch_batches

Batch = dict[str, torch.Tensor]


class EpochSampler(Sampler[list[int]]):
    """Lists of example indices, shuffled anew each epoch, of similar length where asked for."""

    def __init__(self, lengths: Sequence[int], size: int, seed: int, *, grouped: bool) -> None:
        self._lengths = np.asarray(lengths)
        self._size = size
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        yield from epoch_batches(
            self._lengths, self._size, self._seed, self._epoch, grouped=self._grouped
        )


class EpochLoader(DataLoader[Example]):
    """A data loader that the trainer can tell the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        sampler = self.batch_sampler
        assert isinstance(sampler, EpochSampler)
        sampler.set_epoch(epoch)


class Collator:
    """Examples to `input_ids`, `labels` and `attention_mask`, each (batch, longest), int64."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, examples: Sequence[Example]) -> Batch:
        longest = max(len(example.ids) for example in examples)
        shape = (len(examples), longest)
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for line, example in enumerate(examples):
            n = len(example.ids)
            ids[line, :n] = example.ids
            labels[line, :n] = example.labels
            mask[line, :n] = 1
        return {
            "input_ids": torch.from_numpy(ids),
            "labels": torch.from_numpy(labels),
            "attention_mask": torch.from_numpy(mask),
        }


def training_loader(
    examples: list[Example], size: int, seed: int, collator: Collator, *, grouped: bool
) -> EpochLoader:
    """The batches of training, in an order fixed by `seed` and the epoch."""
    lengths = [len(example.ids) for example in examples]
    sampler = EpochSampler(lengths, size, seed, grouped=grouped)
    # A list has length and index, which is all that a map-style dataset is.
    return EpochLoader(examples, batch_sampler=sampler, collate_fn=collator)  # type: ignore[arg-type]


def evaluation_batches(examples: list[Example], size: int, collator: Collator) -> list[Batch]:
    """All held-out examples, longest first, so that a batch that does not fit fails at once."""
    ordered = sorted(examples, key=lambda example: -len(example.ids))
    return [collator(ordered[start : start + size]) for start in range(0, len(ordered), size)]
