"""The queue: order kept, changed, and safe from waiters that die, sleep or come back.

The runs here fail as soon as they have the device, for their base was changed meanwhile: that
costs no training, and when they failed tells the order in which they got it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from engine.jobs import process
from engine.jobs.devices import lock_path, visible_devices
from engine.train import client, turn
from engine.train.control import Control
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.runs import Run
from store.workspace import Workspace
from tests.engine.test_train_faults import TINY, device_taken, until_heard
from tests.engine.train_fixtures import ended, small_data, small_recipe, wait
from workbench.cli import app


class Line:
    """Three runs that wait for a device, which `go` lets them have."""

    def __init__(self, cat: Catalogue, starter: Path, folder: Path, stack: ExitStack) -> None:
        self.cat = cat
        base = folder / "base"
        shutil.copytree(starter, base)
        self._device = stack.enter_context(ExitStack())
        self._device.enter_context(device_taken(cat.workspace))
        data = small_data(folder)
        recipe = small_recipe(*TINY)
        self.ids = [client.start(cat, data, str(base), recipe).id for _ in range(3)]
        for run_id in self.ids:
            until_heard(cat, runs.get(cat, run_id))
        (base / "chat_template.jinja").write_bytes(b"altered")

    def go(self) -> None:
        self._device.close()

    def waiting(self) -> list[int]:
        return [one.run.id for one in client.queue(self.cat)]

    def order(self, *ids: int) -> list[int]:
        """In which order they had the device."""
        told: list[tuple[float, int]] = []
        for run_id in ids:
            failed = wait(self.cat, run_id, ended)
            assert failed.status == "failed" and "chat template changed" in str(failed.reason)
            with client.reader(self.cat, run_id) as run_db:
                (event,) = [e for e in run_db.events() if e.kind == "failed"]
            told.append((event.created, run_id))
        return [run_id for _, run_id in sorted(told)]

    def kill(self, run_id: int) -> None:
        run = runs.get(self.cat, run_id)
        assert run.pid is not None
        psutil.Process(run.pid).kill()
        while client.is_alive(run):
            time.sleep(0.01)


@pytest.fixture
def line(cat: Catalogue, starter: Path, tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as stack:
        made = Line(cat, starter, tmp_path, stack)
        yield made
        for run_id in made.ids:
            left = runs.get(cat, run_id)
            process.terminate(left.pid, left.process_started)


def test_the_order_is_kept_and_can_be_changed(cat: Catalogue, line: Line) -> None:
    first, second, third = line.ids
    assert line.waiting() == [first, second, third]
    client.reorder(cat, third, 1)
    with Catalogue.open(cat.workspace) as other:  # two interfaces
        client.reorder(other, first, 99)
    assert line.waiting() == [third, second, first]
    assert [runs.get(cat, i).place for i in line.waiting()] == [1, 2, 3]
    with pytest.raises(BadInput, match="position 0"):
        client.reorder(cat, third, 0)
    line.go()
    assert line.order(first, second, third) == [third, second, first]
    assert line.waiting() == []
    with pytest.raises(Conflict, match="only a waiting run"):
        client.reorder(cat, third, 1)
    with pytest.raises(Conflict, match="does not wait"):
        client.cancel(cat, third)


def test_a_killed_waiter_blocks_nobody_and_can_go_back(cat: Catalogue, line: Line) -> None:
    first, second, third = line.ids
    line.kill(first)
    gone = client.queue(cat)[0]
    assert (gone.run.id, gone.alive, gone.run.status) == (first, False, "lost")
    assert gone.run.reason is not None and "queue --again" in gone.run.reason
    # As after a reboot: every process is gone, the order is not.
    line.kill(second)
    line.kill(third)
    client.reorder(cat, third, 1)
    assert [run.id for run in client.start_again(cat)] == [third, first, second]
    assert client.start_again(cat) == []
    assert [one.alive for one in client.queue(cat)] == [True, True, True]
    line.kill(first)
    line.go()
    assert line.order(third, second) == [third, second]
    assert line.waiting() == [first]


def test_one_that_sleeps_in_front_is_passed_over(
    cat: Catalogue, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs.get(cat, line.ids[0])
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    try:
        heard = turn._Line(cat.workspace, line.ids[1], _Control(cat))  # type: ignore[arg-type]
        monkeypatch.setattr(turn, "YIELD_S", 0.0)
        monkeypatch.setattr(turn, "_PROBE_S", 0.0)
        assert not heard.is_first()
        assert not heard.may_pass(["cpu"], 1)  # the device is not free
        line.go()
        assert heard.may_pass(["cpu"], 1)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert line.order(*line.ids) == line.ids


class _Control:
    def __init__(self, cat: Catalogue) -> None:
        self._cat = cat

    def catalogue(self) -> Catalogue:
        return self._cat


def test_the_command_lists_moves_and_cancels(cat: Catalogue, line: Line) -> None:
    first, second, third = line.ids

    def told(*words: str) -> dict[str, Any]:
        here = ["--workspace", str(cat.workspace.root), "--json"]
        found: dict[str, Any] = json.loads(CliRunner().invoke(app, ["queue", *words, *here]).stdout)
        return found

    moved = told("--move", str(third), "--to", "2")
    assert [one["run"] for one in moved["queue"]] == [first, third, second]
    left = told("--cancel", str(third))
    assert [(one["run"], one["position"]) for one in left["queue"]] == [(first, 1), (second, 2)]
    assert wait(cat, third, ended).status == "stopped"
    with pytest.raises(Conflict, match="device is taken"):
        client.start(cat, small_data(cat.workspace.root), "starter", small_recipe(), queue=False)
    line.kill(second)
    cancelled: Run = client.cancel(cat, second)
    assert (cancelled.status, cancelled.place) == ("stopped", None)
    line.go()
    assert line.order(first) == [first]


def test_devices_are_taken_by_name(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert visible_devices("cpu", "0,1") == ["cpu"]
    assert visible_devices("cuda", "") == ["0"]
    assert visible_devices("cuda", "3, 1") == ["3", "1"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    devices = ("cpu", "0", "MIG-GPU-4/1/0")
    names = [lock_path(cat.workspace, device).name for device in devices]
    assert names == ["device.lock", "gpu-0.lock", "gpu-MIG-GPU-4-1-0.lock"]
    with device_taken(cat.workspace):
        assert not turn.free_now(cat.workspace, ["cpu"])
    other = Workspace(tmp_path / "other").create()
    with ExitStack() as first:
        told: list[str] = []
        held = turn.devices_held(cat.workspace, 1, Control(cat.workspace, 1), list, ["0"])
        assert first.enter_context(held) == ["0"]
        assert not turn.free_now(other, ["0"])  # One GPU for every workspace of a user.
        assert turn.free_now(other, ["0", "1"]) and not turn.free_now(other, ["0", "1"], count=2)
        assert turn.free_now(other, ["cpu"])

        def tell(text: str) -> None:
            told.append(text)
            first.close()

        second = turn.devices_held(other, 9, Control(other, 9), list, ["0"], tell=tell)
        with second as taken:
            assert taken == ["0"]
        assert told == [f"waits for a GPU that run 1 of {cat.workspace.root.resolve()} holds"]
