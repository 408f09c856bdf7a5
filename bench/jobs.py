"""Running our job and the plain scripts in processes of their own, with a clock in each.

Knows how a run is made without being started. Does not know what is compared.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.jobs.devices import lock_path, visible_devices
from engine.jobs.process import environment
from engine.machine.facts import this_machine
from engine.train import client
from engine.train.recipe import Recipe
from store.catalogue import Catalogue
from store.runs import Run

WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clock in a job saw: lists with an entry a step, seconds and tokens so far."""

    cpu: list[float]
    wall: list[float]
    tokens: list[float]
    peak: int = 0
    writing: float = 0.0
    total: float = 0.0
    launched: float = 0.0

    def speed(self, *, wall: bool = False) -> float:
        """Real tokens a second over all steps after the first few."""
        clock = self.wall if wall else self.cpu
        first = min(WARM_UP, len(clock) - 1) - 1
        return (self.tokens[-1] - self.tokens[first]) / (clock[-1] - clock[first])

    @property
    def first_step(self) -> float:
        """Seconds from the launch to the end of the first step."""
        return self.wall[0] - self.launched


def make_run(cat: Catalogue, data: Path, model: str, recipe: Recipe) -> Run:
    """A run with everything decided, which nobody carries out yet."""
    on = visible_devices(this_machine().device, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    with ExitStack() as held:
        for device in on:
            lock = held.enter_context(lock_path(cat.workspace, device).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        run = client.start(cat, data, model, recipe)
        client.stop(cat, run.id)
        while client.is_alive(run):
            time.sleep(0.05)
    return client.refresh(cat, run.id)


def ours(cat: Catalogue, run: Run, threads: int, *, off: bool = False) -> Seen:
    """Carry a run out."""
    folder = cat.workspace.run_dir(run.id)
    out = folder / "clock.json"
    words = ["-m", "bench.our_job", str(folder), str(out), *(["off"] if off else [])]
    return _child(words, out, client.job_environment(threads, os.environ))


def plain(kind: str, model: Path | str, data: Path, folder: Path, steps: int, threads: int) -> Seen:
    """Run one of the scripts in `bench.plain_trl`."""
    out = folder / f"{kind.replace('@', '-')}.json"
    words = ["-m", "bench.plain_trl", kind, str(model), str(data), str(out), str(steps)]
    counts = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return _child(words, out, {**counts, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"})


def _child(words: list[str], out: Path, told: dict[str, str]) -> Seen:
    launched = time.time()
    done = subprocess.run(
        [sys.executable, *words],
        env=environment(told),
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(out.read_text())
    return Seen(**found, launched=launched)
