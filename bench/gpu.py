"""One GPU, random weights in the shapes of Llama-3.1-8B and Qwen2.5-7B: `python -m bench.gpu`.

For QLoRA and LoRA in bfloat16, ours against plain TRL on the same box: real tokens a second, the
share of the device's peak (4 operations a parameter and token), peak memory, seconds from launch
to the first step, and the memory that was predicted. Short chats, and for ours full sequences of
4,096 packed tokens as well. Aims: 1.5 times plain TRL on short chats; 40 % of peak for LoRA in
bfloat16 at 4,096 packed tokens.

Without a GPU it says so and measures nothing. `--tiny` takes the whole way on a CPU with a tiny
shape: that proves the code and says nothing about a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import jobs, made
from bench.train import recipe
from engine.machine.facts import Machine, this_machine
from engine.train import client
from engine.train.fit.speed import peak_of
from engine.train.recipe import Recipe
from store.catalogue import Catalogue
from store.workspace import Workspace

LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
QWEN_7B: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MODELS = {"Llama-3.1-8B": ("llama", LLAMA_8B), "Qwen2.5-7B": ("qwen2", QWEN_7B)}
LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    steps: int
    batch: int
    length: int
    median: int
    threads: int


FULL = Size(steps=30, batch=8, length=LENGTH, median=90, threads=8)
SMALL = Size(steps=5, batch=2, length=128, median=12, threads=1)


def main() -> None:
    """Measure, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--tiny", action="store_true", help="the whole way on a CPU, tiny")
    parser.add_argument("--only", choices=tuple(MODELS))
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    machine = this_machine()
    if machine.device != "cuda" and not given.tiny:
        print("no GPU here, or a torch that cannot use it: nothing was measured")
        print("run it where one is, or take the whole way on a CPU with --tiny")
        return
    models = {"tiny": ("llama", TINY)} if given.tiny else MODELS
    size = SMALL if given.tiny else FULL
    if given.steps:
        size = Size(given.steps, size.batch, size.length, size.median, size.threads)
    print(f"{machine.words()}" + (" · --tiny: says nothing about a GPU" if given.tiny else ""))
    for name, (kind, shape) in models.items():
        if given.only in (None, name):
            measure(name, kind, shape, size, machine)


def measure(name: str, kind: str, shape: dict[str, Any], size: Size, machine: Machine) -> None:
    """One model, both precisions, ours and plain TRL."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder,
        Catalogue.open(Workspace(Path(folder) / "ws").create()) as cat,
    ):
        model = made.llama(Path(folder) / "model", shape, kind)
        # More rows than plain TRL takes: packing eats several in each of its sequences.
        rows = size.steps * size.batch * 8
        data = made.chats(Path(folder) / "chats.jsonl", rows, size.median, most=8 * size.median)
        full = _full_rows(Path(folder) / "full.jsonl", size)
        print(f"{name}: random weights, {size.steps} steps")
        print(_HEAD)
        for precision in ("nf4", "bf16"):
            four = f"load_in_4bit={'true' if precision == 'nf4' else 'false'}"
            half = "dtype=bfloat16"
            short = _recipe(size, four, half)
            report = _Report(cat, str(model), size, machine)
            mine = report.ours(f"{precision} ours, short chats", data, short)
            plain = report.plain(f"{precision} plain TRL", precision, data, Path(folder))
            packed = (four, half, "packing=true", "per_device_train_batch_size=1")
            report.ours(f"{precision} ours, {size.length:,} packed", full, _recipe(size, *packed))
            print(f"  {precision}: {mine / plain:.2f} times plain TRL on short chats (aim 1.5)")


def _recipe(size: Size, *sets: str) -> Recipe:
    return recipe(
        size.steps,
        f"per_device_train_batch_size={size.batch}",
        f"max_length={size.length}",
        f"threads={size.threads}",
        *sets,
    )


def _full_rows(path: Path, size: Size) -> Path:
    """Rows that fill packed sequences well."""
    words = size.length // 8
    return made.chats(path, size.steps * 24, words, spread=0.3, most=size.length // 4)


_HEAD = f"  {'':<34}{'tokens/s':>10}{'of peak':>9}{'peak GB':>9}{'predicted':>15}{'first step':>12}"


class _Report:
    """Runs a job and prints its line."""

    def __init__(self, cat: Catalogue, model: str, size: Size, machine: Machine) -> None:
        self._cat, self._model, self._size = cat, model, size
        self._peak = peak_of(machine.gpus[0]) if machine.gpus else None

    def ours(self, label: str, data: Path, settings: Recipe) -> float:
        """Real tokens a second of our job."""
        run = jobs.make_run(self._cat, data, self._model, settings)
        seen = jobs.ours(self._cat, run, self._size.threads)
        with client.reader(self._cat, run.id) as run_db:
            fits = {fit.kind: fit for fit in run_db.fits()}
        took = float(fits["measured"].detail["growth_bytes"])
        return self._line(label, seen, took, float(fits["estimate"].detail["growth_bytes"]))

    def plain(self, label: str, precision: str, data: Path, folder: Path) -> float:
        """Likewise of plain TRL with its defaults in this precision."""
        kind = f"plain-{precision}@{self._size.batch}"
        size = self._size
        seen = jobs.plain(kind, self._model, data, folder, size.steps, size.threads)
        return self._line(label, seen, float(seen.peak), None)

    def _line(self, label: str, seen: jobs.Seen, took: float, expected: float | None) -> float:
        speed = seen.speed(wall=True)
        share = "" if self._peak is None else f"{speed * 4 * self._parameters() / self._peak:.1%}"
        said = "" if not expected else f"{expected / 2**30:.2f} ({expected / took - 1:+.0%})"
        print(
            f"  {label:<34}{speed:>10,.0f}{share:>9}{took / 2**30:>9.2f}{said:>15}"
            f"{seen.first_step:>10.1f} s",
            flush=True,
        )
        return speed

    def _parameters(self) -> int:
        from engine.models.folder import describe

        return describe(Path(self._model)).parameters


if __name__ == "__main__":
    main()
