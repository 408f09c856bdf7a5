"""Which of several checkpoints to take, and whether that is more than chance.

Knows results, the base first. A suite speaks of what it asks alone: a checkpoint that is best at a
habit may have lost what another suite would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.checks.comparing import Said, compare
from engine.checks.judging import ModelResult


@dataclass(frozen=True, slots=True)
class Advice:
    """The checkpoint with the highest rate, the earliest named of equals.

    Attributes:
        base: how it compares with the base, corrected for all that were looked at.
        alike: the others that cannot be told apart from it, in the order they were named.
        worse: those that it is better than.
    """

    best: str
    rate: float
    base: Said
    alike: tuple[str, ...]
    worse: tuple[str, ...]


def recommend(results: Sequence[ModelResult]) -> Advice | None:
    """The best of those that are held against a base; None where none was judged.

    The rate by weight decides where prompts have weights. Each comparison is over the prompts that
    both passed or failed, corrected by Holm's method for their number.
    """
    rated = [(_rate(result), result) for result in results[1:]]
    known = [(rate, result) for rate, result in rated if rate is not None]
    if not known:
        return None
    rate, best = max(known, key=lambda one: one[0])
    others = [result for _, result in known if result is not best]
    # The base is one comparison more, so that the whole family is corrected at once.
    found = compare([best, results[0], *others])
    turned: dict[Said, Said] = {"better": "worse", "worse": "better"}
    base, *rest = (turned.get(pair.total.said, pair.total.said) for pair in found)
    named = list(zip(rest, others, strict=True))
    return Advice(
        best.model,
        rate,
        base,
        tuple(other.model for said, other in named if said == "cannot tell apart"),
        tuple(other.model for said, other in named if said == "better"),
    )


def in_words(advice: Advice) -> str:
    """The advice for a reader."""
    against = {
        "better": "better than the base",
        "worse": "worse than the base all the same",
        "cannot tell apart": "which cannot be told apart from the base",
    }[advice.base]
    words = f"highest: {advice.best} with {advice.rate:.1%}, {against}"
    if advice.worse:
        words += f"; better than {', '.join(advice.worse)}"
    if advice.alike:
        words += f"; cannot be told apart from {', '.join(advice.alike)}"
    return words


def _rate(result: ModelResult) -> float | None:
    return result.rate if result.score is None else result.score.value
