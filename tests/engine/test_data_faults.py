"""Kills, full disks and other processes: a step is there whole or not at all, and none is lost."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.data.dataset import Document, Replace, open_dataset
from store.catalogue import Catalogue
from store.errors import NoSpace
from store.workspace import Workspace

HOME = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def raw(text: object) -> bytes:
    return json.dumps({"text": str(text)}).encode()


def child(code: str, *args: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, cwd=HOME)


BATCHES = """
import sys
from pathlib import Path
from engine.data.dataset import Replace, open_dataset
from store.catalogue import Catalogue
from store.workspace import Workspace

with Catalogue.open(Workspace(Path(sys.argv[2]))) as cat, open_dataset(cat, sys.argv[1]) as data:
    n = data.unsaved // 3000
    while True:
        n += 1
        data.change([Replace(row, b'{"text": "%d"}' % n) for row in range(1, 3001)], f"batch {n}")
        print(n, flush=True)
"""


def test_a_kill_leaves_whole_steps(cat: Catalogue, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(raw("x") + b"\n" for _ in range(1500)))
    where = str(tmp_path / "?.jsonl")
    for turn in range(3):
        worker = child(BATCHES, where, cat.workspace.root)
        assert worker.stdout is not None
        for _ in range(1 + turn):
            said = int(worker.stdout.readline())
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        with open_dataset(cat, where) as data:
            done = data.unsaved // 3000
            assert data.unsaved == done * 3000
            assert done >= said
            assert {content for _, content in data.iter_raw()} == {raw(done)}
    with open_dataset(cat, where) as data:
        while data.undo():
            assert len({content for _, content in data.iter_raw()}) == 1
        assert data.raw(3000) == raw("x")


def test_a_full_disk_takes_no_step_and_loses_none(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw("x" * 2000) + b"\n" for _ in range(1000)))
    with Document.open(cat, file) as data:
        data.set(1, "text", "kept")
        changes = [Replace(n, raw("y" * 2000)) for n in range(1, 1001)]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = cat.workspace.catalogue_path.stat().st_size + (1 << 20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(NoSpace):
                data.change(changes, "too much")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (data.unsaved, data.row(1).text) == (1, "kept")
        assert data.change(changes, "fits") == 1000
        step = data.undo()
        assert step is not None
        assert step.label == "fits"
        assert data.row(1).text == "kept"


EDITOR = """
import random, sys
from pathlib import Path
from engine.data.dataset import Document
from store.catalogue import Catalogue
from store.workspace import Workspace

name, dice = sys.argv[3], random.Random(sys.argv[3])
with Catalogue.open(Workspace(Path(sys.argv[2]))) as cat, Document.open(cat, sys.argv[1]) as data:
    for n in range(40):
        data.insert(dice.randint(1, data.count), b'{"text": "%s %d"}' % (name.encode(), n))
        if n % 10 == 9:
            data.save()
print("done", flush=True)
"""


def test_processes_that_edit_one_file_lose_nothing(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(n) + b"\n" for n in range(50)))
    original = file.read_bytes()
    with Document.open(cat, file) as watcher:
        workers = [child(EDITOR, file, cat.workspace.root, name) for name in ("one", "two")]
        while any(worker.poll() is None for worker in workers):
            watcher.grow()
            texts = {row.text for row in watcher.rows(1, watcher.count)}
            assert {str(n) for n in range(50)} <= texts
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.read() == b"done\n"
            worker.stdout.close()
        watcher.grow()
        wanted = {f"{name} {n}" for name in ("one", "two") for n in range(40)}
        assert {row.text for row in watcher.rows(1, watcher.count)} - set(
            map(str, range(50))
        ) == wanted
        watcher.save()
        assert file.read_bytes().count(b"\n") == 130
        assert all(version.restorable for version in watcher.versions())
        while watcher.undo():
            pass
        watcher.save()
    assert file.read_bytes() == original


def test_readers_see_whole_rows_while_a_batch_is_made(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(f"{n} 0") + b"\n" for n in range(3000)))
    with Document.open(cat, file) as data:
        data.grow()
        stop, wrong = threading.Event(), []

        def look() -> None:
            dice = random.Random(1)
            while not stop.is_set():
                n = dice.randint(1, 3000)
                if not data.row(n).text.startswith(f"{n - 1} "):
                    wrong.append(n)

        reader = threading.Thread(target=look)
        reader.start()
        for turn in range(4):
            changes = [Replace(n, raw(f"{n - 1} {turn}")) for n in range(1, 3001)]
            data.change(changes, "batch")
            data.undo()
            data.redo()
        stop.set()
        reader.join()
        assert wrong == []


def test_a_hundred_thousand_edits_open_and_stay_quick(cat: Catalogue, tmp_path: Path) -> None:
    """No clock: the work is counted, as bytes of the journal and pieces that are held."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(n) + b"\n" for n in range(100_000)))
    with Document.open(cat, file) as data:
        assert (
            data.change([Replace(n, raw(f"new {n}")) for n in range(1, 100_001)], "all") == 100_000
        )
        size = os.stat(cat.workspace.catalogue_path).st_size
        for _ in range(3):
            data.undo()
            data.redo()
        assert os.stat(cat.workspace.catalogue_path).st_size - size < 1 << 16
    with Document.open(cat, file) as data:
        assert (data.unsaved, data.row(77_777).text) == (100_000, "new 77777")
        data.undo()
        assert not data.edited(77_777)
        assert data.changes() == []
