"""Batches for the trainer (heavy): order decided by seed and epoch alone, padding on the right.

The order of an epoch does not depend on the state of any random generator, so that a resumed run
sees the batches that an undisturbed one would have seen. Knows examples and tensors. Does not know
models.

Packed rows lie end to end, each with positions of its own from 0: attention tells them apart by
these, as long as no cache is in use, and no row is asked to predict the next one's first token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine.train.examples import IGNORED, Example
from engine.train.order import epoch_batches, packed_batches

Batch = dict[str, torch.Tensor]
Sequences = Sequence[Sequence[Example]]
Collate = Callable[[Sequence[Example]], Batch] | Callable[[Sequences], Batch]


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

    def heaviest(self) -> list[int]:
        """The batch that takes most memory: of the longest rows."""
        order: list[int] = np.argsort(-self._lengths, kind="stable").tolist()
        return order[: self._size]


class PackedSampler(Sampler[list[list[int]]]):
    """Lists of sequences, each a list of example indices that fill `capacity` tokens best."""

    def __init__(self, lengths: Sequence[int], size: int, seed: int, capacity: int) -> None:
        self._lengths = np.asarray(lengths)
        self._size = size
        self._seed = seed
        self._capacity = capacity
        self._epoch = 0
        self._count = len(self._batches())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[list[int]]]:
        yield from self._batches()

    def heaviest(self) -> list[list[int]]:
        """The batch that takes most memory: of the fullest sequences."""
        batches = packed_batches(self._lengths, 1, self._seed, 0, self._capacity)
        full = sorted(batches, key=lambda batch: -int(self._lengths[batch[0]].sum()))
        return [batch[0] for batch in full[: self._size]]

    def _batches(self) -> list[list[list[int]]]:
        return packed_batches(self._lengths, self._size, self._seed, self._epoch, self._capacity)


class Rows(Dataset[Example | list[Example]]):
    """An example by its index, or a sequence of them by theirs."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int | Sequence[int]) -> Example | list[Example]:
        if isinstance(index, int):
            return self.examples[index]
        return [self.examples[place] for place in index]


class EpochLoader(DataLoader[Example | list[Example]]):
    """A data loader that the trainer can tell the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._ours.set_epoch(epoch)

    @property
    def examples(self) -> Sequence[Example]:
        """Every row that is trained on."""
        assert isinstance(self.dataset, Rows)
        return self.dataset.examples

    def heaviest(self) -> Batch:
        """The batch that takes most memory, as the trainer would be given it."""
        batch: Batch = self.collate_fn([self.dataset[place] for place in self._ours.heaviest()])
        return batch

    @property
    def _ours(self) -> EpochSampler | PackedSampler:
        sampler = self.batch_sampler
        assert isinstance(sampler, EpochSampler | PackedSampler)
        return sampler


class Collator:
    """Rows to `input_ids`, `labels` and `attention_mask`, each (batch, longest), int64."""

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
        return _tensors(input_ids=ids, labels=labels, attention_mask=mask)


class PackedCollator:
    """Sequences of rows to `input_ids`, `labels` and `position_ids`, int64.

    In one line, (1, all tokens), where attention skips between rows by their positions; else a
    line a sequence, (batch, longest), for a dense mask grows with the square of a line.
    """

    def __init__(self, pad_id: int, *, one_line: bool) -> None:
        self._pad_id = pad_id
        self._one_line = one_line

    def __call__(self, sequences: Sequences) -> Batch:
        lines = [[e for row in sequences for e in row]] if self._one_line else sequences
        longest = max(sum(len(example.ids) for example in line) for line in lines)
        shape = (len(lines), longest)
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        for line, examples in enumerate(lines):
            start = 0
            for example in examples:
                end = start + len(example.ids)
                ids[line, start:end] = example.ids
                labels[line, start + 1 : end] = example.labels[1:]
                positions[line, start:end] = np.arange(end - start)
                start = end
            # Padding is a row of its own: nothing sees it, and it teaches nothing.
            positions[line, start:] = np.arange(longest - start)
        return _tensors(input_ids=ids, labels=labels, position_ids=positions)


def training_loader(
    examples: list[Example],
    size: int,
    seed: int,
    collator: Collate,
    *,
    grouped: bool = False,
    capacity: int = 0,
    pin_memory: bool = False,
) -> EpochLoader:
    """The batches of training, in an order fixed by `seed` and the epoch.

    Args:
        capacity: tokens of a sequence that rows are packed into; 0 packs nothing.
    """
    lengths = [example.longest for example in examples]
    sampler: EpochSampler | PackedSampler
    if capacity:
        sampler = PackedSampler(lengths, size, seed, capacity)
    else:
        sampler = EpochSampler(lengths, size, seed, grouped=grouped)
    return EpochLoader(
        Rows(examples), batch_sampler=sampler, collate_fn=collator, pin_memory=pin_memory
    )


def evaluation_batches(
    examples: list[Example], size: int, collator: Callable[[Sequence[Example]], Batch]
) -> list[Batch]:
    """All held-out examples, longest first, so that a batch that does not fit fails at once."""
    ordered = sorted(examples, key=lambda example: -example.longest)
    return [collator(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def _tensors(**arrays: np.ndarray) -> Batch:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
