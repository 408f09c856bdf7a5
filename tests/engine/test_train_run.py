"""Whole training runs in their own processes: what is recorded, killed, stopped, resumed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from engine.jobs import process
from engine.train import checkpoints, client
from store.catalogue import Catalogue
from store.errors import Conflict
from store.runs import Run
from store.workspace import Workspace
from tests.engine.train_fixtures import STEPS, ended, losses, small_data, small_recipe, wait
from workbench.cli import app


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, Path]]:
    """One workspace for all runs here, and a small dataset."""
    folder = tmp_path_factory.mktemp("shop")
    with Catalogue.open(Workspace(folder / "workspace")) as cat:
        yield cat, small_data(folder)


@pytest.fixture(scope="module")
def undisturbed(shop: tuple[Catalogue, Path]) -> Run:
    cat, data = shop
    run = client.start(cat, data, "starter", small_recipe(), name="undisturbed")
    return wait(cat, run.id, ended)


def test_a_run_records_every_step_and_what_repeats_it(
    shop: tuple[Catalogue, Path], undisturbed: Run
) -> None:
    cat, _ = shop
    assert (undisturbed.status, undisturbed.step) == ("finished", STEPS)
    assert undisturbed.reason == f"all {STEPS} steps done"
    with client.reader(cat, undisturbed.id) as run_db:
        every = (
            "loss token_accuracy entropy learning_rate grad_norm tokens_per_second "
            "memory_bytes epoch"
        )
        for name in every.split():
            assert [step for step, _ in run_db.exact(name)] == list(range(1, STEPS + 1)), name
        evals = run_db.exact("eval_loss")
        assert [step for step, _ in evals] == [0, 6, 12]
        assert evals[-1][1] < evals[0][1]
        samples = {(s.step, s.model) for s in run_db.samples()}
        assert samples == {(0, "base"), (0, "adapter"), (6, "adapter"), (12, "adapter")}
        at_start = {s.model: s.text for s in run_db.samples() if s.step == 0}
        assert at_start["base"] == at_start["adapter"]
        assert [c.step for c in run_db.checkpoints()] == [4, 8, 12]
    assert undisturbed.best_step == STEPS
    assert undisturbed.recipe["dtype"] == "float32"
    assert undisturbed.recipe["threads"] == 1
    for known in (undisturbed.base_sha256, undisturbed.template_sha256, undisturbed.snapshot):
        assert known is not None and len(known) == 64
    assert {"torch", "transformers", "peft", "trl", "bitsandbytes"} <= undisturbed.versions.keys()
    assert undisturbed.split["eval_fraction"] == 0.1


def test_checkpoints_are_whole_hold_float32_adapters_and_no_pickled_arguments(
    shop: tuple[Catalogue, Path], undisturbed: Run
) -> None:
    cat, _ = shop
    folder = cat.workspace.run_dir(undisturbed.id) / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == [
        "step-000004",
        "step-000008",
        "step-000012",
    ]
    for path in folder.iterdir():
        assert checkpoints.verify(path) == []
        assert not (path / "training_args.bin").exists()
        with safe_open(path / "adapter_model.safetensors", "np") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        assert kinds == {"F32"}


def test_killed_in_the_middle_of_a_save_it_resumes_bit_for_bit(
    shop: tuple[Catalogue, Path], undisturbed: Run
) -> None:
    cat, data = shop
    run = client.start(cat, data, "starter", small_recipe(), name="killed")
    folder = cat.workspace.run_dir(run.id) / "checkpoints"
    assert run.pid is not None
    while True:
        assert client.is_alive(run)
        if (folder / "step-000008.partial").exists():
            os.kill(run.pid, signal.SIGSTOP)
            # Stopped, it can no longer finish the save: either it is caught in it, or it got away.
            caught = (folder / "step-000008.partial").exists()
            os.kill(run.pid, signal.SIGKILL if caught else signal.SIGCONT)
            assert caught, "the save was over before it could be stopped"
            break
    lost = wait(cat, run.id, lambda r: r.status == "lost")
    assert lost.reason is not None and "step 4" in lost.reason
    (folder / "step-000008.partial").stat()

    client.resume(cat, run.id)
    done = wait(cat, run.id, ended)
    assert (done.status, done.step) == ("finished", STEPS)
    assert losses(cat, run.id) == losses(cat, undisturbed.id)
    assert done.eval_loss == undisturbed.eval_loss
    final = Path("checkpoints/step-000012/adapter_model.safetensors")
    ours, theirs = (cat.workspace.run_dir(r.id) / final for r in (done, undisturbed))
    assert ours.read_bytes() == theirs.read_bytes()
    with client.reader(cat, run.id) as run_db:
        damaged = [e.text for e in run_db.events() if e.kind == "checkpoint_damaged"]
    assert damaged == ["step-000008.partial: an interrupted save, removed"]


def test_stopped_by_command_and_by_signal_it_goes_on_bit_for_bit(
    shop: tuple[Catalogue, Path], undisturbed: Run
) -> None:
    cat, data = shop
    # Watched differently, trained the same: neither answers nor evaluations may leave a trace.
    recipe = small_recipe("eval_steps=5", "probe_tokens=0", "save_steps=100")
    run = client.start(cat, data, "starter", recipe, name="stopped")
    wait(cat, run.id, lambda r: r.step >= 2)
    client.stop(cat, run.id)
    stopped = wait(cat, run.id, ended)
    assert stopped.status == "stopped"
    assert 2 <= stopped.step <= STEPS
    assert [c.step for c in checkpoints.complete(cat.workspace.run_dir(run.id))] == [stopped.step]

    if stopped.step < STEPS:
        again = client.resume(cat, run.id)
        with pytest.raises(Conflict, match=r"is (queued|running)"):
            client.resume(cat, run.id)
        wait(cat, run.id, lambda r: r.status == "running")
        assert process.terminate(again.pid, again.process_started)
        assert wait(cat, run.id, ended).status == "stopped"
        client.resume(cat, run.id)
        assert wait(cat, run.id, ended).status == "finished"
    assert losses(cat, run.id) == losses(cat, undisturbed.id)
    with pytest.raises(Conflict, match="finished"):
        client.resume(cat, run.id)


def test_dense_lora_in_bfloat16(shop: tuple[Catalogue, Path]) -> None:
    cat, data = shop
    recipe = small_recipe("load_in_4bit=false", "dtype=bfloat16", "max_steps=3", "test_size=0")
    run = client.start(cat, data, "starter", recipe)
    done = wait(cat, run.id, ended)
    assert (done.status, done.step, done.eval_loss) == ("finished", 3, None)
    with client.reader(cat, run.id) as run_db:
        (started,) = [event for event in run_db.events() if event.kind == "started"]
    assert "base in bfloat16" in started.text


def test_a_run_waits_for_the_device_and_can_be_stopped_there(
    shop: tuple[Catalogue, Path],
) -> None:
    cat, data = shop
    with (cat.workspace.root / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = client.start(cat, data, "starter", small_recipe())
        with client.reader(cat, run.id) as run_db:
            while run_db.state() is None:
                assert client.is_alive(run)
                time.sleep(0.02)
        assert client.refresh(cat, run.id).status == "queued"
        client.stop(cat, run.id)
        assert wait(cat, run.id, ended).status == "stopped"
    assert checkpoints.complete(cat.workspace.run_dir(run.id)) == []


def test_a_failure_is_told_in_words(shop: tuple[Catalogue, Path], tmp_path: Path) -> None:
    cat, data = shop
    (base := tmp_path / "model").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (base / name).write_bytes((Path("assets/starter") / name).read_bytes())
    with (cat.workspace.root / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        weights = base / "model.safetensors"
        weights.write_bytes(Path("assets/starter/model.safetensors").read_bytes())
        run = client.start(cat, data, str(base), small_recipe())
        weights.write_bytes(weights.read_bytes()[:100_000])
    failed = wait(cat, run.id, ended)
    assert failed.status == "failed"
    assert failed.reason is not None and str(base) in failed.reason
    assert "Traceback" in client.log_path(cat, run.id).read_text()


def test_the_commands_show_what_was_recorded(
    shop: tuple[Catalogue, Path], undisturbed: Run
) -> None:
    cat, _ = shop
    here = ["--workspace", str(cat.workspace.root), "--json"]
    listed = json.loads(CliRunner().invoke(app, ["runs", *here]).stdout)["runs"]
    assert [r["run"] for r in listed] == sorted((r["run"] for r in listed), reverse=True)
    shown = json.loads(CliRunner().invoke(app, ["show", str(undisturbed.id), *here]).stdout)
    assert (shown["status"], shown["pid"], shown["steps"]) == ("finished", None, STEPS)
    assert shown["metrics"]["loss"] == [list(point) for point in losses(cat, undisturbed.id)]
    assert [c["step"] for c in shown["checkpoints"]] == [4, 8, 12]
    assert shown["recipe"]["r"] == 8
    log = json.loads(CliRunner().invoke(app, ["log", str(undisturbed.id), *here]).stdout)
    assert any("set up in" in line for line in log["lines"])
