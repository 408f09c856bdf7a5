"""When a run has had enough, and which of its checkpoints stay: rules without a trainer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.models import refs
from engine.train import checkpoints, stopping
from engine.train.extending import More, longer
from engine.train.recipe import Recipe
from engine.train.recording import Recorder
from store import pins, runs
from store.catalogue import Catalogue
from store.errors import BadInput
from store.rundb import RunWriter


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with RunWriter.open(tmp_path / "run.db") as writer:
        yield Recorder(writer, tmp_path)


def saved(recorder: Recorder, step: int, recipe: Recipe, eval_loss: float | None = None) -> None:
    made = checkpoints.write(recorder.run_dir, step, [("a", b"x")], {}, eval_loss)
    recorder.saved(made, recipe)


def kept(recorder: Recorder) -> list[int]:
    with recorder.reader() as run_db:
        listed = [one.step for one in run_db.checkpoints()]
    assert listed == [one.step for one in checkpoints.complete(recorder.run_dir)]
    return listed


def test_patience_counts_from_the_best_evaluation() -> None:
    recipe = replace(Recipe(), patience=2)
    falling = [(0, 3.0), (10, 2.0), (20, 1.0)]
    assert stopping.out_of_patience(recipe, falling) is None
    worse = [*falling, (30, 1.5), (40, 1.0)]
    assert stopping.out_of_patience(recipe, worse) == (
        "patience: 2 evaluations without a better eval_loss than 1 at step 20"
    )
    assert stopping.out_of_patience(recipe, worse, since=30) is None
    assert stopping.out_of_patience(Recipe(), worse) is None
    suite = replace(recipe, patience_metric="suite:habit")
    rising = [(0, 0.1), (10, 0.9), (20, 0.5)]
    assert stopping.out_of_patience(suite, rising) is None
    assert stopping.out_of_patience(suite, [*rising, (30, 0.9)]) is not None


def test_tokens_and_time_are_used_up() -> None:
    recipe = replace(Recipe(), max_tokens=1000, max_minutes=1.5)
    assert stopping.out_of_budget(recipe, 999, 89) is None
    assert stopping.out_of_budget(recipe, 1000, 0) == "max_tokens: 1,000 of 1,000 tokens seen"
    assert stopping.out_of_budget(recipe, 0, 90) == "max_minutes: 1.5 of 1.5 minutes of training"
    short = replace(Recipe(), max_minutes=0.05)
    assert stopping.out_of_budget(short, 0, 3.3) == "max_minutes: 0.055 of 0.05 minutes of training"
    assert stopping.out_of_budget(Recipe(), 1e12, 1e9) is None


def test_a_suite_counts_as_the_mean_of_its_checks(recorder: Recorder) -> None:
    recorder.writer.metrics(10, {"suite/habit/opens": 0.5, "suite/habit/refuses": 1.0})
    recorder.writer.metrics(20, {"suite/habit/opens": 1.0, "suite/habit/refuses": 1.0})
    recorder.writer.metrics(20, {"suite/other/opens": 0.0, "eval_loss": 1.25})
    assert recorder.evaluations("suite:habit") == [(10, 0.75), (20, 1.0)]
    assert recorder.evaluations("eval_loss") == [(20, 1.25)]
    assert recorder.evaluations("suite:none") == []


def test_counting_goes_on_where_an_earlier_process_was(recorder: Recorder) -> None:
    recorder.writer.metrics(4, {"num_tokens": 400.0, "train_seconds": 40.0})
    recorder.writer.metrics(5, {"num_tokens": 500.0, "train_seconds": 50.0})
    recorder.start(4)
    assert recorder.tokens == 400
    assert 40 <= recorder.seconds < 50
    recorder.start(6)  # A loss of power took the last step's numbers.
    assert recorder.tokens == 500
    recorder.start(0)
    assert recorder.tokens == 0


def test_newest_best_and_pinned_are_spared(recorder: Recorder) -> None:
    recipe = replace(Recipe(), save_total_limit=2)
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5)):
        saved(recorder, step, recipe, loss)
    assert kept(recorder) == [2, 3, 4]
    pins.pin(recorder.run_dir, 4)
    saved(recorder, 5, recipe, 2.5)
    saved(recorder, 6, recipe, 2.5)
    assert kept(recorder) == [2, 4, 5, 6]
    pins.unpin(recorder.run_dir, 4)
    saved(recorder, 7, recipe, 0.5)
    assert kept(recorder) == [5, 6, 7]


def test_the_best_may_be_a_suites(recorder: Recorder) -> None:
    recipe = replace(Recipe(), save_total_limit=2, keep_best="suite:habit")
    for step, rate in ((1, 0.2), (2, 0.9), (3, 0.4), (4, 0.6)):
        recorder.writer.metrics(step, {"suite/habit/opens": rate})
        saved(recorder, step, recipe, float(step))
    assert kept(recorder) == [2, 3, 4]


def test_a_limit_moves_only_where_there_is_one(cat: Catalogue) -> None:
    run = runs.create(cat, model="starter", dataset="x", recipe={}, seed=0, total_steps=30)
    by_epochs = Recipe()
    assert longer(run, by_epochs, More(epochs=1.5)).num_train_epochs == 4.5
    assert longer(run, by_epochs, More(max_steps=5)).max_steps == 35
    timed = replace(Recipe(), max_minutes=10.0)
    assert longer(run, timed, More(minutes=5)).max_minutes == 15
    by_tokens = replace(Recipe(), max_tokens=1000)
    assert longer(run, by_tokens, More(tokens=500)).max_tokens == 1500
    counted = longer(run, by_tokens, More(max_steps=5))
    assert (counted.max_steps, counted.max_tokens) == (35, 0)
    unbegun = runs.create(cat, model="starter", dataset="x", recipe={}, seed=0)
    for who, recipe, more, match in (
        (run, by_epochs, More(minutes=5), "no time limit"),
        (run, by_epochs, More(tokens=5), "no token limit"),
        (run, by_tokens, More(epochs=1), "counts tokens"),
        (run, by_tokens, More(max_steps=1, tokens=5), "two ends"),
        (run, by_epochs, More(max_steps=1, epochs=1), "two ends"),
        (unbegun, by_epochs, More(max_steps=1), "has not begun"),
    ):
        with pytest.raises(BadInput, match=match):
            longer(who, recipe, more)


def test_a_run_means_its_best_by_what_the_recipe_keeps(cat: Catalogue) -> None:
    for metric, means in (("suite:habit", 1), ("eval_loss", 2), ("suite:other", 3)):
        recipe = {"keep_best": metric}
        run = runs.create(cat, model="starter", dataset="x", recipe=recipe, seed=0)
        folder = cat.workspace.run_dir(run.id)
        folder.mkdir(parents=True)
        with RunWriter.open(folder / "run.db") as writer:
            for step, rate, loss in ((1, 0.9, 3.0), (2, 0.2, 1.0), (3, 0.8, 2.0)):
                writer.metrics(step, {"suite/habit/opens": rate})
                checkpoints.write(folder, step, [("a", b"x")], {}, loss)
        assert refs.resolve(cat, f"run:{run.id}").step == means
        runs.update(cat, run.id, promoted_step=2)
        assert refs.resolve(cat, f"run:{run.id}").step == 2
