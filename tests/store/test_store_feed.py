"""A run that is followed: the same as a run that is read, and cheap while it goes on."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from store.metrics import Series
from store.rundb import RunReader, RunWriter
from store.runfeed import RunFeed


def test_nothing_is_there_yet(run_db: Path) -> None:
    with RunFeed(run_db) as feed:
        feed.read()
        assert feed.state is None and feed.traces == {}
        assert len(feed.series("loss")) == 0
        with RunWriter.open(run_db) as writer:
            writer.metrics(1, {"loss": 2.0})
        feed.read()
        assert feed.series("loss").last == (1, 2.0)


@pytest.mark.parametrize("stride", [1, 37])
def test_what_was_followed_is_what_is_read(run_db: Path, stride: int) -> None:
    dice = random.Random(stride)
    with RunWriter.open(run_db) as writer, RunFeed(run_db, points=100) as feed:
        writer.db.execute("PRAGMA synchronous=OFF")
        step = 0
        for number in range(1500):
            step += dice.randint(1, stride)
            value = math.nan if dice.random() < 0.01 else dice.gauss(2, 1)
            writer.metrics(step, {"loss": value} | ({"eval_loss": 1.0} if number % 99 == 0 else {}))
            if number == 700 or (number > 700 and dice.random() < 0.2):
                feed.read()
        feed.read()
        with RunReader.open(run_db) as reader:
            exact = reader.exact("loss")
            assert feed.series("eval_loss") == reader.series("eval_loss", points=100)
        check(feed.series("loss"), exact, 100)


def check(series: Series, exact: list[tuple[int, float | None]], most: int) -> None:
    """Every point is in one bucket, and every extreme is kept."""
    assert most / 4 < len(series) <= most
    assert series.last == exact[-1]
    for index in range(len(series)):
        inside = [v for s, v in exact if series.steps[index] <= s <= series.ends[index]]
        finite = [value for value in inside if value is not None]
        assert series.nulls[index] == len(inside) - len(finite)
        assert series.lows[index] == min(finite, default=None)
        assert series.highs[index] == max(finite, default=None)
    assert sum(1 for s, _ in exact if s > series.ends[-1]) == 0


def test_a_resume_takes_steps_back(run_db: Path) -> None:
    with RunFeed(run_db) as feed:
        with RunWriter.open(run_db) as writer:
            writer.event("started", "started")
            for step in range(1, 60):
                writer.metrics(step, {"loss": 1.0})
            writer.sample(50, "Why?", "adapter", "first", 1, "turn end")
            feed.read()
        with RunWriter.open(run_db) as writer:
            writer.rewind(40)
            writer.event("started", "resumed from step 40")
            for step in range(41, 70):
                writer.metrics(step, {"loss": 2.0})
            writer.sample(50, "Why?", "adapter", "again", 1, "turn end")
        feed.read()
        assert [sample.text for sample in feed.samples] == ["again"]
        assert feed.series("loss").means[45] == 2.0
        assert feed.series("loss").last == (69, 2.0)
        assert [event.text for event in feed.events] == ["started", "resumed from step 40"]


def test_only_what_is_new_is_read(run_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWriter.open(run_db) as writer, RunFeed(run_db) as feed:
        for step in range(1, 50):
            writer.metrics(step, {"loss": 1.0})
        writer.checkpoint(25, "checkpoints/step-000025", 10, "0" * 64)
        feed.read()
        monkeypatch.setattr(RunReader, "look", None)
        writer.metrics(50, {"loss": 0.5, "eval_loss": 0.6})
        writer.event("checkpoint", "wrote one", step=50)
        feed.read()
        assert feed.series("loss").last == (50, 0.5)
        assert feed.series("eval_loss").steps == (50,)
        assert [event.step for event in feed.events] == [50]
        assert [kept.step for kept in feed.checkpoints] == [25]


def test_a_window_is_finer_than_the_whole(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunFeed(run_db, points=64) as feed:
        writer.db.execute("PRAGMA synchronous=OFF")
        for step in range(1, 2001):
            writer.metrics(step, {"loss": 1e9 if step == 777 else 1.0})
        feed.read()
        whole, part = feed.series("loss"), feed.series("loss", (760, 800))
        assert max(high for high in whole.highs if high is not None) == 1e9
        assert part.highs[part.steps.index(777)] == 1e9
        assert list(part.steps) == list(range(760, 802))
