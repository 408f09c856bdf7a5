"""Rows of a snapshot as token ids and labels, and a list of every row that teaches nothing.

Knows the renderer's output. Does not know torch or batches. What is trained on is exactly what
the renderer shows: a label is its id where the loss mask is 1, else -100.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.data.rows import Row
from engine.render import Renderer
from store.errors import BadInput

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
    for row in rows:
        try:
            rendered = renderer.render_row(row, max_length=max_length, spans=False)
        except BadInput as error:
            notes.append((row.number, error.message))
            continue
        ids = np.asarray(rendered.ids, dtype=np.int32)
        labels = np.where(np.asarray(rendered.mask, dtype=bool), ids, np.int32(IGNORED))
        if not np.any(labels[1:] != IGNORED):
            notes.append((row.number, f"line {row.number}: left out, no token would be trained"))
            continue
        if rendered.cut:
            reason = f"line {row.number}: {rendered.cut} tokens beyond max_length were cut"
            notes.append((row.number, reason))
        examples.append(Example(row.number, ids, labels))
    return Encoded(examples, notes)
