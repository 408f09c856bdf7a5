"""Opening, indexing and paging through a 1,000,000-row chat file, with `wc -l` beside it.

`--huge` does the same with a file of 10 GB; `--file FILE` takes one that is there already. Prints
ratios and absolute numbers; asserts nothing. Processor time is what is compared with `wc -l`: wall
time depends on the disk and on who else is computing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROWS = 1_000_000
HUGE_ROWS = 6_700_000
ROW_BYTES = 1520
FIRST = 64
PAGES = 200
PAGE = 50
Result = TypeVar("Result")

_TEXT = (
    "the model answers in one short sentence and then it stops because a good example shows what "
    "to say where to say it and when there is nothing more to be said about the matter at hand"
)


def main() -> None:
    """Generate the file, measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--huge", action="store_true", help="10 GB instead of 1.5")
    options.add_argument("--file", type=Path, help="a JSONL file that is there already")
    asked = options.parse_args()
    rows = HUGE_ROWS if asked.huge else ROWS
    with tempfile.TemporaryDirectory(prefix="rows-") as folder:
        file = asked.file
        if file is None:
            free = shutil.disk_usage(folder).free
            if free < rows * ROW_BYTES * 1.2:
                raise SystemExit(
                    f"{folder}: {free / 1e9:.0f} GB free; too little for {rows:,} rows"
                )
            file = Path(folder) / "rows.jsonl"
            _generate(file, rows)
        wc = min(_wc(file) for _ in range(3))
        colds = [_measure(file, Path(folder) / f"workspace{n}") for n in range(3)]
        cold = {name: min(found[name] for found in colds) for name in colds[0]}
        warm = _measure(file, Path(folder) / "workspace0")
        size = file.stat().st_size
    _print(size, wc, cold, warm, most_mb=150 if size > 5e9 else 60)


def _print(
    size: int, wc: float, cold: dict[str, float], warm: dict[str, float], most_mb: int
) -> None:
    print(f"{int(cold['rows']):,} rows, {size / 1e6:,.0f} MB")
    _table(
        [
            ("", "ms", "x wc -l", "aim"),
            ("wc -l, cpu", wc * 1e3, 1.0, ""),
            ("whole index, cpu", cold["index_cpu"] * 1e3, cold["index_cpu"] / wc, "<= 1.5 x"),
            ("importing numpy, if it was not", cold["numpy"] * 1e3, cold["numpy"] / wc, ""),
            ("whole index, wall", cold["index"] * 1e3, cold["index"] / wc, ""),
            (f"open + first {FIRST} rows parsed", cold["first"] * 1e3, "", "< 50 ms"),
            (f"random page of {PAGE} rows, mean", cold["page"] * 1e3, "", "< 5 ms"),
            (f"worst of {PAGES} pages", cold["page_worst"] * 1e3, "", ""),
            ("open again, whole index there", warm["first"] * 1e3, "", "at once"),
        ]
    )
    _table(
        [
            ("", "MB", "aim"),
            ("a bare Python", cold["bare"], ""),
            ("most while indexing and paging", cold["peak"], f"< {most_mb} MB"),
            ("most at the second opening", warm["peak"], f"< {most_mb} MB"),
        ]
    )


def _wc(file: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["wc", "-l", str(file)], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _generate(file: Path, rows: int) -> None:
    """Rows of about 1,500 bytes that all differ; only their number is new in each block."""
    words = _TEXT.split() * 12
    block = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"%09d {' '.join(words[n % 31 : n % 31 + 80])}"},
                    {"role": "assistant", "content": " ".join(words[n % 29 : n % 29 + 210])},
                ]
            }
        )
        for n in range(1000)
    ]
    form = "\n".join(block) + "\n"
    with file.open("w") as out:
        for start in range(0, rows, 1000):
            out.write(form % tuple(range(start, start + 1000)))


def _measure(file: Path, workspace: Path) -> dict[str, float]:
    """Measure in a fresh process, so that memory is this work's alone."""
    command = [sys.executable, "-m", "bench.rows", "--measure", str(file), str(workspace)]
    home = Path(__file__).parents[1]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=home)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measured(file: Path, workspace: Path) -> dict[str, float]:
    bare = _peak()
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    found: dict[str, float] = {"bare": bare}
    with Catalogue.open(Workspace(workspace)) as cat:
        started = time.perf_counter()
        with Document.open(cat, file) as document:
            rows = document.rows(1, FIRST)
            found["first"] = time.perf_counter() - started
            if len(rows) != FIRST or any(row.error for row in rows):
                raise SystemExit("the first rows are not what was generated")
            # The app has imported it long before; a command pays for it once, or does without.
            _, found["numpy"] = _timed(lambda: importlib.import_module("numpy"))
            cpu = time.process_time()
            _, found["index"] = _timed(document.grow)
            found["index_cpu"] = time.process_time() - cpu
            found["rows"] = document.count
            chance = random.Random(1)
            starts = [chance.randrange(1, document.count - PAGE) for _ in range(PAGES)]
            pages = [_timed(lambda at=at: document.rows(at, PAGE))[1] for at in starts]  # type: ignore[misc]
            found["page"], found["page_worst"] = sum(pages) / PAGES, max(pages)
    found["peak"] = _peak()
    return found


def _peak() -> float:
    """The most memory this process had resident, MB (as Linux counts it)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _table(rows: list[tuple[object, ...]]) -> None:
    cells = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in r] for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    width = min(shutil.get_terminal_size().columns, 100)
    print()
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        line = first[0].ljust(first[1]) + "".join(f"  {cell.rjust(size)}" for cell, size in others)
        print(line.rstrip()[:width])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(_measured(Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
