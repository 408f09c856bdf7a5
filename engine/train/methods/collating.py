"""Batches of preferences (heavy): our renderer's ids under the names that TRL's trainers read.

A completion is what the loss mask says is trained: with a chat template that is the answer and the
token that ends it. Knows examples and tensors. Does not know models or losses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.train.batches import Batch
from engine.train.examples import IGNORED, Example, Ids

Sequenced = tuple[Ids, Ids]
"""Ids and labels."""


def padded(sequences: Sequence[Sequenced], pad_id: int, prefix: str = "") -> Batch:
    """`input_ids`, `attention_mask` and `completion_mask`, each (sequences, longest), int64."""
    shape = (len(sequences), max(len(ids) for ids, _ in sequences))
    every = np.full(shape, pad_id, dtype=np.int64)
    seen, trained = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for line, (ids, labels) in enumerate(sequences):
        every[line, : len(ids)] = ids
        seen[line, : len(ids)] = 1
        trained[line, : len(ids)] = labels != IGNORED
    return {
        f"{prefix}input_ids": torch.from_numpy(every),
        f"{prefix}attention_mask": torch.from_numpy(seen),
        f"{prefix}completion_mask": torch.from_numpy(trained),
    }


class PairCollator:
    """Pairs for DPO: n rows are 2n sequences, all chosen ones first, then the rejected."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, examples: Sequence[Example]) -> Batch:
        worse = [example.rejected for example in examples if example.rejected is not None]
        assert len(worse) == len(examples)
        return padded([(one.ids, one.labels) for one in (*examples, *worse)], self._pad_id)


class VerdictCollator:
    """Marked answers for KTO, each also with the answer to another prompt.

    KTO estimates how far the model has moved from such mismatched pairs: as in TRL, each prompt of
    a batch is followed by the answer of the row before it. A row alone in its batch takes that of
    another row of `others`.

    Args:
        mismatched: whether the loss needs them.
    """

    def __init__(
        self, pad_id: int, max_length: int, others: Sequence[Example], *, mismatched: bool
    ) -> None:
        self._pad_id = pad_id
        self._max_length = max_length
        self._others = others
        self._mismatched = mismatched

    def __call__(self, examples: Sequence[Example]) -> Batch:
        batch = padded([(one.ids, one.labels) for one in examples], self._pad_id)
        batch["label"] = torch.tensor([bool(one.good) for one in examples])
        if self._mismatched:
            before = [examples[-1], *examples[:-1]]
            if len(examples) == 1:
                alone = examples[0]
                before = [next((o for o in self._others if o.row != alone.row), alone)]
            pairs = zip(examples, before, strict=True)
            crossed = [_crossed(one, other, self._max_length) for one, other in pairs]
            batch |= padded(crossed, self._pad_id, "KL_")
        return batch


def _crossed(one: Example, other: Example, max_length: int) -> Sequenced:
    """The prompt of one row with the answer of another."""
    mine, theirs = _answer_at(one), _answer_at(other)
    ids = np.concatenate([one.ids[:mine], other.ids[theirs:]])[:max_length]
    labels = np.concatenate([one.labels[:mine], other.labels[theirs:]])[:max_length]
    return ids, labels


def _answer_at(example: Example) -> int:
    return int(np.argmax(example.labels != IGNORED))
