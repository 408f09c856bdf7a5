"""What recording costs: the same run with metrics, samples and events written down and not.

Both are our job on the starter, one thread, in turns, each in a process of its own; seconds of the
processor between the first and the last step. Every round takes the same steps, so each step counts
as in the round that took least: the noise of a shared machine is larger than what is looked for.
The time inside the writing calls is measured as well.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import assets
from bench import jobs, made
from bench.train import BATCH, THREADS, recipe
from store.catalogue import Catalogue
from store.workspace import Workspace

ROUNDS, STEPS = 4, 60


def main() -> None:
    """Print both, and the share."""
    parser = argparse.ArgumentParser(prog="python -m bench.recording")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    settings = recipe(given.steps, "eval_steps=20", "probe_tokens=16", "test_size=0.1")
    times: dict[bool, list[Sequence[float]]] = {False: [], True: []}
    shares = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-recording-") as folder,
        Catalogue.open(Workspace(Path(folder) / "ws").create()) as cat,
    ):
        data = made.chats(Path(folder) / "chats.jsonl", given.steps * BATCH)
        for number in range(given.rounds):
            for off in (False, True) if number % 2 == 0 else (True, False):
                run = jobs.make_run(cat, data, str(assets.path("starter")), settings)
                seen = jobs.ours(cat, run, THREADS, off=off)
                times[off].append([end - start for start, end in itertools.pairwise(seen.cpu)])
                if not off:
                    shares.append(seen.writing / (seen.cpu[-1] - seen.cpu[0]))
    on, off_ = (sum(map(min, zip(*times[off], strict=True))) for off in (False, True))
    print(f"recording: {given.steps} steps of the starter, {given.rounds} rounds in turns")
    print(f"  written down, CPU-s of the steps     {on:8.2f}")
    print(f"  not written down                     {off_:8.2f}   {on / off_ - 1:+.2%}  aim < 1 %")
    print(f"  time inside the writing calls        {statistics.median(shares):8.2%}")


if __name__ == "__main__":
    main()
