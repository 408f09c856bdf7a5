"""Curves to be judged: metrics over steps, thinned so that no spike and no gap is lost.

Knows points, from a run database or from anywhere else. Does not know what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.diagnosis.robust import Floats
from store.rundb import RunReader

POINTS = 500
"""A curve is thinned to so many points, evaluations never."""

EXACT = 16_384
"""A curve of more points is read in buckets."""

NAMES = (
    "loss",
    "grad_norm",
    "learning_rate",
    "entropy",
    "token_accuracy",
    "epoch",
    "eval_loss",
    "eval_entropy",
    "eval_token_accuracy",
)
"""The metrics that the rules look at."""

_ALIASES = {
    "mean_token_accuracy": "token_accuracy",
    "eval_mean_token_accuracy": "eval_token_accuracy",
}
_EVALUATIONS = tuple(name for name in NAMES if name.startswith("eval_"))


@dataclass(frozen=True, slots=True)
class Points:
    """A curve of n points, thinned; all arrays are float64 of shape (n,).

    Attributes:
        steps: the last step of each stretch.
        values: the mean of its finite values.
        highs: the greatest of them, and `peaks` its step.
        bad: (m,) steps at which the value was not a number or infinite.
        logged: steps between two points as they were logged; 1 where every step is.
    """

    steps: Floats
    values: Floats
    highs: Floats
    peaks: Floats
    bad: Floats
    logged: float

    def __len__(self) -> int:
        return len(self.steps)


_NONE = np.empty(0)
EMPTY = Points(_NONE, _NONE, _NONE, _NONE, _NONE, 1.0)


@dataclass(frozen=True, slots=True)
class Curves:
    """The metrics of a run by name, those of `NAMES` only."""

    points: Mapping[str, Points]

    def __getitem__(self, name: str) -> Points:
        return self.points.get(name, EMPTY)

    @property
    def last_step(self) -> int:
        """The newest step of any metric, bad values included; 0 where there is none."""
        ends = [a[-1] for p in self.points.values() for a in (p.steps, p.bad) if len(a)]
        return int(max(ends, default=0))

    @classmethod
    def from_points(cls, metrics: Mapping[str, Iterable[tuple[float, float | None]]]) -> Curves:
        """Curves of (step, value) pairs, in any order; None, NaN and infinities are gaps.

        The names are those of a run database; TRL's are understood as well.
        """
        found = {_ALIASES.get(name, name): points for name, points in metrics.items()}
        return cls({name: points_of(found[name], name) for name in NAMES if name in found})

    @classmethod
    def from_reader(cls, reader: RunReader) -> Curves:
        """The curves of a run database, exact up to 16,384 points, in buckets beyond."""
        known = reader.names()
        return cls({name: _read(reader, name) for name in NAMES if name in known})


def points_of(pairs: Iterable[tuple[float, float | None]], name: str = "") -> Points:
    """Any pairs of step and value as a curve; where a step comes twice, the later pair counts."""
    table = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)  # None becomes NaN.
    table = table[np.isfinite(table[:, 0])][::-1]
    steps, first = np.unique(table[:, 0], return_index=True)
    values = table[first, 1]
    # Beyond 1e30 squares overflow: nothing is lost if such a value is taken as infinite.
    good = np.isfinite(values) & (np.abs(values) < 1e30)
    gaps = np.diff(steps)
    logged = float(np.median(gaps)) if len(gaps) else 1.0
    most = len(steps) if name in _EVALUATIONS else POINTS
    return _thin(steps[good], values[good], steps[~good], logged, most)


def _thin(steps: Floats, values: Floats, bad: Floats, logged: float, most: int) -> Points:
    n = len(steps)
    if n <= most:
        return Points(steps, values, values, steps, bad, logged)
    edges = np.linspace(0, n, most + 1).astype(np.int64)
    starts, ends = edges[:-1], edges[1:] - 1
    means = np.add.reduceat(values, starts) / np.diff(edges)
    highs = np.maximum.reduceat(values, starts)
    # The first point of each stretch that reaches its height.
    reached = np.flatnonzero(values == np.repeat(highs, np.diff(edges)))
    first = reached[np.searchsorted(reached, starts)]
    return Points(steps[ends], means, highs, steps[first], bad, logged)


def _read(reader: RunReader, name: str) -> Points:
    newest = reader.exact(name, EXACT)
    if len(newest) < EXACT:
        return points_of(newest, name)
    series = reader.series(name, points=POINTS)
    kept = [i for i, mean in enumerate(series.means) if mean is not None]
    steps = np.array([series.ends[i] for i in kept], dtype=np.float64)
    values = np.array([series.means[i] for i in kept], dtype=np.float64)
    highs = np.array([series.highs[i] for i in kept], dtype=np.float64)
    bad = [series.steps[i] for i, nulls in enumerate(series.nulls) if nulls]
    return Points(steps, values, highs, steps, np.array(bad, dtype=np.float64), 1.0)
