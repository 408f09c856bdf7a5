"""Searching 1,000,000 chat rows (1.5 GB) beside grep; filters and a frequency table in rows/s.

    python -m bench.search [FILE]

CPU time of fresh processes, the file in the page cache. Prints ratios and absolute numbers;
asserts nothing. Without FILE the file is made, and removed afterwards.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.rows import _table as print_table

ROWS = 1_000_000
TIMES = 2
SEARCHES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("literal in one row", "000499999 ", ()),
    ("literal in some rows", "{some}", ()),
    ("literal in every row", "assistant", ()),
    ("literal in no row", "certainly not", ()),
    ("(?i)word", "{some}", ("regex", "any")),
    ("(?i)[a-z]+word", "[a-z]+{part}", ("regex", "any")),
    ("(?i)user.*word", "user.*{some}", ("regex", "any")),
    ("(?i)one|two", "{some}|{other}", ("regex", "any")),
)
FILTERS = (
    "bytes > 1500",
    "messages.0.content contains {some}",
    "messages.0.role = user",
    "assistant ~ /^{some}/",
    "turns > 1 and not system",
)


def main() -> None:
    """Make the file unless one is named, measure, and print tables."""
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        if sys.argv[1:]:
            file = Path(sys.argv[1])
        else:
            file = Path(folder) / "million.jsonl"
            _generate(file)
        workspace = Path(folder) / "workspace"
        words = _words(file)
        # Once, so that the file is in memory and its index is kept.
        _ours({"kind": "search", "text": "x"}, file, workspace)
        _searches(file, workspace, words)
        _others(file, workspace, words)


def _searches(file: Path, workspace: Path, words: dict[str, str]) -> None:
    rows: list[tuple[object, ...]] = [
        ("CPU seconds", "grep", "ours", "x grep", "x C grep", "rows", "aim")
    ]
    for name, text, how in SEARCHES:
        text = text.format(**words)
        option = "-ciE" if "any" in how else "-cF"
        grep, count = _grep(option, text, file, os.environ.get("LC_ALL", "C.UTF-8"))
        plain, _ = _grep(option, text, file, "C")
        ask = {"kind": "search", "text": text, "regex": "regex" in how, "any": "any" in how}
        ours, found, _ = _ours(ask, file, workspace)
        if found != count:
            raise SystemExit(f"{name}: grep finds {count}, we find {found}")
        aim = "< 1" if "any" in how else "<= 2"
        rows.append((name, grep, ours, ours / grep, ours / plain, f"{count:,}", aim))
    print_table(rows)


def _others(file: Path, workspace: Path, words: dict[str, str]) -> None:
    rows: list[tuple[object, ...]] = [("", "CPU s", "rows/s", "rows", "peak MB")]
    for text in FILTERS:
        text = text.format(**words)
        seconds, found, peak = _ours({"kind": "filter", "text": text}, file, workspace)
        rows.append((f"filter {text}", seconds, f"{ROWS / seconds:,.0f}", f"{found:,}", peak))
    for kind, text in (("frequency", "messages.*.role"), ("order", "bytes"), ("order", "turns")):
        seconds, found, peak = _ours({"kind": kind, "text": text}, file, workspace)
        rows.append((f"{kind} {text}", seconds, f"{ROWS / seconds:,.0f}", f"{found:,}", peak))
    print_table(rows)


def _words(file: Path) -> dict[str, str]:
    """Words of the file: two that some rows have, and the end of one."""
    with file.open() as source:
        turns = json.loads(source.readline())["messages"]
    found = [word for word in turns[1]["content"].split() if len(word) == 7]
    return {"some": found[0], "other": found[1], "part": found[0][2:]}


def _grep(option: str, text: str, file: Path, locale: str) -> tuple[float, int]:
    """The best CPU seconds of a few runs, and the count."""
    best, count = float("inf"), 0
    for _ in range(TIMES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            ["grep", option, "-e", text, str(file)],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": locale},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        count = int(done.stdout)
    return best, count


def _ours(ask: dict[str, object], file: Path, workspace: Path) -> tuple[float, int, float]:
    """The best CPU seconds of a few runs in fresh processes, the count, and peak memory in MB."""
    command = [sys.executable, "-m", "bench.search", "--measure", str(file), str(workspace)]
    home = Path(__file__).parents[1]
    times, found = [], {"count": 0, "peak": 0.0}
    for _ in range(TIMES if ask["kind"] == "search" else 1):
        done = subprocess.run(
            [*command, json.dumps(ask)], capture_output=True, text=True, cwd=home, check=True
        )
        found = json.loads(done.stdout)
        times.append(float(found["seconds"]))
    return min(times), int(found["count"]), float(found["peak"])


def _measured(file: Path, workspace: Path, ask: dict[str, object]) -> dict[str, float]:
    """One look through all rows; opening the file is not counted, starting Python neither."""
    from engine.data.dataset import open_dataset
    from engine.data.filter import Context, field, filter_rows, parse
    from engine.data.find import Pattern, search
    from engine.data.find.frequency import frequency
    from engine.data.find.order import order
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    text = str(ask["text"])
    with Catalogue.open(Workspace(workspace)) as cat, open_dataset(cat, file) as data:
        data.grow()
        started = _cpu()
        if ask["kind"] == "search":
            case = not ask.get("any")
            pattern = Pattern.compile(text, regex=bool(ask.get("regex")), case=case)
            count = sum(len(hits.rows) for hits in search(data, pattern))
        elif ask["kind"] == "filter":
            wanted = parse(text)
            context = Context.of(cat, data, wanted.needs)
            count = sum(len(hits.rows) for hits in filter_rows(data, wanted, context))
        elif ask["kind"] == "frequency":
            *_, table = frequency(data, field(text), 20)
            count = table.rows
        else:
            count = sum(len(hits.rows) for hits in order(data, field(text)))
        seconds = _cpu() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": seconds, "count": count, "peak": peak}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _generate(file: Path) -> None:
    """Rows of about 1,500 bytes; only their number is new in each block of a thousand."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(5000)]
    block = []
    for _ in range(1000):
        asked, said = (" ".join(rng.choices(words, k=k)) for k in (60, 160))
        turns = [("user", f"%09d {asked}"), ("assistant", said)]
        messages = [{"role": role, "content": content} for role, content in turns]
        block.append(json.dumps({"messages": messages}))
    form = "\n".join(block) + "\n"
    with file.open("w") as out:
        for start in range(0, ROWS, 1000):
            out.write(form % tuple(range(start, start + 1000)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(_measured(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))))
    else:
        main()
