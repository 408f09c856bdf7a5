"""A run as the rules see it: curves and facts, and what several rules need, computed once.

Knows smoothing and windows. Does not judge.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.curves import Curves, Points
from engine.diagnosis.facts import Facts
from engine.diagnosis.robust import Floats, Slope

FEW = 12
"""Fewer logged steps than this say next to nothing of a trend."""

EVALUATIONS = 4
"""Fewer evaluations than this say next to nothing of a trend."""

_SMOOTH = 0.08
_RECENT = 0.3
_NOW = 0.12


class View:
    """See the module."""

    def __init__(self, curves: Curves, facts: Facts) -> None:
        self.curves, self.facts = curves, facts
        self.loss: Points = curves["loss"]
        self.held: Points = curves["eval_loss"]

    @cached_property
    def smooth(self) -> Floats:
        """The training loss without spikes and most of its noise, (n,)."""
        return robust.ema(robust.despiked(self.loss.values), max(5.0, _SMOOTH * len(self.loss)))

    @cached_property
    def noise(self) -> float:
        """Scatter of the training loss from one logged step to the next."""
        return robust.noise(self.loss.values)

    @cached_property
    def start(self) -> float:
        """The training loss before anything was learned: the median of the first points."""
        first = self.loss.values[: max(3, len(self.loss) // 50)]
        return float(np.median(first)) if len(first) else math.nan

    @cached_property
    def now(self) -> tuple[float, float]:
        """The training loss of late, and half of its 95 % interval."""
        return robust.level(self.loss.values[-max(5, int(_NOW * len(self.loss))) :])

    @cached_property
    def fell(self) -> float:
        """Which share of the first loss is gone; negative where it rose."""
        return (self.start - self.now[0]) / self.start if self.start > 0 else 0.0

    @cached_property
    def recent(self) -> slice:
        """The last part of the training loss, to judge its trend by."""
        n = len(self.loss)
        return slice(max(n - max(FEW, int(_RECENT * n)), 0), n)

    @cached_property
    def trend(self) -> Slope | None:
        """The slope a step of the recent training loss."""
        return robust.theil_sen(self.loss.steps[self.recent], self.loss.values[self.recent])

    @cached_property
    def held_trend(self) -> Slope | None:
        """The slope a step of the recent held-out loss."""
        n = len(self.held)
        kept = slice(max(n - max(EVALUATIONS, int(0.4 * n)), 0), n)
        return robust.theil_sen(self.held.steps[kept], self.held.values[kept])

    @cached_property
    def rate(self) -> float | None:
        """The peak rate: the recipe's, else the greatest that was logged."""
        logged = self.curves["learning_rate"].highs
        return self.facts.learning_rate or (float(logged.max()) if len(logged) else None) or None

    @cached_property
    def rate_now(self) -> float | None:
        """The mean rate of the recent part as a share of the peak; None if not logged."""
        logged = self.curves["learning_rate"]
        if not len(logged) or not self.rate or not len(self.loss):
            return None
        late = logged.values[logged.steps >= self.loss.steps[self.recent][0]]
        return float(late.mean()) / self.rate if len(late) else None

    @cached_property
    def warm(self) -> int:
        """The index of the first logged loss after the rate reached its peak."""
        logged = self.curves["learning_rate"]
        if not len(logged) or not len(self.loss):
            return 0
        peak = float(logged.values.max())
        reached = logged.steps[int(np.argmax(logged.values >= 0.98 * peak))]
        return min(int(np.searchsorted(self.loss.steps, reached)), len(self.loss) - 1)

    @cached_property
    def share_done(self) -> float | None:
        """How much of the planned steps is done, 0 to 1; None if not planned."""
        total = self.facts.total_steps
        return min(self.curves.last_step / total, 1.0) if total else None

    @property
    def over(self) -> bool:
        """Whether the run is at its end, or within a twentieth of it."""
        return self.facts.ended or (self.share_done or 0.0) >= 0.95

    @cached_property
    def best_held(self) -> int:
        """The index of the lowest held-out loss."""
        return int(np.argmin(self.held.values))

    @cached_property
    def span(self) -> float:
        """Steps from the first to the last logged loss."""
        return float(self.loss.steps[-1] - self.loss.steps[0]) if len(self.loss) else 0.0

    @cached_property
    def ahead(self) -> int:
        """Steps to look ahead by when a trend is told: a fifth of those done."""
        return max(int(self.span / 5), 1)

    @cached_property
    def epochs(self) -> float | None:
        """Passes over the rows so far."""
        logged = self.curves["epoch"].values
        if len(logged):
            return float(logged[-1])
        steps = self.facts.epoch_steps
        return self.curves.last_step / steps if steps else None

    def around(self, step: float) -> float | None:
        """The training loss about a step: the median of the points near it."""
        n, reach = len(self.loss), max(3, len(self.loss) // 50)
        place = int(np.searchsorted(self.loss.steps, step))
        near = self.loss.values[max(place - reach, 0) : min(place + reach + 1, n)]
        return float(np.median(near)) if len(near) else None

    def at(self, name: str, step: float) -> float | None:
        """A metric at a step, or at the nearest logged step before it."""
        points = self.curves[name]
        place = int(np.searchsorted(points.steps, step, side="right")) - 1
        return float(points.values[place]) if place >= 0 else None


def choices(loss: float) -> float:
    """Among how many equally likely tokens the model hesitates: the perplexity, exp(loss)."""
    return math.exp(min(loss, 50.0))
