"""A save with 100 edits against `cp`, and batches of edits, on a 1.5 GB chat file.

Prints ratios and absolute numbers; asserts nothing. `python -m bench.save FILE` measures on a copy
of FILE instead of a generated one. Every save is measured in a fresh process.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import rows as generator
from bench.rows import _table

EDITS = 100
BATCH = 100_000
ROUNDS = 3


def main(given: str | None = None) -> None:
    """Make or copy the file, measure, and print two tables."""
    with tempfile.TemporaryDirectory(prefix="save-") as folder:
        file = Path(folder) / "million.jsonl"
        if given:
            shutil.copyfile(given, file)
        else:
            generator._generate(file, generator.ROWS)
        copies, saves, synced = [], [], []
        for turn in range(ROUNDS):
            # One after the other, so that both meet the same machine.
            copies.append(_copied(file, sync=False))
            synced.append(_copied(file, sync=True))
            saves.append(_fresh("--save", file, Path(folder) / "workspace", turn))
        batch = _fresh("--batch", file, Path(folder) / "batches", 0)
        size = file.stat().st_size
    cp = min(copies, key=lambda c: c["wall"])
    cp_sync = min(synced, key=lambda c: c["wall"])
    first, again = saves[0], min(saves[1:], key=lambda s: s["wall"])
    print(f"{size / 1e6:,.0f} MB; the best of {ROUNDS}; a save is on the disk when it returns")
    _table(
        [
            ("", "s wall", "x cp", "x cp + sync", "s CPU", "x cp", "aim"),
            _line("cp", cp, cp, cp_sync, ""),
            _line("cp, then sync", cp_sync, cp, cp_sync, ""),
            _line(f"{EDITS} edits saved", again, cp, cp_sync, "< 1.5 x cp"),
            _line("the very first save", first, cp, cp_sync, ""),
        ]
    )
    _table(
        [
            ("", "s wall", "rows/s", "aim"),
            *(
                (name, batch[key], BATCH / batch[key], aim)
                for name, key, aim in (
                    (f"{BATCH:,} changes, one step", "change", "about 1 s"),
                    ("undo it", "undo", ""),
                    ("redo it", "redo", ""),
                    ("open with them", "open", ""),
                    ("and save them", "save", ""),
                )
            ),
        ]
    )
    print(
        f"\nresident memory {batch['before']:,.0f} MB before the batch, {batch['mb']:,.0f} at last"
    )


def _line(
    name: str, took: dict[str, float], cp: dict[str, float], synced: dict[str, float], aim: str
) -> tuple[object, ...]:
    return (
        name,
        took["wall"],
        took["wall"] / cp["wall"],
        took["wall"] / synced["wall"],
        took["cpu"],
        took["cpu"] / cp["cpu"],
        aim,
    )


def _copied(file: Path, *, sync: bool) -> dict[str, float]:
    """`cp` of the file beside itself, with the bytes on the disk at its end or not."""
    copy = file.with_suffix(".copy")
    os.sync()  # what others left to be written is not counted
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", str(file), str(copy)], check=True)
    if sync:
        subprocess.run(["sync", str(copy)], check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    copy.unlink()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}


def _fresh(what: str, file: Path, workspace: Path, turn: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.save", what, str(file), str(workspace), str(turn)]
    home = Path(__file__).parents[1]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home).stdout
    return dict(json.loads(found))


def _saved(file: Path, workspace: Path, turn: int) -> dict[str, float]:
    """Edits spread over the file, then one save; opening and editing are not counted."""
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    with Catalogue.open(Workspace(workspace)) as cat, Document.open(cat, file) as document:
        document.grow()
        dice = random.Random(turn)
        for row in dice.sample(range(1, document.count + 1), EDITS):
            document.set(row, "messages.0.content", f"edited in round {turn}")
        os.sync()
        return _timed(document.save)


def _batched(file: Path, workspace: Path) -> dict[str, float]:
    from engine.data.dataset import Change, Delete, Insert, Replace
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    found: dict[str, float] = {}
    with Catalogue.open(Workspace(workspace)) as cat:
        with Document.open(cat, file) as document:
            document.grow()
            found["before"] = _resident()
            changes: list[Change] = []
            for n, row in enumerate(random.Random(1).sample(range(1, document.count + 1), BATCH)):
                if n % 10 == 0:
                    changes.append(Delete(row))
                elif n % 10 == 1:
                    changes.append(Insert(row, b'{"messages": []}'))
                else:
                    changes.append(Replace(row, document.raw(row).replace(b"the", b"a", 1)))
            found["change"] = _timed(partial(document.change, changes, "batch"))["wall"]
            changes.clear()
            found["undo"] = _timed(document.undo)["wall"]
            found["redo"] = _timed(document.redo)["wall"]
        started = time.perf_counter()
        with Document.open(cat, file) as document:
            found["open"] = time.perf_counter() - started
            found["save"] = _timed(document.save)["wall"]
            found["mb"] = _resident()
    return found


def _timed(work: Callable[[], object]) -> dict[str, float]:
    before, started = time.process_time(), time.perf_counter()
    work()
    return {"wall": time.perf_counter() - started, "cpu": time.process_time() - before}


def _resident() -> float:
    """Resident memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--save"]:
        print(json.dumps(_saved(Path(words[1]), Path(words[2]), int(words[3]))))
    elif words[:1] == ["--batch"]:
        print(json.dumps(_batched(Path(words[1]), Path(words[2]))))
    else:
        main(*words[:1])
