"""What each noun of the catalogue keeps, and gives back as it was."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from store import checks, datasets, exports, runs, snapshots
from store.catalogue import Catalogue
from store.errors import NotFound
from store.snapshots import Snapshot

HOSTILE = "[/red]\x1b[2J\x00 ‮ \U0001f600 [@click=app.quit]"


def test_a_dataset_is_its_path_and_forgets_what_no_longer_holds(
    cat: Catalogue, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    first = datasets.remember(cat, path, path.stat(), rows=1, sha256="abc")
    again = datasets.remember(cat, path, path.stat())
    assert (again.id, again.rows, again.sha256) == (first.id, 1, "abc")
    assert (again.device, again.inode) == (path.stat().st_dev, path.stat().st_ino)
    path.write_text("{}\n{}\n")
    changed = datasets.remember(cat, path, path.stat())
    assert (changed.id, changed.rows, changed.sha256) == (first.id, None, None)
    assert datasets.by_path(cat, tmp_path / "b.jsonl") is None
    assert datasets.get(cat, first.id) == changed
    assert datasets.rename(cat, first.id, "habit").name == "habit"
    with pytest.raises(NotFound):
        datasets.get(cat, 99)


def test_an_inode_of_64_bits_fits(cat: Catalogue, tmp_path: Path) -> None:
    real = tmp_path.stat()
    fields = list(real)[:10]
    fields[1] = fields[2] = 2**64 - 1
    found = datasets.remember(
        cat, tmp_path / "far.jsonl", os.stat_result(fields, {"st_mtime_ns": 5})
    )
    assert found.inode == found.device == 2**64 - 1


def test_the_dataset_opened_last_comes_first(cat: Catalogue, tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        datasets.remember(cat, tmp_path / name, tmp_path.stat())
    assert [dataset.name for dataset in datasets.all(cat)] == ["a", "b"]


def test_the_same_content_is_one_snapshot(cat: Catalogue, tmp_path: Path) -> None:
    split = {"eval_fraction": 0.1, "seed": 3}
    given = Snapshot("ab" * 32, None, str(tmp_path / "a"), 10, 9, 1, 400, str(tmp_path), split)
    assert snapshots.record(cat, given) == given
    later = dataclasses.replace(given, rows=11)
    assert snapshots.record(cat, later) == given
    assert snapshots.all(cat) == [given]
    with pytest.raises(NotFound, match="cdcdcdcdcdcd"):
        snapshots.get(cat, "cd" * 32)


def test_a_run_keeps_what_is_needed_to_repeat_it(cat: Catalogue) -> None:
    recipe = {"max_steps": 40, "learning_rate": 2e-4, "target_modules": ["q", "v"], "é": None}
    run = runs.create(
        cat,
        model="starter",
        dataset="/d/habit.jsonl",
        recipe=recipe,
        seed=7,
        versions={"torch": "2.13.0"},
        machine={"cpus": 2},
        split={"eval": 5},
        base_sha256="b" * 64,
        total_steps=40,
    )
    assert (run.name, run.status, run.recipe, run.step) == ("run 1", "queued", recipe, 0)
    second = runs.create(cat, model="m", dataset="d", recipe={}, seed=0, name=HOSTILE, parent=1)
    assert (second.name, second.parent) == (HOSTILE, 1)
    assert runs.all(cat) == [second, run]
    changed = runs.update(
        cat, 1, status="running", step=3, loss=float("nan"), pid=4, reason="a\ud800b"
    )
    assert (changed.status, changed.step, changed.loss) == ("running", 3, None)
    assert changed.reason == "a\ufffd\ufffd\ufffdb"
    assert runs.note(cat, 1, "better").note == "better"
    assert runs.update(cat, 1) == runs.get(cat, 1)
    with pytest.raises(TypeError, match="steps"):
        runs.update(cat, 1, steps=3)
    with pytest.raises(TypeError, match="created"):
        runs.update(cat, 1, created=0.0)
    with pytest.raises(NotFound, match="run 12 does not exist"):
        runs.get(cat, 12)


def test_run_numbers_are_never_used_again(cat: Catalogue) -> None:
    runs.create(cat, model="m", dataset="d", recipe={}, seed=0)
    cat.db.execute("DELETE FROM runs")
    assert runs.create(cat, model="m", dataset="d", recipe={}, seed=0).id == 2


def test_a_command_is_taken_once(cat: Catalogue) -> None:
    run = runs.create(cat, model="m", dataset="d", recipe={}, seed=0)
    first = runs.post_command(cat, run.id, "checkpoint")
    second = runs.post_command(cat, run.id, "stop")
    assert runs.pending_commands(cat, run.id) == [(first, "checkpoint"), (second, "stop")]
    assert runs.take_command(cat, first)
    assert not runs.take_command(cat, first)
    runs.clear_commands(cat, run.id)
    assert runs.pending_commands(cat, run.id) == []
    with pytest.raises(NotFound):
        runs.post_command(cat, 5, "stop")


def test_a_check_result_comes_back_whole(cat: Catalogue) -> None:
    items = [{"prompt": "a\ud800", "passed": True}, {"prompt": "b", "error": "x"}]
    counts = {"passed": 1, "failed": 0, "errors": 1, "rate": 1.0, "low": 0.2, "high": 1.0}
    one = checks.record(
        cat, suite="habit", suite_sha256="c" * 64, model="starter", items=items, **counts
    )
    two = checks.record(
        cat, suite="world", suite_sha256="d" * 64, model="run:1", items=[], **counts
    )
    assert one.items == items
    assert checks.all(cat) == [two, one]
    assert checks.all(cat, suite="habit") == [one]
    assert checks.all(cat, suite="habit", model="run:1") == []


def test_an_export_and_its_proofs(cat: Catalogue, tmp_path: Path) -> None:
    out = str(tmp_path / "a.gguf")
    export = exports.create(
        cat, ref="run:1@40", kind="gguf", type="q8_0", path=out, provenance={"base": "starter"}
    )
    assert export.status == "running"
    done = exports.update(
        cat, export.id, status="proved", bytes=9, sha256="e" * 64, finished=2.0, provenance={"k": 1}
    )
    assert (done.status, done.bytes, done.provenance) == ("proved", 9, {"k": 1})
    stages = [{"name": "tokens", "state": "pass", "numbers": {"same": 1000}}]
    proof = exports.add_proof(
        cat,
        export_id=export.id,
        file=out,
        sha256="e" * 64,
        against="run:1@40",
        verdict="pass",
        stages=stages,
    )
    stranger = exports.add_proof(
        cat, file="/else.gguf", sha256="f" * 64, against="starter", verdict="fail", stages=[]
    )
    assert proof.stages == stages
    assert exports.proofs(cat, export.id) == [proof]
    assert exports.proofs(cat) == [stranger, proof]
    assert exports.all(cat) == [done]
    with pytest.raises(TypeError, match="ref"):
        exports.update(cat, export.id, ref="other")
    with pytest.raises(NotFound):
        exports.get(cat, 8)
