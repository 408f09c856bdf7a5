"""Kills at random moments of runs that save at every step: what a resume then costs.

`python -m bench.kills [--short N | --long] [--seed S]`: 100 kills by default. A third of them come
in the middle of a save, the others anywhere, in the set-up too. Every life is a real worker with a
real SIGKILL, forked from a process that has its libraries imported (see `bench.nursery`). After
each kill there is one plain `resume` and nothing else. Printed: resumes that needed help, points
of the curve that were lost, and values that differ from the undisturbed run. Aim: 0, 0, 0.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import assets
from bench.nursery import Nursery
from engine.jobs import process
from engine.train import checkpoints, client
from engine.train import spec as specs
from engine.train.recipe import Recipe, load, with_sets
from store import runs
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.runs import Run
from store.workspace import Workspace

STEPS = 24
KILLS = 100
LONG = 500
MOST_A_RUN = 40
"""Kills a run bears here before it is let alone to its end."""
SETTINGS = (
    f"max_steps={STEPS}",
    "save_steps=1",
    "eval_steps=6",
    "save_total_limit=4",
    "per_device_train_batch_size=2",
    "gradient_accumulation_steps=2",
    "lora_dropout=0.05",
    "warmup_steps=4",
    "lr_scheduler_type=cosine",
    "load_in_4bit=true",
    "threads=1",
    "probe_tokens=0",
    "r=4",
)
_REACH = 0.5
"""Share of a whole life within which a kill comes: later ones cost time and find nothing new."""
_METRICS = ("loss", "eval_loss", "grad_norm", "learning_rate", "num_tokens")

Curve = dict[str, list[tuple[int, float | None]]]


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    in_saves: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    helped: int = 0
    lost: int = 0
    different: int = 0
    weights: int = 0
    runs: int = 0


class Bench:
    """Runs that are killed, against one that is not."""

    def __init__(self, cat: Catalogue, data: Path, seed: int) -> None:
        self.cat, self.data, self.random = cat, data, random.Random(seed)
        self.tally = Tally()
        began = time.monotonic()
        calm = self._to_its_end(self._start())
        self.life = time.monotonic() - began
        if calm.status != "finished":
            raise SystemExit(f"the undisturbed run {calm.status}: {calm.reason}")
        self.calm, self.calm_weights = self._curve(calm), self._weights(calm)

    def one(self, most: int) -> None:
        """Kill one run at most so often, then compare it."""
        run, killed = self._start(), 0
        while killed < most:
            if not self._kill(run):
                break
            killed += 1
            self.tally.kills += 1
            if client.refresh(self.cat, run.id).status == "finished":
                break  # killed after its last word
            try:
                run = client.resume(self.cat, run.id)
            except WorkbenchError as error:
                self._needs_help(run, f"{error.message}. {error.hint}")
                return
        done = self._to_its_end(run)
        self.tally.runs += 1
        if done.status != "finished":
            self._needs_help(run, f"{done.status}: {done.reason}")
            return
        self._compare(done)

    def _start(self) -> Run:
        return client.start(self.cat, self.data, "starter", self._recipe())

    @staticmethod
    def _recipe() -> Recipe:
        return with_sets(load("default"), SETTINGS)

    def _kill(self, run: Run) -> bool:
        """Kill the run somewhere in its life; False where it came to its end before."""
        saves = self.random.random() < 1 / 3
        until = time.monotonic() + self.random.uniform(0, _REACH * self.life)
        folder = self.cat.workspace.run_dir(run.id) / specs.CHECKPOINTS
        while time.monotonic() < until and client.is_alive(run):
            if saves and any(folder.glob(f"*{checkpoints.PARTIAL}")):
                time.sleep(self.random.uniform(0, 0.01))
                break
            time.sleep(0.002)
        in_save = any(folder.glob(f"*{checkpoints.PARTIAL}"))
        if run.pid is None or not client.is_alive(run):
            return False
        os.kill(run.pid, signal.SIGKILL)
        while client.is_alive(run):
            time.sleep(0.001)
        self.tally.in_saves += in_save
        with client.reader(self.cat, run.id) as run_db:
            state = run_db.state()
        self.tally.phases[state.status if state is not None else "first word"] += 1
        return True

    def _to_its_end(self, run: Run) -> Run:
        while client.is_alive(runs.get(self.cat, run.id)):
            time.sleep(0.01)
        return client.refresh(self.cat, run.id)

    def _needs_help(self, run: Run, why: str) -> None:
        self.tally.helped += 1
        print(f"  run {run.id} needs help: {why}", flush=True)

    def _compare(self, run: Run) -> None:
        curve = self._curve(run)
        for name, points in self.calm.items():
            ours = dict(curve[name])
            self.tally.lost += sum(step not in ours for step, _ in points)
            strange = [step for step, value in points if step in ours and ours[step] != value]
            strange += sorted(ours.keys() - {step for step, _ in points})
            self.tally.different += len(strange)
            for step in strange[:3]:
                was = dict(points).get(step)
                print(f"  run {run.id}: {name} at step {step} is {ours[step]}, not {was}")
        self.tally.weights += self._weights(run) != self.calm_weights
        with client.reader(self.cat, run.id) as run_db:
            saved = {one.step for one in run_db.checkpoints()}
        kept = {one.step for one in checkpoints.complete(self.cat.workspace.run_dir(run.id))}
        self.tally.lost += len(saved ^ kept)

    def _curve(self, run: Run) -> Curve:
        with client.reader(self.cat, run.id) as run_db:
            return {name: run_db.exact(name) for name in _METRICS}

    def _weights(self, run: Run) -> bytes:
        folder = checkpoints.folder(self.cat.workspace.run_dir(run.id), STEPS)
        return (folder / "adapter_model.safetensors").read_bytes()


def main() -> None:
    """Kill, resume, compare, and print what came of it."""
    parser = argparse.ArgumentParser(prog="bench.kills")
    parser.add_argument("--short", type=int, metavar="N", help="so many kills")
    parser.add_argument("--long", action="store_true", help=f"{LONG} kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    wanted = given.short or (LONG if given.long else KILLS)
    nursery = Nursery()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="workbench-kills-") as folder:
        rows = assets.path("datasets", "habit.jsonl").read_bytes().split(b"\n")[:60]
        data = Path(folder) / "rows.jsonl"
        data.write_bytes(b"\n".join(rows) + b"\n")
        with (
            patch.object(process, "spawn", nursery.spawn),
            Catalogue.open(Workspace(Path(folder) / "workspace")) as cat,
        ):
            bench = Bench(cat, data, given.seed)
            while bench.tally.kills < wanted and bench.tally.helped < 10:
                bench.one(min(MOST_A_RUN, wanted - bench.tally.kills))
    nursery.close()
    _print(bench.tally, time.monotonic() - began)


def _print(tally: Tally, seconds: float) -> None:
    phases = ", ".join(f"{count} {name}" for name, count in tally.phases.most_common())
    points = STEPS * tally.runs
    print(f"kills                        {tally.kills}  ({phases}; {tally.in_saves} in a save)")
    print(f"runs that bore them          {tally.runs} of {STEPS} steps, a checkpoint a step")
    print(f"resumes that needed help     {tally.helped}")
    print(f"points lost                  {tally.lost} of {points} steps")
    print(f"values that differ           {tally.different}")
    print(f"adapters that differ         {tally.weights} of {tally.runs}")
    print(f"a kill and its resume took   {seconds / max(tally.kills, 1):.1f} s")


if __name__ == "__main__":
    main()
