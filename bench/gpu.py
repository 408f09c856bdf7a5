"""One GPU, random weights in the shapes of Llama-3.1-8B and Qwen2.5-7B: `python -m bench.gpu`.

For QLoRA and LoRA in bfloat16, ours against plain TRL on the same box: real tokens a second, the
share of the device's peak (4 operations a parameter and token), peak memory, seconds from launch
to the first step, and the memory that was predicted. Short chats, and for ours full sequences of
4,096 packed tokens as well. Aims: 1.5 times plain TRL on short chats; 40 % of peak for LoRA in
bfloat16 at 4,096 packed tokens.

A row that fails says why, and the others follow. With `--folder DIR` models and rows that were
measured are kept there: called again it goes on with what is missing, `--only` and `--row` with a
part. A model takes 16 GB of disk. Where torch, transformers and peft are, `pip install trl
bitsandbytes msgspec orjson sqlite-utils google-re2 zstandard psutil` adds what else it imports;
nothing of the interface.

Without a GPU it says so and measures nothing. `--tiny` takes the whole way on a CPU with a tiny
shape: that proves the code and says nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import jobs, made
from bench.train import recipe
from engine.machine.facts import Gpu, this_machine, versions
from engine.models.folder import describe
from engine.train import client
from engine.train.fit.speed import peak_of
from engine.train.recipe import Recipe
from store.catalogue import Catalogue
from store.errors import WorkbenchError
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


@dataclass(frozen=True, slots=True)
class Row:
    """What a line of the table says: tokens and bytes as they were measured."""

    speed: float
    peak: float
    first_step: float
    predicted: float = 0.0
    how: str = ""


def main() -> None:
    """Measure, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--tiny", action="store_true", help="the whole way on a CPU, tiny")
    parser.add_argument("--only", choices=tuple(MODELS))
    parser.add_argument("--row", default="", help="only rows with these words: nf4, plain, packed")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--folder", type=Path, help="keep models and rows here, and go on with it")
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
    print(" · ".join(f"{name} {version}" for name, version in versions().items()))
    for name, (kind, shape) in models.items():
        if given.only in (None, name):
            with ExitStack() as stack:
                kept = given.folder
                if kept is None:
                    kept = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gpu-"))
                folder = Path(kept).resolve() / name
                folder.mkdir(parents=True, exist_ok=True)
                cat = stack.enter_context(Catalogue.open(Workspace(folder / "ws").create()))
                gpu = machine.gpus[0] if machine.gpus else None
                Table(cat, folder, kind, shape, size, gpu).measure(name, given.row)


class Table:
    """One model, both precisions, ours and plain TRL, in `folder`."""

    def __init__(
        self,
        cat: Catalogue,
        folder: Path,
        kind: str,
        shape: dict[str, Any],
        size: Size,
        gpu: Gpu | None,
    ) -> None:
        self._cat, self._folder, self._size = cat, folder, size
        self._model = made.apart(folder / "model", shape, kind)
        self._parameters = describe(self._model).parameters
        self._peak = peak_of(gpu) if gpu else None

    def measure(self, name: str, words: str) -> None:
        """Print the rows whose label has these words, and how they compare."""
        size = self._size
        # More rows than plain TRL takes: packing eats several in each of its sequences.
        count = size.steps * size.batch * 8
        data = made.chats(self._folder / "chats.jsonl", count, size.median, most=8 * size.median)
        # Rows that fill packed sequences well.
        length = size.length // 8
        full = self._folder / "full.jsonl"
        made.chats(full, size.steps * 24, length, spread=0.3, most=size.length // 4)
        print(f"{name}: random weights, {size.steps} steps")
        print(_HEAD)
        for precision in ("nf4", "bf16"):
            four = f"load_in_4bit={'true' if precision == 'nf4' else 'false'}"
            short = (four, "dtype=bfloat16")
            packed = (*short, "packing=true", "per_device_train_batch_size=1")
            rows: dict[str, Callable[[], Row]] = {
                "ours, short chats": partial(self._ours, data, short),
                "plain TRL": partial(self._plain, precision, data),
                f"ours, {size.length:,} packed": partial(self._ours, full, packed),
            }
            told = {
                what: self._line(f"{precision} {what}", measured)
                for what, measured in rows.items()
                if words in f"{precision} {what}"
            }
            mine, plain = told.get("ours, short chats"), told.get("plain TRL")
            if mine and plain:
                times = mine.speed / plain.speed
                print(f"  {precision}: {times:.2f} times plain TRL on short chats (aim 1.5)")

    def _line(self, label: str, measured: Callable[[], Row]) -> Row | None:
        """Measure a row that was not measured before, and print it, or why there is none."""
        path = self._folder / "rows.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        key = f"{label} {self._size.steps}"
        if key not in known:
            try:
                known[key] = asdict(measured())
            except (WorkbenchError, SystemExit) as error:
                print(f"  {label:<28}failed: {_last(str(error))}", flush=True)
                return None
            path.write_text(json.dumps(known, indent=2))
        row = Row(**known[key])
        operations = row.speed * 4 * self._parameters
        share = f"{operations / self._peak:.1%}" if self._peak else ""
        said = ""
        if row.predicted:
            said = f"{row.predicted / 2**30:.2f} ({row.predicted / row.peak - 1:+.0%})"
        print(
            f"  {label:<28}{row.speed:>10,.0f}{share:>9}{row.peak / 2**30:>9.2f}{said:>15}"
            f"{row.first_step:>10.1f} s  {row.how}".rstrip(),
            flush=True,
        )
        return row

    def _ours(self, data: Path, sets: tuple[str, ...]) -> Row:
        """Our job: the engine's choices but for what is set."""
        run = jobs.make_run(self._cat, data, str(self._model), _recipe(self._size, *sets))
        try:
            seen = jobs.ours(self._cat, run, self._size.threads)
        except SystemExit as error:
            reason = client.refresh(self._cat, run.id).reason
            raise SystemExit(reason or str(error)) from error
        with client.reader(self._cat, run.id) as run_db:
            fits = {fit.kind: fit for fit in run_db.fits()}
            cut = any(event.kind == "memory" for event in run_db.events())
        chosen = [str(run.recipe["attn_implementation"])]
        chosen += ["packed"] if run.recipe["packing"] else []
        chosen += ["recomputed"] if run.recipe["gradient_checkpointing"] else []
        chosen += ["in pieces: memory ran out"] if cut else []
        return Row(
            seen.speed(wall=True),
            float(fits["measured"].detail["growth_bytes"]),
            seen.first_step,
            float(fits["estimate"].detail["growth_bytes"]),
            ", ".join(chosen),
        )

    def _plain(self, precision: str, data: Path) -> Row:
        """Plain TRL with its defaults in this precision."""
        size = self._size
        kind = f"plain-{precision}@{size.batch}"
        seen = jobs.plain(kind, self._model, data, self._folder, size.steps, size.threads)
        return Row(seen.speed(wall=True), float(seen.peak), seen.first_step)


def _recipe(size: Size, *sets: str) -> Recipe:
    return recipe(
        size.steps,
        f"per_device_train_batch_size={size.batch}",
        f"max_length={size.length}",
        f"threads={size.threads}",
        *sets,
    )


def _last(text: str) -> str:
    """The line that says what went wrong, of a trace as well."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


_HEAD = f"  {'':<28}{'tokens/s':>10}{'of peak':>9}{'peak GB':>9}{'predicted':>15}{'first step':>12}"


if __name__ == "__main__":
    main()
