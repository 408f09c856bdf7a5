"""Why a process is gone: each thing that can be known, told apart."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from engine.jobs import death

GB = float(1 << 30)


@pytest.fixture
def born(tmp_path: Path) -> Path:
    death.begin(tmp_path, 77)
    return tmp_path


def told(folder: Path, code: int | None = None, used: float = 0.0, pid: int = 77) -> str:
    return death.reason(folder, pid, code, folder / "train.log", (used * GB, 16 * GB))


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / death.FILE
    found = msgspec.json.decode(path.read_bytes(), type=death.Witness)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(found, **changes)))


def test_each_end_has_its_words(born: Path) -> None:
    assert told(born, -9) == "It was killed, by a person or by the system."
    assert told(born, -9, 15.0).endswith("It used 15.0 of 16.0 GB. Lack of memory is likely.")
    assert told(born, None, 1.0).startswith("It ended without a word")
    assert told(born, None, 15.0).startswith("It was killed")
    assert told(born, -11) == "It was ended by SIGSEGV."
    assert told(born, 3) == "It ended with exit code 3; its log tells more."


def test_a_crash_is_found_in_the_log_unless_it_is_an_earlier_one(born: Path) -> None:
    log = born / "train.log"
    log.write_text("set up in 1.0 s\nFatal Python error: Segmentation fault\n\nThread 0x1\n")
    assert told(born, -11) == "It crashed: Segmentation fault."
    log.write_text(log.read_text() + "set up in 1.0 s\n")
    assert told(born, None).startswith("It ended without a word")


def test_the_kernel_counts_those_it_kills_for_memory(
    born: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(death, "_oom_kills", lambda: 5)
    rewrite(born, oom_kills=4)
    assert told(born, -9, 9.0) == "Out of memory: the system killed it. It used 9.0 of 16.0 GB."
    assert told(born, None).startswith("Out of memory")
    assert told(born, None, pid=78).startswith("It ended without a word")  # another's witness
    rewrite(born, oom_kills=5)
    assert told(born, -9) == "It was killed, by a person or by the system."


def test_counters_are_read_where_there_are_any(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 3\noom 2\noom_kill 2\n")
    assert death._counter(events) == 2
    assert death._counter(tmp_path / "none") is None


def test_a_restart_of_the_machine_is_seen(born: Path) -> None:
    rewrite(born, boot="another")
    assert told(born, None, 15.0) == "The machine was restarted."
    (born / death.FILE).write_bytes(b"{")
    assert told(born, None).startswith("It ended without a word")
    assert os.path.exists(born)
