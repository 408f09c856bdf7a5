"""First rows of a 1,000,000-row chat file, its whole index, and memory, with `wc -l` beside it.

Prints ratios and absolute numbers; asserts nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROWS = 1_000_000
FIRST = 64
Result = TypeVar("Result")

_TEXT = (
    "the model answers in one short sentence and then it stops because a good example shows what "
    "to say where to say it and when there is nothing more to be said about the matter at hand"
)


def main() -> None:
    """Generate the file, measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="rows-") as folder:
        file = Path(folder) / "million.jsonl"
        _generate(file)
        wc = min(
            _timed(lambda: subprocess.run(["wc", "-l", str(file)], capture_output=True))[1]
            for _ in range(3)
        )
        cold = json.loads(_measure(file, Path(folder) / "workspace"))
        warm = json.loads(_measure(file, Path(folder) / "workspace"))
        size = file.stat().st_size
    print(f"{ROWS:,} rows, {size / 1e6:,.0f} MB")
    _table(
        [
            ("", "ms", "x wc -l", "aim"),
            ("wc -l", wc * 1e3, 1.0, ""),
            (
                f"open + first {FIRST} rows parsed",
                cold["first"] * 1e3,
                cold["first"] / wc,
                "< 100 ms",
            ),
            ("whole index", cold["index"] * 1e3, cold["index"] / wc, ""),
            ("open again, index cached", warm["first"] * 1e3, warm["first"] / wc, ""),
            ("50 rows in the middle", cold["page"] * 1e3, cold["page"] / wc, ""),
            ("one edit, saved", cold["save"] * 1e3, cold["save"] / wc, ""),
        ]
    )
    _table(
        [
            ("", "MB", "aim"),
            ("a bare Python", cold["bare"], ""),
            ("with the first rows", cold["first_mb"], "< 100 MB"),
            ("with the whole index", cold["index_mb"], "< 100 MB"),
        ]
    )


def _generate(file: Path) -> None:
    """Rows of about 600 bytes that all differ; only their number is new in each block."""
    words = _TEXT.split() * 3
    block = [
        json.dumps(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": f"%09d {' '.join(words[n % 31 : n % 31 + 30])}",
                    },
                    {"role": "assistant", "content": " ".join(words[n % 29 : n % 29 + 60])},
                ]
            }
        )
        for n in range(1000)
    ]
    form = "\n".join(block) + "\n"
    with file.open("w") as out:
        for start in range(0, ROWS, 1000):
            out.write(form % tuple(range(start, start + 1000)))


def _measure(file: Path, workspace: Path) -> str:
    """Measure in a fresh process, so that memory is this work's alone."""
    command = [sys.executable, "-m", "bench.rows", "--measure", str(file), str(workspace)]
    home = Path(__file__).parents[1]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=home).stdout


def _measured(file: Path, workspace: Path) -> dict[str, float]:
    bare = _resident()
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    found: dict[str, float] = {"bare": bare}
    with Catalogue.open(Workspace(workspace)) as cat:
        started = time.perf_counter()
        document = Document.open(cat, file)
        rows = document.rows(1, FIRST)
        found["first"] = time.perf_counter() - started
        found["first_mb"] = _resident()
        if len(rows) != FIRST or any(row.error for row in rows):
            raise SystemExit("the first rows are not what was generated")
        _, found["index"] = _timed(document.grow)
        found["index_mb"] = _resident()
        _, found["page"] = _timed(lambda: document.rows(document.count // 2, 50))
        document.set(document.count // 2, "messages.1.content", str(time.time_ns()))
        _, found["save"] = _timed(document.save)
        document.close()
    return found


def _resident() -> float:
    """Resident memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


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
