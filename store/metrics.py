"""The arithmetic of the level of detail: a million points become a few hundred buckets.

Knows widths, which buckets a new point closes, and how buckets merge. Does not know SQLite: the
run database keeps the closed buckets (see `store.rundb`).

Level 0 are the points themselves; a bucket of level k spans 256 · 16^(k-1) steps. Buckets keep
least, greatest and sum, so that a spike of one step survives any zoom, and count the points that
are not finite, so that a gap does too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

LEVELS = 4
BASE_SHIFT = 8
LEVEL_SHIFT = 4


class Bucket(NamedTuple):
    """A stretch of steps of one metric; `low` and `high` are None where no value is finite."""

    first: int
    last: int
    low: float | None
    high: float | None
    total: float
    n: int
    nulls: int


@dataclass(frozen=True, slots=True)
class Series:
    """A metric ready to be drawn: one entry a bucket, in order of steps.

    Bucket i spans `steps[i]` to `ends[i]` and lies between `lows[i]` and `highs[i]` around
    `means[i]`; the three are None where every value was NaN or infinite, which is to be drawn as a
    gap. `nulls[i]` counts such values. `last` is the newest point, its value None if not finite.
    """

    name: str
    steps: tuple[int, ...]
    ends: tuple[int, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]
    means: tuple[float | None, ...]
    nulls: tuple[int, ...]
    last: tuple[int, float | None] | None

    def __len__(self) -> int:
        return len(self.steps)


def shift(level: int) -> int:
    """The width of a bucket of `level` is 2 to this power."""
    return 0 if level == 0 else BASE_SHIFT + LEVEL_SHIFT * (level - 1)


def width(level: int) -> int:
    """Steps in a bucket of `level`: 1, 256, 4,096, 65,536, 1,048,576."""
    return 1 << shift(level)


def bucket_of(step: int, level: int) -> int:
    return step >> shift(level)


def closed_by(previous: int | None, step: int) -> Iterator[tuple[int, int]]:
    """The (level, bucket) pairs to compute anew once a point at `step` is in, finest first.

    `previous` is the greatest step before it. A step forward closes the buckets it leaves; a late
    point changes the closed buckets it falls into. Either way it is the earlier of both steps.
    """
    if previous is None:
        return
    early, late = sorted((previous, step))
    for level in range(1, LEVELS + 1):
        if bucket_of(early, level) == bucket_of(late, level):
            return
        yield level, bucket_of(early, level)


def fitting_shift(first: int, last: int, points: int) -> int:
    """The narrowest aligned width, as a power of two, that cuts the steps into `points` at most."""
    found = max((last - first) // max(points, 1), 0).bit_length()
    while found and (last >> (found - 1)) - (first >> (found - 1)) < points:
        found -= 1
    while (last >> found) - (first >> found) >= points:
        found += 1
    return found


def reduce(buckets: list[Bucket], points: int) -> list[Bucket]:
    """Merge neighbours until at most `points` are left, each spanning the same number of steps.

    The number is a power of two and the spans are aligned on it: a run that grows never moves the
    borders of what is drawn already.
    """
    if len(buckets) <= points:
        return buckets
    width_shift = fitting_shift(buckets[0].first, buckets[-1].first, points)
    return [merge(list(group)) for _, group in
            groupby(buckets, lambda bucket: bucket.first >> width_shift)]  # fmt: skip


def merge(group: list[Bucket]) -> Bucket:
    """One bucket for neighbours in order; never empty."""
    if len(group) == 1:
        return group[0]
    lows = [bucket[2] for bucket in group if bucket[2] is not None]
    highs = [bucket[3] for bucket in group if bucket[3] is not None]
    return Bucket(
        group[0].first,
        group[-1].last,
        min(lows) if lows else None,
        max(highs) if highs else None,
        sum(bucket[4] for bucket in group),
        sum(bucket[5] for bucket in group),
        sum(bucket[6] for bucket in group),
    )


def series(
    name: str, buckets: Iterable[Bucket], points: int, last: tuple[int, float | None] | None
) -> Series:
    """Buckets in order of steps as a series of at most `points` entries."""
    kept = reduce(list(buckets), max(1, points))
    return Series(
        name=name,
        steps=tuple(bucket.first for bucket in kept),
        ends=tuple(bucket.last for bucket in kept),
        lows=tuple(bucket.low for bucket in kept),
        highs=tuple(bucket.high for bucket in kept),
        means=tuple(bucket.total / bucket.n if bucket.n else None for bucket in kept),
        nulls=tuple(bucket.nulls for bucket in kept),
        last=last,
    )


class Trace:
    """A series that grows: read once, then added to point by point, never read again.

    Holds at most `points` buckets of one aligned width; when there are more, the width doubles.
    Not for two threads: `series()` gives each reader a copy.
    """

    def __init__(
        self, name: str, points: int, buckets: Iterable[Bucket] = (),
        last: tuple[int, float | None] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.points = points
        self.last = last
        self._buckets = reduce(list(buckets), points)
        self._shift = 0
        self._widen()

    def add(self, points: Iterable[tuple[int, float | None]]) -> None:
        """Take in points in order of steps, each beyond the last one."""
        for step, value in points:
            finite = value is not None
            total = value if value is not None else 0.0
            bucket = Bucket(step, step, value, value, total, int(finite), int(not finite))
            before = self._buckets[-1] if self._buckets else None
            if before is not None and before.first >> self._shift == step >> self._shift:
                self._buckets[-1] = merge([before, bucket])
            else:
                self._buckets.append(bucket)
            self.last = (step, value)
            if len(self._buckets) > self.points:
                self._widen()

    def series(self) -> Series:
        """The trace as it stands, as a value of its own."""
        return series(self.name, self._buckets, self.points, self.last)

    def _widen(self) -> None:
        """Find the width of the buckets there are, doubled until they are few enough."""
        found = self._buckets
        if not found:
            return
        widest = max(bucket.last - bucket.first for bucket in found)
        self._shift = max(self._shift, widest.bit_length())
        while len(found) > self.points:
            self._shift += 1
            found = [merge(list(group)) for _, group in
                     groupby(found, lambda bucket: bucket.first >> self._shift)]  # fmt: skip
        self._buckets = found
