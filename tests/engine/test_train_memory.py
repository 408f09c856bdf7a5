"""Out of memory at the probe and in mid-run: half the batch, the same curve, kept for resumes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.jobs import process
from engine.train import client
from engine.train import spec as specs
from engine.train.control import Control
from engine.train.fit import room
from engine.train.fit.probing import Fitting
from engine.train.fit.room import Room
from engine.train.recording import Recorder
from engine.train.worker import _set_up
from store.catalogue import Catalogue
from store.rundb import RunWriter
from store.runs import Run
from tests.engine.test_train_faults import device_taken
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait

pytestmark = pytest.mark.long

SETS = (
    "max_steps=5",
    "per_device_train_batch_size=16",
    "load_in_4bit=false",
    "dtype=float32",
    "lora_dropout=0",
    "test_size=0",
    "probe_tokens=0",
    "save_steps=3",
    "packing=false",
    "train_sampling_strategy=random",
)
# What the process may have beyond what it has: less than a step of 16 rows takes.
SPARE_MB = 48
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Freed tensors leave the process's data at once, so that its size says what is in use.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
# Sets a limit on its data at a moment, then runs the job as ever.
CHILD = """
import re, resource, sys
from pathlib import Path
from transformers import TrainerCallback
from engine.train import trainer, worker

moment, spare = int(sys.argv[2]), int(sys.argv[3]) << 20

def limit():
    used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + spare, resource.RLIM_INFINITY))

class Tight(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == moment:
            limit()

build = trainer.build
def tight(*args):
    made = build(*args)
    made.add_callback(Tight())
    if moment < 0:
        limit()
    return made
trainer.build = tight
sys.exit(worker.main([sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, Path]]:
    from store.workspace import Workspace

    folder = tmp_path_factory.mktemp("memory")
    with Catalogue.open(Workspace(folder / "workspace").create()) as cat:
        yield cat, small_data(folder, 48)


def made(shop: tuple[Catalogue, Path], *sets: str) -> Run:
    """A run that waits to be carried out by the test."""
    cat, data = shop
    with device_taken(cat.workspace):
        run = client.start(cat, data, "starter", small_recipe(*SETS, *sets))
        client.stop(cat, run.id)
        return wait(cat, run.id, ended)


def carried_out(cat: Catalogue, run: Run, moment: int, spare_mb: int = SPARE_MB) -> Run:
    """The run in a child whose memory is limited from a step on; -1 is before the probe."""
    folder = cat.workspace.run_dir(run.id)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(moment), str(spare_mb)],
        env=process.environment(ONE_THREAD | GIVES_BACK),
        capture_output=True,
        text=True,
        check=False,
    )
    found = client.refresh(cat, run.id)
    assert done.returncode == 0 or found.status == "failed", (
        f"{done.returncode}\n{done.stderr[-3000:]}"
    )
    return found


def told(cat: Catalogue, run: Run) -> list[tuple[int | None, str]]:
    with client.reader(cat, run.id) as run_db:
        return [(e.step, e.text) for e in run_db.events() if e.kind == "memory"]


@pytest.fixture(scope="module")
def undisturbed(shop: tuple[Catalogue, Path]) -> list[tuple[int, float | None]]:
    cat, data = shop
    run = client.start(cat, data, "starter", small_recipe(*SETS))
    assert wait(cat, run.id, ended).status == "finished"
    with client.reader(cat, run.id) as run_db:
        kinds = [fit.kind for fit in run_db.fits()]
        probe, measured = run_db.fits()[1:]
    assert kinds == ["estimate", "probe", "measured"]
    assert probe.detail["rows"] == 16 and probe.seconds is not None and probe.seconds > 0
    assert measured.peak_bytes >= measured.detail["growth_bytes"] > 0
    assert told(cat, run) == []
    return losses(cat, run.id)


@pytest.mark.parametrize("moment", [-1, 2], ids=["at-the-probe", "in-mid-run"])
def test_memory_runs_out_and_the_curve_goes_on(
    shop: tuple[Catalogue, Path], undisturbed: list[tuple[int, float]], moment: int
) -> None:
    cat, _ = shop
    run = carried_out(cat, made(shop), moment)
    assert (run.status, run.step) == ("finished", 5), run.reason
    step, text = told(cat, run)[0]
    assert step == (1 if moment < 0 else 3)
    assert "8 of 16 rows at a time" in text and "mathematics stays the same" in text
    ours = losses(cat, run.id)
    assert [s for s, _ in ours] == [s for s, _ in undisturbed]
    for (_, mine), (_, other) in zip(ours, undisturbed, strict=True):
        assert mine == pytest.approx(other, rel=2e-5)
    if moment < 0:
        with client.reader(cat, run.id) as run_db:
            assert [fit.kind for fit in run_db.fits()] == ["estimate", "probe", "measured"]
    kept = room.read(cat.workspace.run_dir(run.id))
    assert kept.pieces >= 2


def test_it_is_kept_over_a_resume(
    shop: tuple[Catalogue, Path], undisturbed: list[tuple[int, float]]
) -> None:
    cat, _ = shop
    run = made(shop)
    room.write(cat.workspace.run_dir(run.id), Room(4))
    client.resume(cat, run.id)
    done = wait(cat, run.id, ended)
    assert done.status == "finished"
    assert told(cat, done) == [(None, told(cat, done)[0][1])]
    assert "in 4 pieces" in told(cat, done)[0][1]
    for (_, mine), (_, other) in zip(losses(cat, run.id), undisturbed, strict=True):
        assert mine == pytest.approx(other, rel=2e-5)


def test_where_a_single_row_does_not_fit_it_says_so(shop: tuple[Catalogue, Path]) -> None:
    cat, _ = shop
    run = carried_out(cat, made(shop), -1, 8)
    assert run.status == "failed"
    assert run.reason is not None and "max_length" in run.reason
    texts = [text for _, text in told(cat, run)]
    assert any("1 of 16 rows" in text for text in texts)
    assert "recomputed" in texts[-1]


def test_a_probe_leaves_no_trace(shop: tuple[Catalogue, Path]) -> None:
    cat, _ = shop
    curves = []
    for probed in (True, False):
        run = made(shop, "lora_dropout=0.1", "load_in_4bit=true", "max_steps=3")
        folder = cat.workspace.run_dir(run.id)
        with RunWriter.open(folder / specs.DATABASE) as writer:
            control = Control(cat.workspace, run.id)
            trainer: Any = _set_up(specs.read(folder), Recorder(writer, folder), control)
            if not probed:
                trainer.remove_callback(Fitting)
            trainer.train()
            control.close()
            weights = [p.detach().clone() for p in trainer.model.parameters() if p.requires_grad]
        with client.reader(cat, run.id) as run_db:
            assert len(run_db.fits()) == (3 if probed else 0)
        curves.append((losses(cat, run.id), weights))
    assert curves[0][0] == curves[1][0]
    assert all(torch.equal(a, b) for a, b in zip(curves[0][1], curves[1][1], strict=True))
