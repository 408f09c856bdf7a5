"""What must hold when the world is against a run: killed, moved, started twice, changed beneath."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from engine.jobs import process
from engine.models import refs
from engine.train import checkpoints, client
from engine.train import spec as specs
from engine.train.control import Control
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError
from store.runs import Run
from store.workspace import Workspace
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait
from workbench.cli import app, main

TINY = ("max_steps=2", "save_steps=1", "eval_steps=1", "probe_tokens=0", "warmup_steps=0")


@contextmanager
def device_taken(workspace: Workspace) -> Iterator[None]:
    """As if another run had the device."""
    with (workspace.root / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def until_heard(cat: Catalogue, run: Run) -> None:
    """Wait for the job's first word."""
    with client.reader(cat, run.id) as run_db:
        while run_db.state() is None:
            assert client.is_alive(run), client.log_path(cat, run.id).read_text()
            time.sleep(0.02)


@pytest.fixture
def queued(cat: Catalogue, tmp_path: Path) -> Iterator[Run]:
    """A run whose process waits for the device; it is gone after the test."""
    data = small_data(tmp_path)
    with device_taken(cat.workspace):
        run = client.start(cat, data, "starter", small_recipe(*TINY))
        until_heard(cat, run)
        yield run
        left = runs.get(cat, run.id)
        process.terminate(left.pid, left.process_started)
        wait(cat, run.id, ended)


def test_started_by_many_at_once_it_runs_once(cat: Catalogue, queued: Run) -> None:
    client.stop(cat, queued.id)
    assert wait(cat, queued.id, ended).status == "stopped"
    together, told = threading.Barrier(4), []

    def resume() -> None:
        with Catalogue.open(cat.workspace) as own:
            together.wait()
            try:
                told.append(client.resume(own, queued.id).pid)
            except Conflict:
                told.append(None)

    threads = [threading.Thread(target=resume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (pid,) = [number for number in told if number is not None]
    run = client.refresh(cat, queued.id)
    assert (run.pid, run.status, client.is_alive(run)) == (pid, "queued", True)


def test_a_process_that_nobody_wrote_down_is_found(cat: Catalogue, queued: Run) -> None:
    runs.update(cat, queued.id, pid=None, process_started=None, status="lost")
    (found,) = client.refresh(cat)
    assert (found.status, found.pid) == ("queued", queued.pid)
    client.stop(cat, found.id)
    assert wait(cat, found.id, ended).status == "stopped"


def test_a_clock_that_is_set_makes_nobody_another(
    cat: Catalogue, queued: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "linux":
        linux = sys.modules["psutil._pslinux"]
        booted = psutil.boot_time()
        monkeypatch.setattr(linux, "boot_time", lambda: booted + 3600)
    run = client.refresh(cat, queued.id)
    assert (run.status, client.is_alive(run)) == ("queued", True)


def test_a_locked_catalogue_keeps_nobody_from_stopping_or_seeing(
    cat: Catalogue, queued: Run
) -> None:
    other = sqlite3.connect(cat.workspace.catalogue_path, isolation_level=None)
    cat.db.execute("PRAGMA busy_timeout=10").fetchall()
    other.execute("BEGIN IMMEDIATE")
    try:
        client.stop(cat, queued.id)
        while client.is_alive(queued):
            time.sleep(0.02)
        # Seen although it cannot be written down: a cache hides nothing.
        assert client.refresh(cat, queued.id).status == "stopped"
        assert runs.get(cat, queued.id).status == "queued"
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert client.refresh(cat, queued.id) == runs.get(cat, queued.id)


def test_a_wish_is_obeyed_where_it_cannot_be_ticked_off(cat: Catalogue) -> None:
    run = runs.create(cat, model="starter", dataset="x", recipe={}, seed=0)
    runs.post_command(cat, run.id, "checkpoint")
    control = Control(cat.workspace, run.id)
    other = sqlite3.connect(cat.workspace.catalogue_path, isolation_level=None)
    with Catalogue.open(cat.workspace):
        control.poll()  # opens its own connection
        control.checkpoint = False
        runs.post_command(cat, run.id, "pause")
        other.execute("BEGIN IMMEDIATE")
        while control.ending is None:
            control.poll()
        other.execute("ROLLBACK")
    assert (control.ending, control.checkpoint) == ("paused", False)
    control.close()
    other.close()


def test_a_base_that_changes_in_the_queue_is_named(
    cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(starter, base)
    data = small_data(tmp_path)
    changed: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "model.safetensors": ("weights", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        "tokenizer.json": ("tokenizer", lambda raw: raw + b"\n"),
        "chat_template.jinja": ("chat template", lambda raw: raw + b" "),
    }
    for name, (what, change) in changed.items():
        with device_taken(cat.workspace):
            run = client.start(cat, data, str(base), small_recipe(*TINY))
            before = (base / name).read_bytes()
            (base / name).write_bytes(change(before))
        failed = wait(cat, run.id, ended)
        (base / name).write_bytes(before)
        assert failed.status == "failed"
        assert failed.reason is not None and f"the base's {what} changed" in failed.reason


def test_one_small_run_moved_flipped_and_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One training serves three questions, for each costs seconds."""
    data = small_data(tmp_path)
    with Catalogue.open(Workspace(tmp_path / "here")) as cat, device_taken(cat.workspace):
        run = client.start(cat, data, "starter", small_recipe(*TINY))
        client.stop(cat, run.id)
        assert wait(cat, run.id, ended).status == "stopped"
    (tmp_path / "here").rename(tmp_path / "there")

    with Catalogue.open(Workspace(tmp_path / "there")) as cat:
        client.resume(cat, run.id)
        # Waited for without looking at the run: the catalogue must not have heard of its end.
        moved = runs.get(cat, run.id)
        while client.is_alive(moved):
            time.sleep(0.02)
        assert not (tmp_path / "here").exists()
        saved = checkpoints.complete(cat.workspace.run_dir(run.id))
        best = min((c.eval_loss, c.step) for c in saved if c.eval_loss is not None)[1]
        assert [c.step for c in saved] == [1, 2]
        assert runs.get(cat, run.id).best_step is None
        early = refs.resolve(cat, f"run:{run.id}").ref
        assert client.refresh(cat, run.id).status == "finished"
        assert early == refs.resolve(cat, f"run:{run.id}").ref == f"run:{run.id}@{best}"
        folder = cat.workspace.run_dir(run.id)
        for path in (folder / "run.db", folder / "train.log", saved[0].path / "manifest.json"):
            assert path.stat().st_mode & 0o077 == 0, path

    weights = saved[-1].path / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    weights.write_bytes(raw)
    for command in (
        ["chat", "--model", f"run:{run.id}@2", "--prompt", "Hello"],
        ["export", f"run:{run.id}@2", "--to", "adapter", "--out", str(tmp_path / "adapter")],
    ):
        monkeypatch.setattr(
            "sys.argv", ["workbench", *command, "--workspace", str(tmp_path / "there"), "--json"]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        assert (stopped.value.code, out) == (2, "")
        assert "step-000002/adapter_model.safetensors was altered" in err
    assert not (tmp_path / "adapter").exists()


def test_a_run_that_is_killed_ends_its_command_with_two(cat: Catalogue, tmp_path: Path) -> None:
    data = small_data(tmp_path)
    arguments = ["train", str(data), "--workspace", str(cat.workspace.root), "--json"]
    with device_taken(cat.workspace):
        command = subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments, "--set", "max_steps=2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=process.environment(),
        )
        while not (known := runs.all(cat)) or known[0].pid is None:
            assert command.poll() is None
            time.sleep(0.02)
        until_heard(cat, known[0])
        psutil.Process(known[0].pid).kill()
        out, err = command.communicate()
    assert command.returncode == 2
    assert json.loads(out)["status"] == "lost"
    assert len(err.splitlines()) == 2


def test_a_manifest_that_names_another_step_is_no_checkpoint(tmp_path: Path) -> None:
    for step in (9, 999_999, 1_000_000):
        checkpoints.write(tmp_path, step, [("adapter_model.safetensors", b"abc")], {})
    newest, _ = checkpoints.newest_intact(tmp_path)
    assert newest is not None and newest.step == 1_000_000
    manifest = newest.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"step":1000000', b'"step":1000001'))
    (tmp_path / "checkpoints" / "step-notes.txt").write_text("mine")
    older, problems = checkpoints.newest_intact(tmp_path)
    assert older is not None and older.step == 999_999
    assert len(problems) == 1 and "manifest.json" in problems[0]
    assert checkpoints.altered_adapter(older.path) == []


def test_what_reaches_the_model_is_what_the_preview_shows(cat: Catalogue, tmp_path: Path) -> None:
    from engine.train.fit.probing import Fitting
    from engine.train.recording import Recorder
    from engine.train.worker import _set_up
    from store.rundb import RunWriter

    data = tmp_path / "rows.jsonl"
    rows = [json.loads(line) for line in small_data(tmp_path, 6).read_text().splitlines()]
    rows[2]["messages"][1]["content"] = "A stop <|end|> and a turn <|user|> inside. \u00e9\u4e2d"
    rows[3]["messages"] += [
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "word " * 60},
    ]
    rows[4]["messages"] = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Not this.", "train": False},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "This."},
    ]
    mute = {"messages": [{"role": "user", "content": "Nobody answers."}]}
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, mute]))
    recipe = small_recipe(
        "max_steps=3",
        "per_device_train_batch_size=2",
        "test_size=0",
        "max_length=64",
        "probe_tokens=0",
        "save_steps=100",
        "leave_out=true",
    )
    with device_taken(cat.workspace):
        run = client.start(cat, data, "starter", recipe)
        client.stop(cat, run.id)
        wait(cat, run.id, ended)
    folder = cat.workspace.run_dir(run.id)
    reached: list[tuple[list[int], list[int]]] = []
    with RunWriter.open(folder / specs.DATABASE) as writer:
        control = Control(cat.workspace, run.id)
        trainer = _set_up(specs.read(folder), Recorder(writer, folder), control)
        listed = [event.text for event in client.reader(cat, run.id).events()]

        def watch(_module: object, _args: object, given: dict[str, Any]) -> None:
            batch = (given[name].tolist() for name in ("input_ids", "labels", "attention_mask"))
            for ids, labels, seen in zip(*batch, strict=True):
                n = sum(seen)
                assert seen == [1] * n + [0] * (len(seen) - n)
                reached.append((ids[:n], labels[:n]))

        trainer.model.get_base_model().register_forward_pre_hook(watch, with_kwargs=True)
        trainer.remove_callback(Fitting)  # Its probe would be seen as well.
        trainer.train()
        control.close()

    shown = []
    for row in range(1, 7):
        arguments = ["data", "preview", str(data), "--row", str(row), "--model", "starter"]
        arguments += ["--max-length", "64", "--workspace", str(cat.workspace.root), "--json"]
        told = json.loads(CliRunner().invoke(app, arguments).stdout)
        pairs = zip(told["ids"], told["mask"], strict=True)
        shown.append((told["ids"], [token if kept else -100 for token, kept in pairs]))
    assert sorted(reached) == sorted(shown)
    assert any("line 4" in text and "cut" in text for text in listed)
    assert any("line 7" in text and "no token" in text for text in listed)


def test_wrong_arguments_are_met_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["train"], ["train", "x", "--bogus"], ["bogus"], ["data", "show", "x"]):
        monkeypatch.setattr("sys.argv", ["workbench", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        assert (stopped.value.code, out) == (2, "")
        first, second = err.splitlines()
        assert first.startswith("error: ") and second.startswith(" hint: ")


def test_a_run_whose_folder_is_gone_says_so(cat: Catalogue, queued: Run) -> None:
    client.stop(cat, queued.id)
    wait(cat, queued.id, ended)
    shutil.move(cat.workspace.run_dir(queued.id), cat.workspace.root / "elsewhere")
    with pytest.raises(WorkbenchError, match="folder is gone"):
        client.resume(cat, queued.id)


def test_saved_and_paused_by_command(cat: Catalogue, tmp_path: Path) -> None:
    endless = ("max_steps=100000", "save_steps=100000", "eval_steps=100000", "test_size=0")
    recipe = small_recipe(*endless, "probe_tokens=0", "save_total_limit=1")
    run = client.start(cat, small_data(tmp_path), "starter", recipe)
    wait(cat, run.id, lambda r: r.step >= 1)

    def told(*words: str) -> dict[str, Any]:
        arguments = [*words, str(run.id), "--workspace", str(cat.workspace.root), "--json"]
        found: dict[str, Any] = json.loads(CliRunner().invoke(app, arguments).stdout)
        return found

    asked = told("checkpoint")
    (saved,) = asked["checkpoints"]
    assert (asked["status"], asked["steps"] >= saved["step"]) == ("running", True)
    paused = told("pause")
    assert (paused["status"], paused["reason"]) == ("paused", None)
    (kept,) = checkpoints.complete(cat.workspace.run_dir(run.id))
    assert kept.step == paused["steps"] > saved["step"]
    client.resume(cat, run.id)
    until_heard(cat, run)
    again = wait(cat, run.id, lambda r: r.step > kept.step)
    client.stop(cat, run.id)
    stopped = wait(cat, run.id, ended)
    assert (again.status, stopped.status) == ("running", "stopped")
    assert [step for step, _ in losses(cat, run.id)] == list(range(1, stopped.step + 1))


def test_a_job_chooses_among_the_gpus_that_are_visible() -> None:
    for ours in ("", "0", "3,1", "-1", "GPU-ab,GPU-cd"):
        told = client.job_environment(2, {"CUDA_VISIBLE_DEVICES": ours})
        assert (told["CUDA_VISIBLE_DEVICES"], told["OMP_NUM_THREADS"]) == (ours, "2")
    assert client.job_environment(1, {})["CUDA_VISIBLE_DEVICES"].split(",")[0] == "0"


_ON_A_FULL_DISK = """
import fcntl, os, sys, time
from pathlib import Path
from engine.train import client
from store.catalogue import Catalogue
from store.workspace import Workspace
from tests.engine.train_fixtures import ended, small_data, small_recipe, wait

disk = Path(sys.argv[1])
with Catalogue.open(Workspace(disk / "ws")) as cat, (disk / "ws/device.lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    run = client.start(cat, small_data(disk), "starter", small_recipe())
    reserve = cat.workspace.run_dir(run.id) / "reserve"
    while not reserve.exists() or reserve.stat().st_size < 1 << 20:
        assert client.is_alive(run)
        time.sleep(0.02)
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    client.stop(cat, run.id)
    print(wait(cat, run.id, ended).status)
"""


def test_stopped_on_a_full_disk_it_says_so(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=100m none {tmp_path} && exec "
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, f"{mounted} true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    script = f'{mounted} "$0" -c "$1" "$2"'
    told = subprocess.run(
        [*inside, script, sys.executable, _ON_A_FULL_DISK, str(tmp_path)],
        env=process.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "stopped\n", told.stderr
