"""Measures the run database: points written a second, and the first chart of a long run.

Knows what is timed and prints it with ratios. Asserts nothing.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from store import metrics as lod
from store.rundb import RunWriter
from store.runfeed import RunFeed

STEPS = 5_000
METRICS = tuple(f"metric_{number}" for number in range(10))
SIZES = (10_000, 1_000_000, 10_000_000)
CHART_POINTS = 600


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as folder:
        rate, commits = write_rate(Path(folder) / "rate" / "run.db")
        print(f"metrics: one commit a step, {len(METRICS)} metrics a step, {STEPS:,} steps")
        print(f"  {'commits per second':<42}{commits:>14,.0f}")
        print(f"  {'points per second':<42}{rate:>14,.0f}   aim > 10,000")
        print(f"charts of {CHART_POINTS} buckets; ms, the median of five")
        columns = ("open + first", "zoom 10,000", "zoom 1 %", "1 new point", "naive fetch")
        print(f"  {'points':<14}" + "".join(f"{column:>14}" for column in columns))
        opened = []
        for points in SIZES:
            path = Path(folder) / str(points) / "run.db"
            fill(path, points)
            found = charts(path, points)
            opened.append(found[0])
            print(f"  {points:<14,}" + "".join(f"{seconds * 1e3:>14.2f}" for seconds in found))
            path.unlink()
        print(f"  {'10 M against 10 k, open + first chart':<42}{opened[-1] / opened[0]:>11.2f} ×"
              "   aim: about 1")  # fmt: skip


def charts(path: Path, points: int) -> list[float]:
    """Seconds to open and chart, to zoom near and far, to follow, and to do it naively."""
    middle = points // 2
    near, far = 5_000, points // 200
    first = timed(lambda: first_chart(path))
    with RunFeed(path, CHART_POINTS) as feed:
        feed.read()
        zoom = timed(lambda: feed.series("loss", (middle - near, middle + near)))
        wide = timed(lambda: feed.series("loss", (middle - far, middle + far)))
        with RunWriter.open(path) as writer:
            steps = iter(range(points + 1, points + 100))

            def follow() -> None:
                feed.read()
                feed.series("loss")

            seconds = []
            for _ in range(5):
                writer.metrics(next(steps), {"loss": 0.5})
                seconds.append(timed(follow, rounds=1))
    naive = timed(lambda: naive_chart(path), rounds=1 if points > 1_000_000 else 3)
    return [first, zoom, wide, statistics.median(seconds), naive]


def write_rate(path: Path) -> tuple[float, float]:
    """Points and commits a second, as a training process writes them."""
    path.parent.mkdir(parents=True)
    with RunWriter.open(path) as writer:
        begin = time.perf_counter()
        for step in range(1, STEPS + 1):
            writer.metrics(step, dict.fromkeys(METRICS, 1.0 / step))
        seconds = time.perf_counter() - begin
    return STEPS * len(METRICS) / seconds, STEPS / seconds


def fill(path: Path, points: int) -> None:
    """A run of one metric as a training process leaves it: its points and every closed bucket.

    Written by SQLite at once: a commit a step, as training makes them, would take an hour.
    """
    path.parent.mkdir(parents=True)
    with RunWriter.open(path) as writer:
        writer.metrics(0, {"loss": 2.0})
        db = writer.db
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO metrics SELECT 1, i, 1.0 / i + (i * 7919 % 101) / 1000.0 FROM n",
            [points],
        )
        for level in range(1, lod.LEVELS + 1):
            shift, finer = lod.shift(level), lod.shift(level) - lod.shift(level - 1)
            last = (points >> shift) - 1
            source, bucket = (
                ("SELECT key, ?, step >> ? AS b, min(step), max(step), min(value), max(value), "
                 "total(value), count(value), count(*) - count(value) FROM metrics", shift)
                if level == 1
                else ("SELECT key, ?, bucket >> ? AS b, min(first), max(last), min(low), "
                      "max(high), total(total), sum(n), sum(nulls) FROM lod "
                      f"WHERE level = {level - 1}", finer)
            )  # fmt: skip
            db.execute(f"INSERT INTO lod {source} GROUP BY b HAVING b <= ?", [level, bucket, last])
        db.execute("UPDATE state SET step = ?", [points])
        db.execute("COMMIT")


def first_chart(path: Path) -> int:
    """Open a run and make its first chart, as a screen does."""
    with RunFeed(path, CHART_POINTS) as feed:
        feed.read()
        return len(feed.series("loss"))


def naive_chart(path: Path) -> int:
    """What a tracker without a level of detail does: fetch all points, then reduce them."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    rows = connection.execute("SELECT step, value FROM metrics WHERE key = 1").fetchall()
    connection.close()
    size = -(-len(rows) // CHART_POINTS)
    buckets = [rows[index : index + size] for index in range(0, len(rows), size)]
    return len([(min(value for _, value in b), max(value for _, value in b)) for b in buckets])


def timed(work: Callable[[], object], rounds: int = 5) -> float:
    """The median of a few rounds, in seconds."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
