"""A run whose process is there and writes nothing is said to be silent, and is not called dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from engine.train import client, status
from engine.train.progress import follow
from engine.train.status import SILENT_S
from store import runs
from store.catalogue import Catalogue
from store.identity import start_of
from store.rundb import RunWriter

WRITES = """
import sys
from pathlib import Path
from store.rundb import RunWriter
with RunWriter.open(Path(sys.argv[1])) as writer:
    writer.state("running", step=4, total_steps=9)
    writer.metrics(4, {"loss": 1.0, "train_seconds": 80.0})
    writer.flush()
    print("written", flush=True)
    input()
    writer.heartbeat()
    writer.flush()
    print("written", flush=True)
    input()
"""


def test_a_worker_that_hangs_is_silent_until_it_writes_again(
    cat: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.create(cat, model="starter", dataset="/d.jsonl", recipe={}, seed=1, name="hangs")
    folder = cat.workspace.run_dir(run.id)
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", WRITES, str(folder / "run.db")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as worker:  # type: ignore[call-overload]
        assert worker.stdout is not None and worker.stdin is not None
        assert worker.stdout.readline()
        runs.update(cat, run.id, pid=worker.pid, process_started=start_of(worker.pid))
        written = time.time()
        monkeypatch.setattr(status, "clock", lambda: written + late)
        # A step took 20 s: after 190 s of silence it may be in its next one, after 210 s not.
        late = SILENT_S + 10
        assert client.refresh(cat, run.id).reason is None
        late = SILENT_S + 30
        said = client.refresh(cat, run.id)
        assert said.status == "running" and said.reason is not None
        assert f"its process {worker.pid} is there" in said.reason
        assert f"workbench resume {run.id}" in said.reason

        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        news = next(iter(follow(cat, run.id))).news
        assert any("it was suspended. `kill -CONT" in words for words in news)

        os.kill(worker.pid, signal.SIGCONT)
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline()
        late = 1.0
        assert client.refresh(cat, run.id).reason is None
        worker.stdin.write("\n")


def test_each_step_is_told_with_what_was_known_then(cat: Catalogue) -> None:
    run = runs.create(cat, model="starter", dataset="/d.jsonl", recipe={}, seed=1, name="told")
    folder = cat.workspace.run_dir(run.id)
    folder.mkdir(parents=True)
    with RunWriter.open(folder / "run.db") as writer:
        writer.state("running", step=0, total_steps=4)
        for step in (1, 2, 3, 4):
            writer.metrics(step, {"loss": 4.0 - step, "tokens_per_second": 100.0 * step})
            if step % 2 == 0:
                writer.metrics(step, {"eval_loss": 5.0 - step})
        writer.state("finished", step=4)
    told = [one for one in follow(cat, run.id) if one.loss is not None]
    assert [(one.step, one.eval_loss, one.tokens_per_second) for one in told[:4]] == [
        (1, None, 100.0), (2, 3.0, 200.0), (3, 3.0, 300.0), (4, 1.0, 400.0)
    ]  # fmt: skip
