"""Rows of a snapshot as token ids and labels, and a list of every row that teaches nothing.

Knows the renderer's output. Does not know torch or batches. What is trained on is exactly what
the renderer shows: a label is its id where the loss mask is 1, else -100.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.data.rows import Row
from engine.render import Compact, Renderer
from store.errors import BadInput

_AT_ONCE = 256
"""Rows that are tokenised together."""

IGNORED = -100
"""The label of a token without loss, as torch's cross entropy has it."""

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row ready to train on: `ids` and `labels`, both of shape (n,)."""

    row: int
    ids: Ids
    labels: Ids


@dataclass(frozen=True, slots=True)
class Encoded:
    """A part of a snapshot: its examples, and (row number, reason) of each row left out or cut."""

    examples: list[Example]
    notes: list[tuple[int, str]]

    @property
    def trained_tokens(self) -> int:
        """Tokens with loss in one pass."""
        return sum(int((example.labels != IGNORED).sum()) for example in self.examples)


def encode(rows: Iterable[Row], renderer: Renderer, max_length: int) -> Encoded:
    """Render every row; leave out what cannot be rendered or has no trained token."""
    examples: list[Example] = []
    notes: list[tuple[int, str]] = []
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, _AT_ONCE)):
        for row, rendered in zip(batch, renderer.render_rows(batch), strict=True):
            if isinstance(rendered, BadInput):
                notes.append((row.number, rendered.message))
                continue
            example = _example(row.number, rendered, max_length)
            if not np.any(example.labels[1:] != IGNORED):
                reason = f"line {row.number}: left out, no token would be trained"
                notes.append((row.number, reason))
                continue
            cut = len(rendered.ids) - len(example.ids)
            if cut:
                reason = f"line {row.number}: {cut} tokens beyond max_length were cut"
                notes.append((row.number, reason))
            examples.append(example)
    return Encoded(examples, notes)


def _example(number: int, rendered: Compact, max_length: int) -> Example:
    ids = np.asarray(rendered.ids[:max_length], dtype=np.int32)
    labels = np.full(len(ids), IGNORED, dtype=np.int32)
    for start, end in rendered.runs:
        labels[start:end] = ids[start:end]
    return Example(number, ids, labels)
