"""A suite as a job: it outlives who asked, is stopped, dies, and what was answered is kept."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checks import jobs, suite, worker
from engine.checks.run import known
from engine.checks.suite import Suite
from engine.jobs.devices import lock_path
from engine.machine.facts import this_machine
from store import checkjobs
from store import checks as records
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError

SUITE = """
max_tokens = TOKENS
[[group]]
prompts = [PROMPTS]
[[group.check]]
kind = "regex"
value = "."
"""


def made(folder: Path, name: str, count: int, tokens: int) -> Suite:
    path = folder / f"{name}.toml"
    prompts = ", ".join(f'"{name}: what is {i} plus {i}?"' for i in range(count))
    path.write_text(SUITE.replace("PROMPTS", prompts).replace("TOKENS", str(tokens)))
    return suite.load(str(path))


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_is_shared_stopped_killed_and_gone_on_with(cat: Catalogue, tmp_path: Path) -> None:
    small, long = made(tmp_path, "small", 3, 4), made(tmp_path, "long", 900, 200)
    job = jobs.start(cat, [small, long], ["starter"])
    assert jobs.start(cat, [long], ["starter"]).id == job.id  # whoever else wants the same
    assert jobs.lives(job)
    until(lambda: known(cat, small, ["starter"])[1] == 0)
    until(lambda: checkjobs.get(cat, job.id).total == 900)
    until(lambda: known(cat, long, ["starter"])[1] < 900)
    assert "long (2 of 2)" in jobs.words(checkjobs.get(cat, job.id))
    jobs.stop(cat, checkjobs.get(cat, job.id))
    with pytest.raises(Conflict, match="stopped"):
        jobs.follow(cat, job)
    results, missing = known(cat, long, ["starter"])
    assert not results and 0 < missing < 900
    assert [result.passed for result in known(cat, small, ["starter"])[0]] == [3]
    assert len(records.all(cat)) == 1  # looking again keeps nothing twice

    # Killed in the midst of it, as by a lack of memory: it says so, and the next one goes on.
    again = jobs.start(cat, [long], ["starter"])
    assert again.id != job.id
    until(lambda: checkjobs.get(cat, again.id).total > 0)
    assert again.pid is not None
    os.kill(again.pid, signal.SIGKILL)
    with pytest.raises(WorkbenchError, match="ended without a word"):
        jobs.follow(cat, again)
    assert jobs.living(cat) == []
    assert known(cat, long, ["starter"])[1] <= missing


def test_what_cannot_be_answered_is_said_and_not_waited_for(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mixed.toml"
    long = "word " * 2000
    path.write_text(SUITE.replace("PROMPTS", f'"Hi", "{long}"').replace("TOKENS", "4"))
    read = suite.load(str(path))
    assert jobs.follow(cat, jobs.start(cat, [read], ["starter"])).status == "finished"
    (result,), missing = known(cat, read, ["starter"])
    assert (missing, result.passed, result.errors) == (0, 1, 1)
    assert "tokens" in result.items[1].failed[0]
    with monkeypatch.context() as patch:  # answers that a processor gave count on a GPU's machine
        patch.setattr(type(this_machine()), "device", property(lambda _: "cuda"))
        assert known(cat, read, ["starter"])[1] == 0
    path.write_text(SUITE.replace("PROMPTS", '"Hi"').replace("TOKENS", "4"))
    job = jobs.start(cat, [suite.load(str(path))], ["starter"])
    path.write_text("broken")
    with pytest.raises(WorkbenchError, match="not TOML"):
        jobs.follow(cat, job)


def test_a_gpu_that_a_run_holds_is_waited_for(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = replace(this_machine(), gpus=())
    monkeypatch.setattr(type(gpu), "device", property(lambda _: "cuda"))
    job = checkjobs.create(cat, [], ["starter"], "auto")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    lock = lock_path(cat.workspace, "0")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = threading.Event()

        def work() -> None:
            with Catalogue.open(cat.workspace) as own:
                worker.Work(own, job).run()
            ended.set()

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: "holds the GPU" in checkjobs.get(cat, job.id).saying)
        assert not ended.is_set()
        fcntl.flock(held, fcntl.LOCK_UN)
        thread.join(60)
    assert ended.is_set()
