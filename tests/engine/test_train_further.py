"""Runs that go on: extended, forked, begun on an adapter, ended by a limit, watched, pinned.

Their processes are forked from one that has its libraries imported: each is a real worker.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from bench.nursery import Nursery
from engine.data.rows import parse_row
from engine.jobs import process
from engine.render import Renderer
from engine.train import checkpoints, client
from engine.train.forking import forked_recipe
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound, WorkbenchError
from store.runs import Run
from store.workspace import Workspace
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait
from workbench.cli import app

pytestmark = pytest.mark.long

EIGHT = ("max_steps=8", "lr_scheduler_type=constant", "warmup_steps=0", "probe_tokens=0")


class Shop:
    """One workspace, one small dataset, and workers that start at once."""

    def __init__(self, cat: Catalogue, data: Path) -> None:
        self.cat, self.data = cat, data

    def run(self, *sets: str, model: str = "starter") -> Run:
        started = client.start(self.cat, self.data, model, small_recipe(*EIGHT, *sets))
        return wait(self.cat, started.id, ended)

    def weights(self, run: Run, step: int) -> bytes:
        folder = checkpoints.folder(self.cat.workspace.run_dir(run.id), step)
        return (folder / "adapter_model.safetensors").read_bytes()

    def events(self, run: Run, kind: str) -> list[str]:
        with client.reader(self.cat, run.id) as run_db:
            return [event.text for event in run_db.events() if event.kind == kind]

    def points(self, run: Run, name: str) -> dict[int, float | None]:
        with client.reader(self.cat, run.id) as run_db:
            return dict(run_db.exact(name))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    nursery = Nursery()
    with pytest.MonkeyPatch.context() as patch, Catalogue.open(Workspace(folder / "ws")) as cat:
        patch.setattr(process, "spawn", nursery.spawn)
        yield Shop(cat, small_data(folder))
    nursery.close()


@pytest.fixture(scope="module")
def eight(shop: Shop) -> Run:
    return shop.run()


def test_extended_it_is_as_if_it_had_been_longer(shop: Shop, eight: Run) -> None:
    short = shop.run("max_steps=4")
    assert short.reason == "all 4 steps done"
    with pytest.raises(Conflict, match=r"finished: all 4 steps done"):
        client.resume(shop.cat, short.id)
    for bad, match in (
        ({"minutes": 1.0}, "no time limit"),
        ({"epochs": 1.0}, "counts steps"),
        ({}, "nothing to extend"),
    ):
        with pytest.raises(BadInput, match=match):
            client.extend(shop.cat, short.id, **bad)  # type: ignore[arg-type]
    client.extend(shop.cat, short.id, max_steps=4)
    done = wait(shop.cat, short.id, ended)
    assert (done.status, done.step, done.total_steps) == ("finished", 8, 8)
    assert done.recipe["max_steps"] == 8
    assert losses(shop.cat, done.id) == losses(shop.cat, eight.id)
    assert shop.weights(done, 8) == shop.weights(eight, 8)
    told, rate = shop.events(done, "extended")
    assert told == "extended at step 4 by 4 steps"
    assert "from 4 to 8 steps" in rate and "constant" in rate


def test_a_living_run_is_extended_where_it_stands(shop: Shop) -> None:
    recipe = small_recipe(*EIGHT, "max_steps=5000", "eval_steps=5000", "test_size=0")
    run = client.start(shop.cat, shop.data, "starter", recipe)
    before = wait(shop.cat, run.id, lambda r: r.step >= 2)
    again = client.extend(shop.cat, run.id, max_steps=100)
    assert again.pid != before.pid
    wait(shop.cat, run.id, lambda r: r.total_steps == 5100 and r.status == "running")
    client.stop(shop.cat, run.id)
    done = wait(shop.cat, run.id, ended)
    assert (done.status, done.reason) == ("stopped", None)
    assert [step for step, _ in losses(shop.cat, run.id)] == list(range(1, done.step + 1))
    assert [text for text in shop.events(done, "extended") if text.endswith("by 100 steps")]


def test_a_longer_cosine_takes_the_new_rate_at_once(shop: Shop) -> None:
    run = shop.run("max_steps=2", "lr_scheduler_type=cosine", "learning_rate=1e-3")
    client.extend(shop.cat, run.id, max_steps=2)
    done = wait(shop.cat, run.id, ended)
    rates = shop.points(done, "learning_rate")
    # The rate of step 3 is that of the new schedule at two of four steps, not the old one's zero.
    assert rates[3] == pytest.approx(0.5e-3)
    assert "cosine" in shop.events(done, "extended")[1]


def test_an_unchanged_fork_repeats_its_parent_and_outlives_it(shop: Shop, eight: Run) -> None:
    fork = client.fork(shop.cat, eight.id, 4)
    done = wait(shop.cat, fork.id, ended)
    assert (done.parent, done.forked_step, done.status, done.step) == (eight.id, 4, "finished", 8)
    assert losses(shop.cat, done.id) == losses(shop.cat, eight.id)
    assert shop.weights(done, 8) == shop.weights(eight, 8)
    with client.reader(shop.cat, done.id) as run_db:
        assert [saved.step for saved in run_db.checkpoints()] == [4, 8]
    (told,) = shop.events(done, "forked")
    assert told == f"forked from run {eight.id} at step 4: no setting changed"


def test_a_fork_learns_at_its_own_rate(shop: Shop, eight: Run) -> None:
    fork = client.fork(
        shop.cat, eight.id, 4, ["learning_rate=1e-5", "max_steps=5", "optim=adamw_torch"]
    )
    done = wait(shop.cat, fork.id, ended)
    rates = shop.points(done, "learning_rate")
    assert rates[4] == shop.points(eight, "learning_rate")[4]
    assert rates[5] == pytest.approx(1e-5)
    (told,) = shop.events(done, "forked")
    assert "learning_rate" in told and "optimizer's state does not fit" in told


def test_what_does_not_fit_a_checkpoint_is_refused_by_name(shop: Shop, eight: Run) -> None:
    before = small_recipe(*EIGHT)
    for item, match in (
        ("r=4", r"r=4: the checkpoint was trained with r=8"),
        ("load_in_4bit=false", "load_in_4bit=false"),
        ("test_size=0.5", "its parent's rows"),
        ("max_steps=3", "begins at step 4"),
        ("learning_rate=0", "leaves nothing open"),
        ("threads=0", "leaves nothing open"),
    ):
        with pytest.raises(BadInput, match=match):
            forked_recipe(before, [item], 4)
    for item, match in (
        ("optim=paged_adamw_8bit", "8-bit optimizers need a GPU"),
        ("attn_implementation=flash_attention_2", "flash attention needs a GPU"),
        ("max_length=100000", "the model's context is"),
    ):
        with pytest.raises(WorkbenchError, match=match):
            client.fork(shop.cat, eight.id, 4, [item])
    with pytest.raises(NotFound, match=r"no checkpoint at step 5"):
        client.fork(shop.cat, eight.id, 5)
    with pytest.raises(BadInput, match=r"r=4: the adapter"):
        client.start(shop.cat, shop.data, f"run:{eight.id}@8", small_recipe(*EIGHT, "r=4"))


def test_a_run_begins_where_an_adapter_ended(shop: Shop, eight: Run) -> None:
    on_top = shop.run("max_steps=1", model=f"run:{eight.id}@8")
    assert (on_top.model, on_top.parent, on_top.forked_step) == ("starter", eight.id, 8)
    assert shop.points(on_top, "eval_loss")[0] == shop.points(eight, "eval_loss")[8]


def test_limits_end_a_run_and_say_so(shop: Shop) -> None:
    by_time = shop.run("max_minutes=0.0001")
    assert (by_time.status, by_time.step) == ("finished", 1)
    assert by_time.reason is not None and by_time.reason.startswith("max_minutes: ")
    assert by_time.reason.endswith("at step 1 of 8")
    with pytest.raises(Conflict, match="would end at once"):
        client.extend(shop.cat, by_time.id, max_steps=1)
    seen = shop.points(by_time, "num_tokens")[1]
    assert seen is not None
    by_tokens = shop.run("max_steps=-1", f"max_tokens={int(seen) + 1}")
    assert (by_tokens.status, by_tokens.step) == ("finished", 2)
    assert by_tokens.reason is not None and by_tokens.reason.startswith("max_tokens: ")
    assert [c.step for c in checkpoints.complete(shop.cat.workspace.run_dir(by_tokens.id))] == [2]
    # So high a rate only makes it worse: two evaluations after the first are enough.
    hopeless = shop.run("learning_rate=0.5", "eval_steps=1", "patience=2", "max_grad_norm=0")
    assert (hopeless.status, hopeless.step) == ("finished", 2)
    assert hopeless.reason is not None and "patience: 2 evaluations" in hopeless.reason


def test_the_best_and_pinned_ones_stay(shop: Shop) -> None:
    run = shop.run("save_steps=1", "eval_steps=3", "save_total_limit=2", "max_steps=3")
    assert [c.step for c in checkpoints.complete(shop.cat.workspace.run_dir(run.id))] == [1, 2, 3]
    here = ["--workspace", str(shop.cat.workspace.root), "--json"]
    asked = CliRunner().invoke(app, ["checkpoints", str(run.id), "--pin", "2", "--verify", *here])
    told = json.loads(asked.stdout)
    assert [(c["step"], c["pinned"], c["problems"]) for c in told["checkpoints"]] == [
        (1, False, []),
        (2, True, []),
        (3, False, []),
    ]
    client.extend(shop.cat, run.id, max_steps=3)
    wait(shop.cat, run.id, ended)
    kept = [c.step for c in checkpoints.complete(shop.cat.workspace.run_dir(run.id))]
    assert kept == [2, 4, 5, 6]
    client.unpin(shop.cat, run.id, 2)
    with client.reader(shop.cat, run.id) as run_db:
        assert [c.pinned for c in run_db.checkpoints()] == [False] * 4


def test_a_loss_that_is_no_number_names_the_last_good_step(
    shop: Shop, starter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(starter, base)
    rare, common = _in_one_row(base, shop.data)
    _poison(base, rare)
    run = shop.run("test_size=0", "save_steps=1", "max_steps=30", model=str(base))
    assert (run.status, run.reason is not None) == ("failed", True)
    assert f"not a number at step {run.step}" in str(run.reason)
    kept = [saved.step for saved in checkpoints.complete(shop.cat.workspace.run_dir(run.id))]
    assert max(kept) == run.step - 1 > 0
    assert f"workbench fork {run.id} --step {kept[-1]} --set learning_rate=" in str(run.reason)
    _poison(base, common)
    at_once = shop.run("max_steps=2", model=str(base))
    assert (at_once.status, at_once.step) == ("failed", 0)
    assert "not a number before step 1 is taken" in str(at_once.reason)


def _poison(base: Path, token: int) -> None:
    """Make the embedding of a token not a number, and not the head that is made of it."""
    weights = load_file(base / "model.safetensors")
    embeddings = weights["model.embed_tokens.weight"]
    weights["lm_head.weight"] = embeddings.clone()
    embeddings[token] = float("nan")
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    config = base / "config.json"
    told = json.loads(config.read_bytes()) | {"tie_word_embeddings": False}
    config.write_text(json.dumps(told))


def _in_one_row(base: Path, data: Path) -> tuple[int, int]:
    """A token that only one row has, a short one; and one that every row has."""
    renderer = Renderer.load(base)
    rows = [parse_row(n, line) for n, line in enumerate(data.read_bytes().splitlines(), 1)]
    ids = [[int(t) for t in renderer.render_row(row).ids] for row in rows]
    seen = Counter(token for row in ids for token in set(row))
    short = (token for row in sorted(ids, key=len) for token in row)
    rare = next(token for token in short if seen[token] == 1 and token > 300)
    return rare, seen.most_common(1)[0][0]


def test_watched_in_plain_lines(shop: Shop, eight: Run) -> None:
    here = [str(eight.id), "--workspace", str(shop.cat.workspace.root)]
    plain = CliRunner().invoke(app, ["watch", *here]).stdout
    assert "\x1b" not in plain and "\r" not in plain
    lines = plain.splitlines()
    assert any(line.startswith("started on cpu") for line in lines)
    assert sum(line.startswith("step ") for line in lines) == 8
    assert lines[-1] == f"run {eight.id} finished at step 8: all 8 steps done"
    told = CliRunner().invoke(app, ["watch", *here, "--json"]).stdout
    objects: list[dict[str, Any]] = [json.loads(line) for line in told.splitlines()]
    assert objects[-1]["status"] == "finished"
    assert any(one.get("event", {}).get("kind") == "started" for one in objects)
