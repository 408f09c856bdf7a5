"""What the training tests share: small data, waiting for a run, its losses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import assets
from engine.train import client
from engine.train.recipe import Recipe, load, with_sets
from store.catalogue import Catalogue
from store.runs import Run

DEADLINE_S = 300.0
STEPS = 12
# Dropout and NF4 are where a resume could differ; 36 rows make nine steps an epoch.
EXACT = (
    f"max_steps={STEPS}",
    "per_device_train_batch_size=4",
    "lora_dropout=0.05",
    "save_steps=4",
    "eval_steps=6",
    "threads=1",
    "probe_tokens=8",
    "r=8",
    "warmup_steps=2",
)


def small_data(folder: Path, rows: int = 40) -> Path:
    """The first rows of the habit dataset."""
    lines = assets.path("datasets", "habit.jsonl").read_bytes().split(b"\n")[:rows]
    path = folder / "small.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def small_recipe(*sets: str) -> Recipe:
    return with_sets(load("habit-starter"), [*EXACT, *sets])


def wait(cat: Catalogue, run_id: int, until: Callable[[Run], bool]) -> Run:
    """Refresh until something is so; fails with the log where it never is."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        run = client.refresh(cat, run_id)
        over = ended(run)  # Asked first: it may come to its end between the two.
        if until(run):
            return run
        if over:
            break
        time.sleep(0.02)
    log = client.log_path(cat, run_id)
    raise AssertionError(f"{run.status}: {run.reason}\n{log.read_text() if log.exists() else ''}")


def ended(run: Run) -> bool:
    return run.status not in client.LIVE and not client.is_alive(run)


def losses(cat: Catalogue, run_id: int) -> list[tuple[int, float | None]]:
    with client.reader(cat, run_id) as run_db:
        return run_db.exact("loss")
