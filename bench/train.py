"""Real tokens a second of our training job against TRL, by itself and at its best.

The starter and a random 60M Llama learn made-up chats of mixed length; one thread; every script in
a process of its own, in turns. Ours records everything and takes what the engine chooses. Printed
against it: a plain `SFTTrainer` with TRL's defaults, and the best of hand-tuned scripts (batches
of similar length, no checkpointing, float32 and bfloat16). All train the same rows at the same
rank, rate and batch, and compute loss on the answers alone. Tokens without padding over seconds of
the processor, the first steps left out, best of the rounds; beside it over seconds of the wall.
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
WHAT = {
    "ours": "our job: the engine's choices, everything recorded",
    "defaults": "TRL: defaults (float32, autocast to bfloat16, checkpointing)",
    "tuned": "TRL tuned: alike in length, no checkpointing, float32",
    "tuned-bf16": "TRL tuned: alike in length, no checkpointing, bfloat16",
}
"""What each script does."""


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
    seen: dict[str, list[jobs.Seen]] = {}
    for number in range(rounds):
        run = jobs.make_run(cat, data, str(model), recipe(steps))
        seen.setdefault("ours", []).append(jobs.ours(cat, run, THREADS))
        # The tuned script that lost the first round runs once.
        kinds = (
            "defaults",
            *(TUNED if number == 0 else [max(TUNED, key=lambda k: _best(seen[k]))]),
        )
        for kind in kinds:
            again = jobs.plain(kind, model, data, scratch, steps, THREADS)
            seen.setdefault(kind, []).append(again)
    mine, mine_wall = _best(seen["ours"]), _best(seen["ours"], wall=True)
    print(f"{name}: {steps} steps of {BATCH} made-up chats, {THREADS} thread")
    for kind, found in seen.items():
        speed, by_wall = _best(found), _best(found, wall=True)
        print(f"  {WHAT[kind]:<66}{speed:7,.0f} tokens/CPU-s, {by_wall:7,.0f} by the wall; "
              f"ratio {mine / speed:.2f}, {mine_wall / by_wall:.2f}")  # fmt: skip
    tuned = max(_best(seen[kind]) for kind in TUNED)
    print(f"  against defaults {mine / _best(seen['defaults']):.2f} (aim 3.0), against the best "
          f"tuned {mine / tuned:.2f} (aim 1.0)")  # fmt: skip


def _best(found: list[jobs.Seen], *, wall: bool = False) -> float:
    return max(one.speed(wall=wall) for one in found)


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
