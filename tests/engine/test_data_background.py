"""Scans in a process of their own: what they find, how they end, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import psutil
import pytest

from engine.data.background import client as background
from engine.data.background.client import (
    Done,
    Failed,
    Filter,
    Frequency,
    Hits,
    Making,
    Order,
    Planning,
    Report,
    Request,
    Scan,
    Search,
    Table,
)
from engine.data.dataset import open_dataset
from store.catalogue import Catalogue
from store.errors import BadInput
from store.workspace import Workspace

PATIENCE = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"row {n} {'poodle' if n % 3 == 0 else 'cat'}", "n": -n} for n in range(1, 31)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def heard(scan: Scan) -> list[background.AnyEvent]:
    events: list[background.AnyEvent] = []
    deadline = time.monotonic() + PATIENCE
    while scan.running:
        assert time.monotonic() < deadline, "the scan says nothing"
        scan.wait(1)
        events += scan.poll()
    return events


def test_every_kind_of_scan_answers(workspace: Workspace, cat: Catalogue, file: Path) -> None:
    with open_dataset(cat, file) as data:
        data.set(1, "text", "now a poodle")
        moment = data.moment
    requests: list[Request] = [
        Search("poodle"),
        Filter("n <= -29 or edited"),
        Frequency("text", 3),
        Order("n"),
        Planning("poodle", "dog", rows=array("Q", [1, 2, 3]).tobytes()),
    ]
    # All at once: they share nothing.
    scans = [Scan.start(workspace, file, request) for request in requests]
    searched, filtered, counted, ordered, planned = (heard(scan) for scan in scans)
    for events in (searched, filtered, counted, ordered, planned):
        last = events[-1]
        assert isinstance(last, Done)
        assert (last.moment, last.rows, last.progress) == (moment, 30, 1.0)

    def rows(events: list[background.AnyEvent]) -> list[int]:
        return [row for event in events if isinstance(event, Hits) for row in event.rows]

    assert rows(searched) == [1, *range(3, 31, 3)]
    assert rows(filtered) == [1, 29, 30]
    assert rows(ordered) == list(range(30, 0, -1))
    tables = [event for event in counted if isinstance(event, Table)]
    assert tables[-1].distinct == 30
    plans = [e.body for e in planned if isinstance(e, Report) and e.kind == "plan"]
    assert [row for body in plans for row in body] == [1, 3]


def test_what_was_planned_is_made_unless_rows_were_edited(
    workspace: Workspace, cat: Catalogue, file: Path
) -> None:
    with open_dataset(cat, file) as data:
        making = Making(data.moment, "replace poodle", but=array("Q", [6]).tobytes())
        request = Planning("poodle", "dog", make=making)
        events = heard(Scan.start(workspace, file, request))
        assert [e.body for e in events if isinstance(e, Report) and e.kind == "made"] == [9]
        with data.writing():
            assert data.moment != making.moment
        assert (b"dog" in data.raw(3), b"dog" in data.raw(6)) == (True, False)
        assert data.unsaved == 9
        last = heard(Scan.start(workspace, file, request))[-1]
        assert isinstance(last, Failed)
        assert last.kind == "Conflict"
        assert data.undo() is not None
        assert data.unsaved == 0


def test_an_error_arrives_as_it_was_meant(workspace: Workspace, file: Path) -> None:
    for where, request in (
        (file, Search("(", regex=True)),
        (file.parent / "gone.jsonl", Search("a")),
    ):
        events = heard(Scan.start(workspace, where, request))
        assert isinstance(events[-1], Failed)
        error = events[-1].error()
        assert error.message
        assert error.hint
    last = heard(Scan.start(workspace, file, Filter("turns >")))[-1]
    assert isinstance(last, Failed)
    with pytest.raises(BadInput, match="column 8"):
        raise last.error()


def test_a_scan_that_is_killed_says_so(workspace: Workspace, file: Path) -> None:
    scan = Scan.start(workspace, file, Search("poodle"))
    os.kill(scan.pid, signal.SIGKILL)
    events = heard(scan)
    last = events[-1]
    if isinstance(last, Failed):
        assert last.kind == "WorkerDied"
    assert not scan.poll()


def test_cancelling_leaves_nothing(workspace: Workspace, file: Path) -> None:
    scan = Scan.start(workspace, file, Search("poodle"))
    pid = scan.pid
    scan.cancel()
    assert not psutil.pid_exists(pid)
    assert not scan.running
    assert scan.poll() == []
    scan.cancel()


def test_a_process_that_waits_is_used(workspace: Workspace, file: Path) -> None:
    background.warm()
    background.warm()
    waiting = [spare.process.pid for spare in background._spares]
    assert len(waiting) == 1
    scan = Scan.start(workspace, file, Search("poodle"))
    assert scan.pid == waiting[0]
    assert isinstance(heard(scan)[-1], Done)


_APP = """
import sys, time
from pathlib import Path
from engine.data.background import client as background
from store.workspace import Workspace
scan = background.Scan.start(Workspace(Path(sys.argv[1])), sys.argv[2], background.Search("a"))
background.warm()
print(scan.pid, background._spares[0].process.pid, flush=True)
time.sleep(600)
"""


def test_scans_go_with_an_application_that_is_killed(workspace: Workspace, tmp_path: Path) -> None:
    big = tmp_path / "big.jsonl"
    big.write_bytes(b'{"text": "b"}\n' * 2_000_000)
    app = subprocess.Popen(
        [sys.executable, "-c", _APP, str(workspace.root), str(big)], stdout=subprocess.PIPE
    )
    assert app.stdout is not None
    pids = [int(pid) for pid in app.stdout.readline().split()]
    children = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    app.kill()
    app.wait()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive


def test_the_worker_is_light(workspace: Workspace) -> None:
    script = (
        "import sys, engine.data.background.process, engine.data.find, engine.data.filter\n"
        "print([m for m in ('torch', 'textual', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
