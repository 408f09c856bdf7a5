"""The level of detail: whatever is asked, the answer agrees with every point that was written."""

from __future__ import annotations

import math
import random
import sqlite3
from pathlib import Path

import pytest

from store import metrics as lod
from store import runseries
from store.metrics import Bucket, Series
from store.rundb import RunReader, RunWriter

Points = dict[int, float | None]


def bucket(points: list[tuple[int, float | None]]) -> Bucket:
    """A bucket computed from its points, the slow and sure way."""
    values = [value for _, value in points if value is not None]
    return Bucket(
        points[0][0],
        points[-1][0],
        min(values, default=None),
        max(values, default=None),
        sum(values),
        len(values),
        len(points) - len(values),
    )


def check_table(path: Path, key: int, points: Points) -> int:
    """Compare the stored buckets with the points; returns how many there are."""
    with sqlite3.connect(path) as connection:
        stored = {
            (row[0], row[1]): Bucket(*row[2:])
            for row in connection.execute(
                "SELECT level, bucket, first, last, low, high, total, n, nulls FROM lod "
                "WHERE key = ?",
                [key],
            )
        }
    connection.close()
    groups: dict[tuple[int, int], list[tuple[int, float | None]]] = {}
    for level in range(1, lod.LEVELS + 1):
        for step in sorted(points):
            place = (level, lod.bucket_of(step, level))
            if place[1] < lod.bucket_of(max(points), level):
                groups.setdefault(place, []).append((step, points[step]))
    assert stored.keys() == groups.keys()
    for place, group in groups.items():
        assert same(stored[place], bucket(group))
    return len(stored)


def same(left: Bucket, right: Bucket) -> bool:
    close = math.isclose(left.total, right.total, rel_tol=1e-9, abs_tol=1e-9)
    return close and left._replace(total=0.0) == right._replace(total=0.0)


def check_series(series: Series, points: Points, start: int, stop: int, at_most: int) -> None:
    """Every point lies in its bucket, no bucket claims more than its points hold."""
    inside = sorted((step, value) for step, value in points.items() if start <= step <= stop)
    assert len(series) <= at_most
    assert list(series.steps) == sorted(series.steps)
    rest = iter(inside)
    for index in range(len(series)):
        group = []
        while not group or group[-1][0] < series.ends[index]:
            group.append(next(rest))
        truth = bucket(group)
        assert truth.first == series.steps[index]
        assert truth.last == series.ends[index]
        assert (truth.low, truth.high) == (series.lows[index], series.highs[index])
        assert truth.nulls == series.nulls[index]
        mean = series.means[index]
        assert (mean is None) == (truth.n == 0)
        if mean is not None:
            assert math.isclose(mean, truth.total / truth.n, rel_tol=1e-9, abs_tol=1e-9)
    assert next(rest, None) is None


def random_value(dice: random.Random) -> float:
    if dice.random() < 0.02:
        return dice.choice([math.nan, math.inf, -math.inf])
    return dice.gauss(2.0, 0.3) if dice.random() < 0.999 else 1e6


@pytest.mark.parametrize("stride", [1, 40, 2500])
def test_any_zoom_of_any_series_agrees_with_its_points(
    run_db: Path, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runseries, "ROWS_AT_ONCE", 64)
    monkeypatch.setattr(runseries, "FEW_ROWS", 16)
    dice = random.Random(stride)
    points: Points = {}
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        writer.db.execute("PRAGMA synchronous=OFF")
        step = dice.randint(0, 3)
        for _ in range(3000):
            step += dice.randint(1, 2 * stride - 1)
            late = dice.random() < 0.01 and len(points) > 0
            at = dice.randint(0, step) if late else step
            value = random_value(dice)
            writer.metrics(at, {"loss": value})
            points[at] = value if math.isfinite(value) else None
        assert check_table(run_db, 1, points) >= 3000 // 256
        newest = max(points)
        for _ in range(60):
            start, stop = sorted((dice.randint(0, newest), dice.randint(0, newest)))
            at_most = dice.choice([1, 2, 7, 60, 2000])
            series = reader.series("loss", start, stop, points=at_most)
            check_series(series, points, start, stop, at_most)
        whole = reader.series("loss")
        check_series(whole, points, 0, newest, 2000)
        assert whole.last == (newest, points[newest])


def test_a_spike_and_a_gap_survive_the_widest_zoom(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        for step in range(2000):
            value = {700: 1e9, 701: -1e9}.get(step, 1.0)
            writer.metrics(step, {"loss": math.nan if 1000 <= step < 1600 else value})
        series = reader.series("loss", points=10)
        assert max(high for high in series.highs if high is not None) == 1e9
        assert min(low for low in series.lows if low is not None) == -1e9
        assert series.means[4] is None
        assert series.nulls == (0, 0, 0, 24, 256, 256, 64, 0)


def test_a_rewind_leaves_what_an_undisturbed_run_would_have(run_db: Path) -> None:
    dice = random.Random(5)
    values = {step: random_value(dice) for step in range(1, 2000)}
    with RunWriter.open(run_db) as writer:
        for step, value in values.items():
            writer.metrics(step, {"loss": value} | ({"eval_loss": 1.0} if step % 300 == 0 else {}))
    for target in (1999, 1536, 1535, 700, 255, 1):
        with RunWriter.open(run_db) as writer:
            writer.rewind(target)
            points = {s: v if math.isfinite(v) else None for s, v in values.items() if s <= target}
            check_table(run_db, 1, points)
            with RunReader.open(run_db) as reader:
                assert dict(reader.exact("loss")) == points
                assert [step for step, _ in reader.exact("eval_loss")] == list(
                    range(300, target + 1, 300)
                )
    with RunWriter.open(run_db) as writer:
        for step in range(2, 600):
            writer.metrics(step, {"loss": values[step]})
    points = {s: v if math.isfinite(v) else None for s, v in values.items() if s < 600}
    check_table(run_db, 1, points)


def test_the_arithmetic_of_buckets() -> None:
    assert [lod.width(level) for level in range(5)] == [1, 256, 4096, 65536, 1048576]
    assert list(lod.closed_by(None, 5)) == []
    assert list(lod.closed_by(254, 255)) == []
    assert list(lod.closed_by(255, 256)) == [(1, 0)]
    assert list(lod.closed_by(4095, 4096)) == [(1, 15), (2, 0)]
    assert list(lod.closed_by(9000, 3)) == [(1, 0), (2, 0)]
    empty = lod.series("loss", (), 10, None)
    assert len(empty) == 0
    assert empty.last is None
