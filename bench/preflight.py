"""Preflight of a chat file against `tokenizers.encode_batch` alone on the same texts, on all cores.

Both in fresh processes: encode_batch with the threads of `tokenizers` set to the cores, preflight
with a worker process a core and one thread each. Prints ratios; asserts nothing.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import assets

ROWS = (("rows of 1.5 kB", 30_000, 300), ("rows of 200 B", 60_000, 24))
"""Name, how many, and words in each: what a row costs beyond its tokens shows in short ones."""

MAX_LENGTH = 1024
ROUNDS = 2
_TEXT = (
    "the model answers in one short sentence and then it stops because a good example shows what "
    "to say where to say it and when there is nothing more to be said about the matter at hand"
)


def main() -> None:
    """Generate files, measure both ways in turn, and print a table for each."""
    for name, rows, words in ROWS:
        _compare(name, rows, words)


def _compare(title: str, rows: int, words: int) -> None:
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        file = Path(folder) / "rows.jsonl"
        _generate(file, rows, words)
        alone: dict[str, float] = {}
        ours: dict[str, float] = {}
        for _ in range(ROUNDS):
            _best(alone, _measure("--alone", file, cores))
            _best(ours, _measure("--preflight", file, cores))
    print(f"\n{rows:,} {title}, {int(ours['tokens']):,} tokens, {cores} cores")
    print(f"{'':34}{'M tokens/s':>12}{'M tokens/CPU-s':>16}{'MB':>8}")
    for name, found in (("encode_batch, threads", alone), ("preflight, processes", ours)):
        wall, cpu = (found["tokens"] / found[key] / 1e6 for key in ("wall", "cpu"))
        print(f"{name:34}{wall:12.2f}{cpu:16.2f}{found['mb']:8.0f}")
    wall, cpu = alone["wall"] / ours["wall"], alone["cpu"] / ours["cpu"]
    print(f"{'preflight / encode_batch':34}{wall:11.2f}x{cpu:15.2f}x   aim: 0.70x on all cores")


def _best(best: dict[str, float], found: dict[str, float]) -> None:
    for key, value in found.items():
        best[key] = min(best.get(key, value), value)


def _generate(file: Path, rows: int, length: int) -> None:
    """Chat rows that all differ, in words of a small world."""
    words = _TEXT.split()
    with file.open("w") as out:
        for n in range(rows):
            said = [words[(n * 7 + k * k + k * (n % 13)) % len(words)] for k in range(length)]
            asked = {"role": "user", "content": f"{n} {' '.join(said[: length // 3])}"}
            answer = {"role": "assistant", "content": f"{' '.join(said[length // 3 :])} {n}"}
            out.write(json.dumps({"messages": [asked, answer]}) + "\n")


def _measure(what: str, file: Path, cores: int) -> dict[str, float]:
    threads = what == "--alone"
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "true" if threads else "false",
        "RAYON_NUM_THREADS": str(cores if threads else 1),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "bench.preflight", what, str(file), str(cores)]
    home = Path(__file__).parents[1]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=home, env=environment
    )
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def _alone(file: Path) -> dict[str, float]:
    """Only encode_batch is timed; the texts are what the template makes of the rows."""
    from tokenizers import Tokenizer

    from engine.data.rows import parse_row
    from engine.render import Renderer

    folder = assets.path("starter")
    renderer = Renderer.load(folder)
    rows = [parse_row(n, line) for n, line in enumerate(file.read_bytes().splitlines(), 1)]
    texts = [found.text for found in map(renderer.render_row, rows[:1])]
    for start in range(1, len(rows), 256):
        texts += [c.text for c in renderer.render_rows(rows[start : start + 256])
                  if not isinstance(c, Exception)]  # fmt: skip
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    started, cpu = time.perf_counter(), _cpu()
    tokens = 0
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        tokens += sum(map(len, tokenizer.encode_batch(batch, add_special_tokens=False)))
    return _found(tokens, started, cpu)


def _preflight(file: Path, cores: int) -> dict[str, float]:
    from engine.data.dataset import open_dataset
    from engine.data.findings.preflight import Preflight, preflight
    from engine.render import Renderer
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    renderer = Renderer.load(assets.path("starter"))
    with Catalogue.open(Workspace(file.parent / "ws")) as cat, open_dataset(cat, file) as data:
        data.grow()
        started, cpu = time.perf_counter(), _cpu()
        *_, report = preflight(data, renderer, MAX_LENGTH, processes=cores)
        assert isinstance(report, Preflight)
        return _found(report.total_tokens + report.cut_tokens, started, cpu)


def _found(tokens: int, started: float, cpu: float) -> dict[str, float]:
    peak = max(resource.getrusage(who).ru_maxrss for who in _WHO) / 1024
    return {
        "tokens": tokens,
        "wall": time.perf_counter() - started,
        "cpu": _cpu() - cpu,
        "mb": peak,
    }


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu() -> float:
    """Seconds of processor time of this process and its ended children."""
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, _WHO))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(_alone(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--preflight"]:
        print(json.dumps(_preflight(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
