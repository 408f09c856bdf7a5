"""Real tokens a second of our training job against TRL, by itself and at its best.

The starter and a random 60M Llama learn made-up chats of mixed length; one thread; every script in
a process of its own, in turns. Ours records everything and takes what the engine chooses. Printed
against it: a plain `SFTTrainer` with TRL's defaults, and the best of hand-tuned scripts (batches
of similar length, no checkpointing, float32 and bfloat16). Tokens without padding over seconds of
the processor, the first steps left out, best of the rounds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import assets
from bench import jobs, made
from engine.train.recipe import Recipe, load, with_sets
from store.catalogue import Catalogue
from store.workspace import Workspace

BATCH, RANK, ALPHA, RATE, THREADS = 8, 16, 32, 1e-3, 1
TUNED = ("tuned", "tuned-bf16")


def main() -> None:
    """Print both models."""
    parser = argparse.ArgumentParser(prog="python -m bench.train")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("starter", "60M"))
    parser.add_argument("--steps", type=int, help="of each job; 30 and 12 by default")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-train-") as folder,
        Catalogue.open(Workspace(Path(folder) / "ws").create()) as cat,
    ):
        if given.only != "60M":
            compare(cat, "starter", assets.path("starter"), given.steps or 30, given.rounds)
        if given.only != "starter":
            big = made.llama(Path(folder) / "60M", made.SIXTY_MILLION)
            compare(cat, "60M", big, given.steps or 12, given.rounds)


def compare(cat: Catalogue, name: str, model: Path, steps: int, rounds: int) -> None:
    """Train one model every way, in turns, and print the speeds."""
    scratch = cat.workspace.root.parent
    data = made.chats(scratch / f"{name}.jsonl", steps * BATCH)
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        run = jobs.make_run(cat, data, str(model), recipe(steps))
        speeds.setdefault("ours", []).append(jobs.ours(cat, run, THREADS).speed())
        # The tuned script that lost the first round, and the slow defaults, run once.
        kinds = ("defaults", *TUNED) if number == 0 else (_best(speeds, TUNED),)
        for kind in kinds:
            seen = jobs.plain(kind, model, data, scratch, steps, THREADS)
            speeds.setdefault(kind, []).append(seen.speed())
    mine = max(speeds.pop("ours"))
    print(f"{name}: {steps} steps of {BATCH} made-up chats, {THREADS} thread")
    print(f"  {'our job, everything recorded':<34}{mine:9,.0f} tokens/CPU-s")
    for kind, found in speeds.items():
        print(
            f"  {'TRL, ' + kind:<34}{max(found):9,.0f} tokens/CPU-s  ratio {mine / max(found):.2f}"
        )
    print(f"  against defaults {mine / max(speeds['defaults']):.2f} (aim 3.0), against the best "
          f"tuned {mine / max(speeds[_best(speeds, TUNED)]):.2f} (aim 1.0)")  # fmt: skip


def _best(speeds: dict[str, list[float]], kinds: tuple[str, ...]) -> str:
    return max(kinds, key=lambda kind: max(speeds[kind]))


def recipe(steps: int, *sets: str) -> Recipe:
    """One pass over the rows, everything else left to the engine."""
    given = [
        f"max_steps={steps}",
        f"per_device_train_batch_size={BATCH}",
        f"r={RANK}",
        f"lora_alpha={ALPHA}",
        f"learning_rate={RATE}",
        f"threads={THREADS}",
        "lr_scheduler_type=linear",
        "warmup_steps=0",
        "test_size=0",
        "probe_tokens=0",
        "load_in_4bit=auto",
        f"save_steps={steps}",
    ]
    return with_sets(load("default"), [*given, *sets])


if __name__ == "__main__":
    main()
