"""The batches of one device among several (heavy).

The batches of the run are those of one device, in the same order. They are dealt out whole, or
each is cut; where a device would have nothing, it gets a row of which nothing is trained. A batch
of preferences is cut as tensors, once it is complete: what its rows are measured against is the
whole batch. Where it cannot be cut evenly every device takes all of it, to an equal share.

Knows samplers, examples and batches. Does not know processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from engine.train.batches import Batch, EpochLoader
from engine.train.devices.sharing import Sharing
from engine.train.examples import IGNORED, Example

Place = Any
"""An index of a row, or a list of them that are packed into a sequence."""
Cut = Callable[[Any], Batch]


@dataclass(frozen=True, slots=True)
class Blank:
    """A place of which nothing is trained here."""

    place: Place


class RankSampler(Sampler[list[Place]]):
    """The batches of which one device takes a part."""

    def __init__(self, whole: Any, sharing: Sharing, rank: int) -> None:
        self._whole = whole
        self._sharing = sharing
        self._rank = rank

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._whole.set_epoch(epoch)

    def __len__(self) -> int:
        batches = len(self._whole)
        return -(-batches // self._sharing.devices) if self._sharing.whole else batches

    def __iter__(self) -> Iterator[list[Place]]:
        if not self._sharing.whole:
            yield from self._whole
            return
        batches = iter(self._whole)
        while group := list(itertools.islice(batches, self._sharing.devices)):
            missing = self._rank >= len(group)
            yield [Blank(group[0][0])] if missing else group[self._rank]

    def heaviest(self) -> list[Place]:
        """The batch that takes most memory."""
        batch: list[Place] = self._whole.heaviest()
        return batch


class BlankRows(Dataset[Any]):
    """Rows by place; blank ones have no label."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    @property
    def examples(self) -> Sequence[Example]:
        """Every row of the run."""
        found: Sequence[Example] = self._rows.examples
        return found

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Place) -> Any:
        return _blank(self._rows[place.place]) if isinstance(place, Blank) else self._rows[place]


class RankLoader(EpochLoader):
    """A loader of one device's batches."""

    @property
    def examples(self) -> Sequence[Example]:
        assert isinstance(self.dataset, BlankRows)
        return self.dataset.examples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._mine.set_epoch(epoch)

    def heaviest(self) -> Batch:
        """The batch that takes most memory, as this device's trainer would be given it."""
        batch: Batch = self.collate_fn([self.dataset[place] for place in self._mine.heaviest()])
        return batch

    @property
    def _mine(self) -> RankSampler:
        assert isinstance(self.batch_sampler, RankSampler)
        return self.batch_sampler


def of_rank(loader: EpochLoader, sharing: Sharing, rank: int, *, sequences: int) -> RankLoader:
    """One device's part of a run's loader.

    Args:
        sequences: of a row of preferences (2 of a pair); 0 for other rows.
    """
    collate: Cut = loader.collate_fn
    if not sharing.whole:
        devices, whole = sharing.devices, collate
        if sequences:
            collate = _Evenly(whole, devices, rank, sequences)
        else:
            collate = _Apart(whole, devices, rank)
    return RankLoader(
        BlankRows(loader.dataset),
        batch_sampler=RankSampler(loader.batch_sampler, sharing, rank),
        collate_fn=collate,
        pin_memory=loader.pin_memory,
    )


@dataclass(frozen=True, slots=True)
class _Apart:
    """Rows apart: each device collates its own."""

    whole: Cut
    devices: int
    rank: int

    def __call__(self, rows: list[Any]) -> Batch:
        return self.whole(rows[self.rank :: self.devices] or [_blank(rows[0])])


@dataclass(frozen=True, slots=True)
class _Evenly:
    """A whole batch, then an equal part of its rows."""

    whole: Cut
    devices: int
    rank: int
    sequences: int

    def __call__(self, rows: list[Any]) -> Batch:
        batch, count = self.whole(rows), len(rows)
        if count % self.devices:
            share = torch.full((count * self.sequences,), 1 / self.devices)
            return {**batch, "share": share}
        mine = range(self.rank, count, self.devices)
        places = [n * count + row for n in range(self.sequences) for row in mine]
        return {name: value[places] for name, value in batch.items()}


def _blank(row: Any) -> Any:
    if isinstance(row, list):
        return [_blank(example) for example in row]
    return replace(row, labels=np.full_like(row.labels, IGNORED))
