"""Rows of a snapshot as token ids and labels, and a list of every row that teaches nothing.

Knows the renderer's output and what the methods make of a row. Does not know torch or batches.
What is trained on is exactly what the renderer shows: a label is its id where the loss mask is 1,
else -100.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.data.rows import Row
from engine.render import Compact, Renderer
from engine.render.purposes import Drawn, Method, draw
from engine.train import blocks
from store.errors import BadInput

_AT_ONCE = 256
"""Rows that are tokenised together."""

IGNORED = -100
"""The label of a token without loss, as torch's cross entropy has it."""

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row (or block of text) ready to train on: `ids` and `labels`, both of shape (n,).

    Attributes:
        row: its line; of a block, the line of the first document in it.
        rejected: the same prompt with the worse answer (dpo).
        good: whether the answer is a good one (kto).
    """

    row: int
    ids: Ids
    labels: Ids
    rejected: Example | None = None
    good: bool | None = None

    @property
    def sequences(self) -> tuple[Example, ...]:
        """What the model reads of it."""
        return (self,) if self.rejected is None else (self, self.rejected)

    @property
    def longest(self) -> int:
        """Tokens of its longer sequence."""
        return max(len(sequence.ids) for sequence in self.sequences)

    @property
    def tokens(self) -> int:
        """Tokens of all its sequences."""
        return sum(len(sequence.ids) for sequence in self.sequences)

    @property
    def teaches(self) -> bool:
        """Whether every sequence has a token that can be trained."""
        return all(bool(np.any(one.labels[1:] != IGNORED)) for one in self.sequences)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A part of a snapshot: its examples, and (row number, reason) of each row left out or cut.

    Attributes:
        rows: how many rows are in the examples.
    """

    examples: list[Example]
    notes: list[tuple[int, str]]
    rows: int

    @property
    def trained_tokens(self) -> int:
        """Tokens with loss in one pass."""
        every = (one for example in self.examples for one in example.sequences)
        return sum(int((one.labels != IGNORED).sum()) for one in every)


def encode(
    rows: Iterable[Row], renderer: Renderer, max_length: int, method: Method = "sft"
) -> Encoded:
    """Render every row; leave out what cannot be rendered or has no trained token.

    With method=text nothing is cut off: the documents become blocks of `max_length`.
    """
    examples: list[Example] = []
    notes: list[tuple[int, str]] = []
    whole = method == "text"
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, _AT_ONCE)):
        for row, drawn in zip(batch, draw(renderer, batch, method), strict=True):
            if isinstance(drawn, BadInput):
                notes.append((row.number, drawn.message))
                continue
            example = _example(row, drawn, None if whole else max_length)
            if why := _why_not(example, drawn):
                notes.append((row.number, f"line {row.number}: left out, {why}"))
                continue
            notes += [(row.number, f"line {row.number}: {cut}") for cut in _cuts(example, drawn)]
            examples.append(example)
    if not whole:
        return Encoded(examples, notes, len(examples))
    documents = [(example.row, example.ids, example.labels) for example in examples]
    cut = blocks.cut(documents, max_length, IGNORED)
    return Encoded([Example(*block) for block in cut], notes, len(examples))


def _example(row: Row, drawn: Drawn, max_length: int | None) -> Example:
    ids, labels = _labelled(drawn.sequence, max_length)
    worse = None
    if drawn.rejected is not None:
        worse = Example(row.number, *_labelled(drawn.rejected, max_length))
    return Example(row.number, ids, labels, worse, row.label)


def _labelled(rendered: Compact, max_length: int | None) -> tuple[Ids, Ids]:
    ids = np.asarray(rendered.ids[:max_length], dtype=np.int32)
    labels = np.full(len(ids), IGNORED, dtype=np.int32)
    for start, end in rendered.runs:
        labels[start:end] = ids[start:end]
    return ids, labels


def _why_not(example: Example, drawn: Drawn) -> str | None:
    """Why an example is not trained on, if so."""
    if not example.teaches:
        return "no token would be trained"
    if drawn.same:
        return "both answers are the same"
    return None


def _cuts(example: Example, drawn: Drawn) -> list[str]:
    """What `max_length` took from each sequence, in words."""
    found = []
    names = (
        ("", drawn.sequence, example),
        ("the rejected answer: ", drawn.rejected, example.rejected),
    )
    for name, seen, kept in names:
        if seen is not None and kept is not None and (lost := len(seen.ids) - len(kept.ids)):
            found.append(f"{name}{lost} tokens beyond max_length were cut")
    return found
