"""Tokens per second of our training job against a plain TRL script on the same model and data.

Both train NF4 QLoRA on the shipped habit rows, one thread each, in processes of their own, in
turns. Ours records every step, the script only keeps its own log. The speed of a step is its real
(not padding) tokens over the time from log to log. Printed beside it: the script as TRL's own
defaults have it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import assets
from engine.jobs.process import environment
from engine.train import client
from engine.train.recipe import Recipe, load, with_sets
from store.catalogue import Catalogue
from store.workspace import Workspace

STEPS, WARM_UP, ROUNDS = 40, 5, 3
BATCH, RANK, ALPHA, RATE, THREADS = 8, 16, 32, 1e-3, 1


def main() -> None:
    """Print both speeds and their ratio."""
    speeds: dict[str, list[float]] = {"ours": [], "plain": [], "defaults": []}
    with tempfile.TemporaryDirectory() as folder, Catalogue.open(Workspace(Path(folder))) as cat:
        for number in range(ROUNDS):
            speeds["plain"].append(_plain(Path(folder), "plain"))
            speeds["ours"].append(_ours(cat))
            if number == 0:
                speeds["defaults"].append(_plain(Path(folder), "defaults"))
    ours, plain, defaults = (max(speeds[name]) for name in ("ours", "plain", "defaults"))
    print(f"training, NF4, batch {BATCH}, {THREADS} thread, best of {ROUNDS} rounds in turns")
    lines = (
        ("plain TRL script, same settings", plain),
        ("plain TRL script, its defaults", defaults),
    )
    print(f"  {'our job, everything recorded':<32}{ours:8,.0f} tokens/s")
    for name, speed in lines:
        print(f"  {name:<32}{speed:8,.0f} tokens/s   ratio {ours / speed:.2f}")
    each = ", ".join(f"{a / b:.2f}" for a, b in zip(speeds["ours"], speeds["plain"], strict=True))
    print(f"  ratio of each round: {each}")


def _recipe() -> Recipe:
    sets = [
        f"max_steps={STEPS}",
        f"per_device_train_batch_size={BATCH}",
        f"r={RANK}",
        f"lora_alpha={ALPHA}",
        f"learning_rate={RATE}",
        f"threads={THREADS}",
        "lr_scheduler_type=linear",
        "warmup_steps=0",
        "test_size=0",
        "probe_tokens=0",
        f"save_steps={STEPS}",
        "dtype=float32",
    ]
    return with_sets(load("default"), sets)


def _ours(cat: Catalogue) -> float:
    """Median tokens per second of our job."""
    run = client.start(cat, assets.path("datasets", "habit.jsonl"), "starter", _recipe())
    while client.is_alive(run):
        time.sleep(0.2)
    run = client.refresh(cat, run.id)
    if run.status != "finished":
        raise SystemExit(f"our job {run.status}: {run.reason}")
    with client.reader(cat, run.id) as run_db:
        return _middle([value or 0.0 for _, value in run_db.exact("tokens_per_second")])


def _plain(folder: Path, kind: str) -> float:
    """Median tokens per second of the script below, run in a process of its own."""
    out = folder / f"{kind}.json"
    threads = {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "bench.plain_trl", kind, str(out)]
    done = subprocess.run(
        command, env=environment({**threads, **quiet}), capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return _middle(json.loads(out.read_text()))


def _middle(speeds: list[float]) -> float:
    return statistics.median(speeds[WARM_UP:])


if __name__ == "__main__":
    main()
