"""What may go wrong around a run, met by name: a full disk, other rows, another base, no GPU.

Workers are forked from a process that has its libraries imported (see `bench.nursery`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from bench.nursery import Nursery
from engine.jobs import process
from engine.models.folder import read_json
from engine.train import checkpoints, client, worker
from engine.train import spec as specs
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound, WorkbenchError
from store.runs import Run
from tests.engine.test_train_faults import device_taken
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait

THREE = ("max_steps=3", "warmup_steps=0", "probe_tokens=0", "save_steps=1", "eval_steps=3")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "spawn", made.spawn)
        yield made
    made.close()


def events(cat: Catalogue, run: Run) -> list[tuple[str, str]]:
    with client.reader(cat, run.id) as run_db:
        return [(event.kind, event.text) for event in run_db.events()]


@contextmanager
def waiting(cat: Catalogue, data: Path, base: Path | str = "starter") -> Iterator[Run]:
    """A run that gets the device once the block is left."""
    with device_taken(cat.workspace):
        yield client.start(cat, data, str(base), small_recipe(*THREE))


def test_a_dataset_that_changes_is_said_and_changes_nothing(
    nursery: Nursery, cat: Catalogue, tmp_path: Path
) -> None:
    data = small_data(tmp_path)
    with waiting(cat, data) as calm:
        pass
    wait(cat, calm.id, ended)
    with waiting(cat, data) as run:
        data.write_text("nothing of it is left\n")
    done = wait(cat, run.id, ended)
    assert losses(cat, done.id) == losses(cat, calm.id)
    (told,) = [text for kind, text in events(cat, done) if "since the run began" in text]
    assert (
        told == f"{data} was changed since the run began; it trains on the rows as they were then"
    )
    # The frozen rows themselves are another matter.
    frozen = Path(specs.read(cat.workspace.run_dir(run.id)).snapshot.path) / "train.jsonl"
    data = small_data(tmp_path)
    with waiting(cat, data) as again:
        before = frozen.read_bytes()
        frozen.chmod(0o600)
        frozen.write_bytes(before.replace(b"e", b"a", 1))
    failed = wait(cat, again.id, ended)
    frozen.write_bytes(before)
    assert failed.status == "failed" and "frozen rows were altered" in str(failed.reason)


def test_a_base_that_is_gone_or_another_is_named(
    nursery: Nursery, cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    base, data = tmp_path / "base", small_data(tmp_path)
    shutil.copytree(starter, base)
    with waiting(cat, data, base) as run:
        base.rename(tmp_path / "away")
    failed = wait(cat, run.id, ended)
    assert failed.status == "failed" and str(base) in str(failed.reason)
    with pytest.raises(NotFound, match=str(base)):
        client.resume(cat, run.id)
    (tmp_path / "away").rename(base)
    config = base / "config.json"
    as_it_was = config.read_bytes()
    config.write_bytes(as_it_was.replace(b"1e-05", b"1e-06"))
    assert config.read_bytes() != as_it_was
    with pytest.raises(Conflict, match=r"config\.json was altered"):
        client.resume(cat, run.id)
    with pytest.raises(Conflict, match=r"config\.json changed"):
        worker._same_base(specs.read(folder := cat.workspace.run_dir(run.id)), folder)
    config.write_bytes(as_it_was)
    client.resume(cat, run.id)
    done = wait(cat, run.id, ended)
    assert done.status == "finished"
    # An adapter means nothing on another base.
    weights = base / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(Conflict, match="not the base that run"):
        client.extend(cat, run.id, max_steps=1)
    with pytest.raises(Conflict, match="not the base that run"):
        client.fork(cat, run.id, 2)
    with pytest.raises(Conflict, match="not the base that run"):
        client.start(cat, data, f"run:{run.id}@3", small_recipe(*THREE))


def test_an_altered_checkpoint_is_no_ground_to_stand_on(
    nursery: Nursery, cat: Catalogue, tmp_path: Path
) -> None:
    with waiting(cat, small_data(tmp_path)) as run:
        pass
    wait(cat, run.id, ended)
    run_dir = cat.workspace.run_dir(run.id)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        path = checkpoints.folder(run_dir, 2) / name
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(BadInput, match=f"step-000002/{name} is missing"):
            client.fork(cat, run.id, 2)
        path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(BadInput, match=f"step-000002/{name} was altered"):
            client.pin(cat, run.id, 2)
        path.write_bytes(kept)
    client.pin(cat, run.id, 2)
    (checkpoints.folder(run_dir, 3) / "scheduler.pt").unlink()
    client.extend(cat, run.id, max_steps=1)
    done = wait(cat, run.id, ended)
    assert (done.status, done.step) == ("finished", 4)
    assert ("checkpoint_damaged", "step-000003/scheduler.pt is missing") in events(cat, done)


def test_a_tokenizer_of_another_model_starts_nothing(
    cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(starter, base)
    config = read_json(base / "config.json") | {"vocab_size": 300}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"line \d+ has token \d+ .* only 300 embeddings"):
        client.start(cat, small_data(tmp_path), str(base), small_recipe())
    assert client.queue(cat) == [] and not any(cat.workspace.snapshots.iterdir())
    assert not any(cat.workspace.runs.iterdir())


def test_a_template_that_cannot_be_rendered_starts_nothing(
    cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(starter, base)
    for template in ("{% for", "{{ raise_exception('no system role') }}"):
        (base / "chat_template.jinja").write_text(template)
        with pytest.raises(WorkbenchError) as refused:
            client.start(cat, small_data(tmp_path), str(base), small_recipe(*THREE))
        assert refused.value.hint
        assert runs.all(cat) == []


def test_a_run_for_a_gpu_says_where_there_is_none(
    nursery: Nursery, cat: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(WorkbenchError, match="8bit"):
        client.start(cat, small_data(tmp_path), "starter", small_recipe("optim=adamw_8bit"))
    with waiting(cat, small_data(tmp_path)) as run:
        run_dir = cat.workspace.run_dir(run.id)
        specs.write(run_dir, msgspec.structs.replace(specs.read(run_dir), device="cuda"))
    failed = wait(cat, run.id, ended)
    assert failed.status == "failed" and "made for a GPU, and torch sees none" in str(failed.reason)


def test_a_killed_run_says_so_and_where_it_goes_on(
    nursery: Nursery, cat: Catalogue, tmp_path: Path
) -> None:
    data = small_data(tmp_path)
    run = client.start(cat, data, "starter", small_recipe(*THREE, "max_steps=100000"))
    wait(cat, run.id, lambda r: r.step >= 2)
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    lost = wait(cat, run.id, lambda r: r.status == "lost")
    newest = checkpoints.complete(cat.workspace.run_dir(run.id))[-1].step
    assert "killed" in str(lost.reason)
    assert f"`workbench resume {run.id}` goes on from step {newest}" in str(lost.reason)


_ON_A_SMALL_DISK = """
import os, sys, time
from pathlib import Path
from bench.nursery import Nursery
from engine.jobs import process
from engine.train import checkpoints, client
from store.catalogue import Catalogue
from store.workspace import Workspace
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait

disk, nursery = Path(sys.argv[1]), Nursery()
process.spawn = nursery.spawn
settings = ("max_steps=40", "warmup_steps=0", "probe_tokens=0", "save_steps=4", "eval_steps=40",
            "save_total_limit=2", "test_size=0")
with Catalogue.open(Workspace(disk / "ws")) as cat:
    data, recipe = small_data(disk), small_recipe(*settings)
    calm = wait(cat, client.start(cat, data, "starter", recipe).id, ended)
    run = client.start(cat, data, "starter", recipe)
    wait(cat, run.id, lambda r: r.step >= 5)
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    full = wait(cat, run.id, lambda r: r.status == "paused")
    assert full.reason.startswith("The disk is full: cannot save step"), full.reason
    assert client.is_alive(full)
    kept = [c.step for c in checkpoints.complete(cat.workspace.run_dir(run.id))]
    (disk / "filler").unlink()
    done = wait(cat, run.id, ended)
    assert losses(cat, done.id) == losses(cat, calm.id)
    assert checkpoints.verify(checkpoints.folder(cat.workspace.run_dir(run.id), 40)) == []
    print(done.status, done.step, bool(kept))
nursery.close()
"""


def test_a_disk_that_fills_pauses_the_run_and_loses_nothing(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=160m none {tmp_path} && exec "
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, f"{mounted} true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    told = subprocess.run(
        [*inside, f'{mounted} "$0" -c "$1" "$2"', sys.executable, _ON_A_SMALL_DISK, str(tmp_path)],
        env=process.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "finished 40 True\n", told.stderr


def test_room_is_looked_for_before_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.write(tmp_path, 1, [("a", bytes(1000))], {})
    checkpoints.need_room(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=16 << 20))
    with pytest.raises(OSError, match="16 MB free"):
        checkpoints.need_room(tmp_path)
    assert [c.step for c in checkpoints.complete(tmp_path)] == [1]
