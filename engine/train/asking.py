"""What a run is asked while it learns, and what the answers are held against.

Knows recipes, rows and suites. Does not know models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from engine.checks.suite import Suite
from engine.data.rows import Row, Turn
from engine.train import suites
from engine.train.doubts import openings
from engine.train.examples import IGNORED, Example
from engine.train.preparing import Rows
from engine.train.recipe import Recipe, suite_label

_DEFAULT_PROMPTS = 3
_ROWS_READ = 20_000
"""Rows that are looked at for what they teach: more would not change the shares."""


@dataclass(frozen=True, slots=True)
class Asked:
    """See the module.

    Attributes:
        probes: conversations to be continued, with at most `probe_tokens` new tokens.
        suites: check suites by the name that their metrics bear.
        retention: which of them is about what the base could do already; empty for none.
        taught: the share of each opening among the answers of the training rows.
        lengths: tokens of an answer of each row, for how many would not end within a limit.
    """

    probes: Sequence[Sequence[Turn]] = ()
    probe_tokens: int = 0
    suites: Mapping[str, Suite] = field(default_factory=dict)
    retention: str = ""
    taught: Mapping[str, float] = field(default_factory=dict)
    lengths: Sequence[float] = ()

    def longer(self, tokens: int) -> float:
        """The share of the rows whose answers do not end within so many tokens."""
        return sum(length > tokens for length in self.lengths) / max(len(self.lengths), 1)


def asked(recipe: Recipe, rows: Rows, run_dir: Path) -> Asked:
    """What the recipe wants asked, the suites as the run keeps them.

    Raises:
        NotFound, BadInput: a suite of the recipe cannot be read.
    """
    answers = (
        turn.text
        for row in rows.train[:_ROWS_READ]
        if row.error is None
        for turn in islice((turn for turn in row.turns if turn.role == "assistant"), 1)
    )
    return Asked(
        probes=_prompts(recipe.probes, rows.held, rows.train),
        probe_tokens=recipe.probe_tokens,
        suites=suites.load(recipe, run_dir),
        retention=suite_label(recipe.retention_suite) if recipe.retention_suite else "",
        taught=openings(answers),
        lengths=[_answer_length(example) for example in rows.examples[:_ROWS_READ]],
    )


def _prompts(
    probes: Sequence[str], held_out: Sequence[Row], train: Sequence[Row]
) -> list[list[Turn]]:
    """The recipe's prompts, or the opening turns of a few rows, held-out ones first."""
    if probes:
        return [[Turn("user", text)] for text in probes]
    chosen: list[list[Turn]] = []
    for row in [*held_out, *train[:_DEFAULT_PROMPTS]]:
        roles = [turn.role for turn in row.turns]
        if row.error is None and "assistant" in roles and "user" in roles:
            opening = list(row.turns[: roles.index("assistant")])
            if opening and opening[-1].role == "user":
                chosen.append(opening)
        if len(chosen) == _DEFAULT_PROMPTS:
            break
    return chosen


def _answer_length(example: Example) -> float:
    """Trained tokens of a row over the number of its answers."""
    trained = example.labels != IGNORED
    answers = int(trained[0]) + int((np.diff(trained.astype(np.int8)) > 0).sum())
    return int(trained.sum()) / max(answers, 1)
