"""A model of a billion weights to Q4_K_M: ours against llama.cpp's own converter and quantiser.

A Llama in the shape of Llama-3.2-1B with random weights in bfloat16 and the real vocabulary of
Llama 3. Ours is what an export does before its proof; theirs is convert_hf_to_gguf.py, then
llama_model_quantize with its defaults. Every step is a process of its own with one thread. Memory
is the most that a process held of its own; pages of mapped files, which the kernel takes back when
it needs them, stand beside it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import made, upstream, vocabularies
from engine.jobs.process import environment

ONE_BILLION = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "tie_word_embeddings": True,
    "rope_theta": 500_000.0,
}
Q4_K_M = 15
LOOK = 0.01
"""Seconds between two looks at a process."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: wall and processor seconds, the most bytes of its own and of files."""

    wall: float
    cores: float
    own: int
    mapped: int


def main() -> None:
    """Print both and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.convert")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--do", choices=("ours", "quantise"), help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.do:
        (_ours if given.do == "ours" else _quantise)(*given.paths)
        return
    tree = upstream.llama_cpp()
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as name:
        folder = Path(name)
        base = _base(tree, folder)
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append([_cost(["-m", "bench.convert", "--do", "ours"], base, folder / "ours")])
            (folder / "ours").unlink()
            halfway = folder / "halfway"
            convert = ["-m", "bench.theirs", str(tree)]
            theirs.append(
                [
                    _cost(convert, base, halfway, "f16"),
                    _cost(["-m", "bench.convert", "--do", "quantise"], halfway, folder / "theirs"),
                ]
            )
            halfway.unlink()
            (folder / "theirs").unlink()
    print(f"1B-shaped bfloat16 model to Q4_K_M, one thread, best of {given.rounds}")
    mine = _show("ours", ("convert and quantise",), ours)
    other = _show("llama.cpp", ("convert", "quantise"), theirs)
    print(f"  time    {mine.cores / other.cores:5.2f}x theirs   aim: at most 1.1   (wall clock "
          f"{mine.wall / other.wall:.2f}x)")  # fmt: skip
    print(f"  memory  {mine.own / other.own:5.2f}x theirs   aim: at most 0.25")


def _base(tree: Path, folder: Path) -> Path:
    """The model folder: random weights, and the tokenizer of Llama 3 as llama.cpp ships it."""
    base = made.llama(folder / "base", ONE_BILLION)
    real = vocabularies.REAL[0]
    held = vocabularies.shipped(tree / "models" / f"ggml-vocab-{real.file}.gguf")
    spoken = vocabularies.folder_of(real, held, folder / "vocabulary")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(spoken / name, base / name)
    (base / "chat_template.jinja").unlink()
    return base


def _ours(base: Path, target: Path) -> None:
    """What an export does before its proof: to 16 bits, then quantised, in one process."""
    import torch

    from engine.export.gguf.convert import write_gguf
    from engine.export.gguf.quantise import quantise
    from engine.export.merge import Merged
    from engine.export.stages import Source

    torch.set_num_threads(1)
    source = Source(ref="bench", base=str(base), base_ref="bench", dtype="bfloat16")
    halfway = target.with_name("halfway-ours")
    write_gguf(Merged(source), base, "f16", halfway, notes={}, on_progress=lambda *_: None)
    quantise(halfway, target, Q4_K_M, threads=1, importance={}, on_progress=lambda *_: None)
    halfway.unlink()


def _quantise(source: Path, target: Path) -> None:
    """llama.cpp's quantiser as it comes."""
    import llama_cpp

    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = Q4_K_M, 1
    if llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(options)):
        raise SystemExit("llama.cpp did not quantise")


def _cost(command: Sequence[str], *paths: Path | str) -> Cost:
    """Run a step and look at its process until it ends."""
    began, before = time.monotonic(), os.times()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, *command, *(str(path) for path in paths)],
            env=environment({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}),
            stdout=said,
            stderr=said,
        )
        own = mapped = 0
        while child.poll() is None:
            here, files = _memory(child.pid)
            own, mapped = max(own, here), max(mapped, files)
            time.sleep(LOOK)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"{command}: {said.read()[-2000:].decode(errors='replace')}")
    after = os.times()
    cores = after.children_user + after.children_system
    cores -= before.children_user + before.children_system
    return Cost(time.monotonic() - began, cores, own, mapped)


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of a process's own, and of the files that it maps; zeros once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    held = dict(line.split(":", 1) for line in lines)
    own, mapped = (int(held.get(name, "0").split()[0]) << 10 for name in ("RssAnon", "RssFile"))
    return own, mapped


def _show(who: str, steps: Sequence[str], rounds: Sequence[Sequence[Cost]]) -> Cost:
    """A line for each step; the best of all rounds together."""
    for place, step in enumerate(steps):
        costs = [each[place] for each in rounds]
        print(f"  {who:<10}{step:<22}{min(c.wall for c in costs):7.1f} s wall "
              f"{min(c.cores for c in costs):7.1f} s of a core "
              f"{statistics.median(c.own for c in costs) / 1e6:8,.0f} MB of its own "
              f"{statistics.median(c.mapped for c in costs) / 1e6:8,.0f} MB of files")  # fmt: skip
    return Cost(
        min(sum(c.wall for c in each) for each in rounds),
        min(sum(c.cores for c in each) for each in rounds),
        min(max(c.own for c in each) for each in rounds),
        min(max(c.mapped for c in each) for each in rounds),
    )


if __name__ == "__main__":
    main()
