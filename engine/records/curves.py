"""Curves of several runs held against each other, point by point.

Knows metrics by name and which of them repeat: those that count time or memory never do. Does not
know why two runs differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Points = Mapping[int, float | None]
"""Values by step; None where it was not a number."""

OF_THE_MACHINE = ("tokens_per_second", "memory_bytes", "train_seconds", "device_load")
"""Metrics of the machine at that hour: two runs of the same thing differ in them."""

LOWER = ("loss", "eval_loss")
HIGHER = ("eval_token_accuracy", "token_accuracy")
_SMOOTH = 0.1


@dataclass(frozen=True, slots=True)
class Gap:
    """One metric of two runs.

    Attributes:
        steps: how many both have; equal: at how many of them the values have the same bits.
        mean: mean of second minus first; largest: the greatest distance, and `at` its step.
            All three over steps at which both are numbers, None where there is none.
        end: second minus first over the last tenth of the common steps.
        only: steps that only one of them has.
    """

    metric: str
    steps: int
    equal: int
    mean: float | None
    largest: float | None
    at: int | None
    end: float | None
    only: int

    @property
    def same(self) -> bool:
        """Whether the two are bit for bit the same, as far as both go."""
        return self.steps > 0 and self.equal == self.steps

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        names = ("metric", "steps", "equal", "mean", "largest", "at", "end", "only")
        values = (self.metric, self.steps, self.equal, self.mean, self.largest, self.at, self.end)
        return dict(zip(names, (*values, self.only), strict=True))


def gap(metric: str, first: Points, second: Points) -> Gap:
    """How far two curves are apart, over the steps that both have."""
    common = sorted(first.keys() & second.keys())
    equal, apart = 0, []
    for step in common:
        a, b = first[step], second[step]
        equal += a == b
        if a is not None and b is not None:
            apart.append((step, b - a))
    only = len(first.keys() ^ second.keys())
    if not apart:
        return Gap(metric, len(common), equal, None, None, None, None, only)
    at, most = max(apart, key=lambda item: abs(item[1]))
    late = apart[-max(1, round(len(apart) * _SMOOTH)) :]
    mean = math.fsum(d for _, d in apart) / len(apart)
    end = math.fsum(d for _, d in late) / len(late)
    return Gap(metric, len(common), equal, mean, abs(most), at, end, only)


def best(metric: str, points: Points) -> tuple[int, float] | None:
    """The best value of a metric and its step, the earliest of equals; None where none is known."""
    known = [(step, value) for step, value in points.items() if value is not None]
    if not known:
        return None
    if metric in LOWER:
        return min(known, key=lambda point: (point[1], point[0]))
    return min(known, key=lambda point: (-point[1], point[0]))


def late(points: Points) -> float | None:
    """The mean of the last tenth of the known values: one step alone is noise."""
    known = [value for _, value in sorted(points.items()) if value is not None]
    kept = known[-max(1, round(len(known) * _SMOOTH)) :]
    return math.fsum(kept) / len(kept) if kept else None


def wobble(points: Points) -> float | None:
    """How much a curve jumps from one point to the next beyond its trend, as a deviation.

    From second differences, whose variance is six times that of independent noise; None for fewer
    than five points. It is a floor: what another seed would change is more than this.
    """
    known = [value for _, value in sorted(points.items()) if value is not None]
    if len(known) < 5:
        return None
    bends = [known[i - 1] - 2 * known[i] + known[i + 1] for i in range(1, len(known) - 1)]
    return math.sqrt(math.fsum(bend * bend for bend in bends) / len(bends) / 6)
