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

from store.rundb import RunReader, RunWriter

STEPS = 5_000
METRICS = tuple(f"metric_{number}" for number in range(10))
POINTS = 1_000_000
CHART_POINTS = 600


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as folder:
        rate, commits = write_rate(Path(folder) / "rate" / "run.db")
        print(f"metrics: one commit a step, {len(METRICS)} metrics a step, {STEPS:,} steps")
        print(f"  {'commits per second':<42}{commits:>14,.0f}")
        print(f"  {'points per second':<42}{rate:>14,.0f}   aim > 10,000")
        path = Path(folder) / "long" / "run.db"
        fill(path, POINTS)
        print(f"first chart of a run with {POINTS:,} points, {CHART_POINTS} buckets")
        naive = timed(lambda: naive_chart(path))
        cold = timed(lambda: first_chart(path))
        with RunReader.open(path) as reader:
            reader.series("loss", points=CHART_POINTS)
            again = timed(lambda: reader.series("loss", points=CHART_POINTS))
            middle = POINTS // 2
            zoom = timed(
                lambda: reader.series("loss", middle, middle + 10_000, points=CHART_POINTS)
            )
        size = path.stat().st_size / POINTS
        print(f"  {'every row fetched, then reduced':<42}{naive * 1e3:>11.1f} ms")
        print(f"  {'open + series':<42}{cold * 1e3:>11.1f} ms   aim < 100 ms")
        print(f"  {'series again':<42}{again * 1e3:>11.1f} ms")
        print(f"  {'series of 10,000 steps in the middle':<42}{zoom * 1e3:>11.1f} ms")
        print(f"  {'first chart against the naive fetch':<42}{naive / cold:>11.1f} ×")
        print(f"  {'bytes a point':<42}{size:>11.1f}")


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
    """Write a run of one metric as a training process does, one commit a step."""
    path.parent.mkdir(parents=True)
    writer = RunWriter.open(path)
    for step in range(1, points + 1):
        writer.metrics(step, {"loss": 1.0 / step + (step * 7919 % 101) / 1000})
    writer.close()


def first_chart(path: Path) -> int:
    """Open a run and make its first chart, as a screen does."""
    with RunReader.open(path) as reader:
        return len(reader.series("loss", points=CHART_POINTS))


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
