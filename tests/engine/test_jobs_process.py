"""Detached processes: own session, scrubbed environment, an identity that cannot be faked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.jobs import process
from engine.machine import facts as machine


def until_gone(started: process.Process) -> None:
    while process.alive(started.pid, started.started):
        time.sleep(0.01)


def test_secrets_stay_behind_and_our_modules_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"):
        monkeypatch.setenv(secret, "canary")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("NCCL_P2P_DISABLE", "1")
    log = tmp_path / "log"
    code = "import os, engine.jobs; print(dict(os.environ)); print(os.getsid(0) == os.getpid())"
    until_gone(process.spawn([sys.executable, "-c", code], log, {"OMP_NUM_THREADS": "3"}))
    said = log.read_text()
    assert "canary" not in said
    assert "'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'" in said  # Else GPUs had other numbers there.
    assert "'NCCL_P2P_DISABLE': '1'" in said
    assert "'OMP_NUM_THREADS': '3'" in said
    assert said.endswith("True\n")
    assert log.stat().st_mode & 0o777 == 0o600


def test_it_gives_way_to_others(tmp_path: Path) -> None:
    code = "import os; input(); print(os.getpriority(os.PRIO_PROCESS, 0))"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    process.give_way(child.pid, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    said, _ = child.communicate("\n")
    assert int(said) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
    process.give_way(child.pid, 19)  # It is gone: nothing happens.


def test_it_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.jobs import process\n"
        "p = process.spawn([sys.executable, '-c', 'input() if 0 else __import__(\"time\").sleep(60)"
        "'], Path(sys.argv[1])); print(p.pid, p.started)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        env=process.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    pid, started = parent.stdout.split()
    child = process.Process(int(pid), float(started))
    assert process.alive(child.pid, child.started)
    assert process.terminate(child.pid, child.started)
    until_gone(child)
    assert not process.terminate(child.pid, child.started)


def test_a_number_alone_is_no_identity() -> None:
    me = process.this_process()
    assert me.pid == os.getpid()
    assert process.alive(me.pid, me.started)
    assert not process.alive(me.pid, me.started - 100)
    assert not process.alive(None, None)


def test_a_finished_child_is_not_alive_although_nobody_waited(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.2)"
    child = process.spawn([sys.executable, "-c", code], tmp_path / "log")
    until_gone(child)
    assert not process.alive(child.pid, child.started)


def test_the_machine_is_described_without_torch() -> None:
    code = (
        "import sys; from engine.machine.facts import this_machine, versions; m = this_machine()\n"
        "assert m.cores >= 1 and m.memory > 1 << 28 and m.device in ('cpu', 'cuda')\n"
        "assert versions()['torch'] and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env=process.environment(), check=True)
    assert machine.versions()["sqlite"]
