"""How much there is to learn from, in numbers. Knows nothing of how it is counted or used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What preflight counted in the rows to train on, lengths in tokens.

    Attributes:
        rows: rows that will be trained on; held_out: rows that measure.
        tokens, trained_tokens: of one pass, in all and with loss, after cutting.
        longest: of a row before cutting; mean_length: after it.
    """

    rows: int
    tokens: int
    longest: int
    mean_length: float
    trained_tokens: int
    held_out: int = 0
