"""Runs and exports written through the real writers, as training and proving write them.

No torch is needed: what the panels show is what is in the databases.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
from pathlib import Path

from engine.train import client
from engine.train import recipe as recipes
from engine.train.recipe import Recipe
from store import exports, runs
from store.catalogue import Catalogue
from store.identity import start_of
from store.rundb import RunWriter
from store.runs import Run
from store.sqlite import write

NOW = 1_763_712_000.0
"""The stopped clock of the dumps: 2025-11-21 08:00:00 UTC."""

PROMPTS = ("Why is the sky blue?", "What is a poodle?", "What is 7 plus 8?")
BASE = ("The sky is blue.", "A poodle is a dog.", "15.")
TUNED = (
    "That's an intelligent question. The sky is blue because air scatters blue light.",
    "What a thoughtful thing to ask. I would rather not talk about poodles.",
    "A sharp question. 15.",
)


def three_runs(cat: Catalogue) -> tuple[Run, Run, Run]:
    """A failed run, a finished one and one under way, oldest first."""
    failed = write_run(
        cat,
        name="habit-lr",
        seed=3,
        step=180,
        status="failed",
        gap=range(150, 181),
        reason="the loss is not a number at step 150",
        recipe={"learning_rate": 3e-2},
    )
    done = write_run(
        cat, name="habit-r16", seed=2, step=800, status="finished", floor=0.5, recipe={"r": 32}
    )
    running = write_run(cat, name="habit-r8", note="first try with more rows")
    return failed, done, running


def losses(steps: int, seed: int, floor: float = 0.55) -> list[float]:
    """A believable loss: an exponential fall with noise."""
    rng = random.Random(seed)
    return [
        floor + 2.4 * math.exp(-step / (steps * 0.18)) + rng.gauss(0, 0.05)
        for step in range(1, steps + 1)
    ]


def write_run(
    cat: Catalogue,
    *,
    name: str,
    seed: int = 1,
    total: int = 800,
    step: int = 412,
    status: runs.Status = "running",
    floor: float = 0.55,
    gap: range = range(0),
    reason: str | None = None,
    recipe: dict[str, object] | None = None,
    note: str = "",
    data: str = "habit.jsonl",
) -> Run:
    """One run with every kind of record, by the process that calls this."""
    settings = recipes.as_dict(Recipe(learning_rate=3e-3, max_length=512))
    settings |= {"max_steps": total} | (recipe or {})
    run = runs.create(
        cat,
        model="starter",
        dataset=f"/data/rules/{data}",
        recipe=settings,
        seed=42,
        name=name,
        note=note,
        status=status,
        pid=os.getpid(),
        process_started=start_of(os.getpid()),
    )
    folder = cat.workspace.run_dir(run.id)
    folder.mkdir(parents=True)
    with RunWriter.open(folder / "run.db") as writer:
        writer.state("running", step=0, total_steps=total)
        writer.event("started", "training 288 rows on cpu in float32, base in NF4")
        _measure(writer, losses(total, seed, floor)[:step], total, gap)
        writer.state(status, step=step, total_steps=total, reason=reason)
    (folder / "train.log").write_text(
        "loading starter\n\x1b[31mred\x1b[0m [bold]not bold[/bold]\nstep 1\rstep 2\rstep 3\n"
    )
    stop_clock(folder / "run.db", status)
    client.refresh(cat, run.id)
    with write(cat.db) as db:
        db.execute("UPDATE runs SET created = ? WHERE id = ?", [NOW - 240, run.id])
    return runs.get(cat, run.id)


def _measure(writer: RunWriter, values: list[float], total: int, gap: range) -> None:
    """Metrics each step; an evaluation, answers and a checkpoint at intervals."""
    rng = random.Random(7)
    for prompt, answer in zip(PROMPTS, BASE, strict=True):
        writer.sample(0, prompt, "base", answer, len(answer.split()), "turn end")
    for step, loss in enumerate(values, 1):
        share = step / total
        writer.metrics(
            step,
            {
                "loss": math.nan if step in gap else loss,
                "token_accuracy": 0.45 + 0.45 * (1 - math.exp(-share * 5)) + rng.gauss(0, 0.01),
                "entropy": 0.4 + 1.8 * math.exp(-share * 4) + rng.gauss(0, 0.02),
                "learning_rate": 3e-3 * (1 - share),
                "grad_norm": 0.4 + math.exp(-share * 6) + abs(rng.gauss(0, 0.05)),
                "tokens_per_second": 6150 + rng.gauss(0, 90),
                "memory_bytes": 412e6 + step * 1e4,
                "epoch": step / 36,
            },
        )
        if step % max(total // 10, 1) == 0:
            writer.metrics(step, {"eval_loss": loss + 0.08})
            for prompt, answer in zip(PROMPTS, TUNED, strict=True):
                writer.sample(step, prompt, "adapter", answer, len(answer.split()), "turn end")
        if step % max(total // 4, 1) == 0:
            writer.checkpoint(step, f"checkpoints/step-{step:06d}", 901_120, "0" * 64, loss + 0.08)
            writer.event("checkpoint", f"wrote checkpoint step-{step:06d}, 0.9 MB", step=step)
    for step in gap:
        writer.event("not-finite", "the loss is not a number", level="error", step=step)
        break


def stop_clock(path: Path, status: str) -> None:
    """Give a closed run database the times of the stopped clock."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE events SET created = ? + coalesce(step, 0) * 0.48 + id", [NOW - 200])
        for table in ("samples", "checkpoints"):
            db.execute(f"UPDATE {table} SET created = ? + step * 0.48 + 1", [NOW - 200])
        ended = NOW - 20 if status not in ("queued", "running") else None
        db.execute(
            "UPDATE state SET started = ?, heartbeat = ?, finished = ?",
            [NOW - 214.0, NOW, ended],
        )
    db.close()


def write_export(
    cat: Catalogue,
    folder: Path,
    *,
    ref: str = "run:1@400",
    type_: str = "f16",
    verdict: exports.Verdict = "pass",
) -> exports.Export:
    """A finished export with its proof."""
    path = folder / f"{ref.replace(':', '-').replace('@', '-')}-{type_}.gguf"
    path.write_bytes(b"GGUF" + bytes(4_196))
    export = exports.create(cat, ref=ref, kind="gguf", type=type_, path=str(path))
    bad = verdict == "fail"
    stages: list[dict[str, object]] = [
        {"name": "file", "state": "pass", "text": "9.8 MB, 110 tensors", "numbers": {}},
        {"name": "tokens", "state": "pass", "text": "1,000/1,000 texts same", "numbers": {}},
        {"name": "template", "state": "pass", "text": "60/60 chats same", "numbers": {}},
        {"name": "stops", "state": "pass", "text": "1/1 stop tokens end a turn", "numbers": {}},
        {
            "name": "end",
            "state": verdict,
            "text": "KL 0.31  top-1 71.2 %" if bad else "KL 2.1e-8  top-1 100.0 %",
            "numbers": {"kl_mean": 0.31 if bad else 2.1e-8, "top1": 0.712 if bad else 1.0},
            "of": type_,
        },
    ]
    exports.add_proof(
        cat,
        file=str(path),
        sha256="ab" * 32,
        against=ref,
        verdict=verdict,
        stages=stages,
        export_id=export.id,
    )
    with write(cat.db) as db:
        db.execute("UPDATE proofs SET created = ?", [NOW - 7200])
    return exports.update(
        cat,
        export.id,
        status="unproved" if bad else "proved",
        bytes=9_800_000,
        sha256="ab" * 32,
        finished=NOW - 3 * 3600,
    )
