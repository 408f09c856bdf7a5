"""Suites that run as jobs: processes of their own that outlive whoever asked for them.

Knows how a job is started, found again, followed and stopped. What it does is `worker`'s; the
answers lie in the catalogue, where everyone who wants the results finds them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.chat.link import last_line
from engine.checks.suite import Suite
from engine.jobs import process
from engine.models.refs import resolve
from store import checkjobs
from store.catalogue import Catalogue
from store.checkjobs import CheckJob, Device
from store.errors import Conflict, WorkbenchError, WorkerDied
from store.sqlite import path_text, write
from store.visible import visible

MODULE = "engine.checks.worker"
NICENESS = 5
"""As of a run that trains on the processors that the interface needs too."""
_POLL_S = 0.2
_STOPPING = "stopping"


def start(
    cat: Catalogue, suites: Sequence[Suite], refs: Sequence[str], *, device: Device = "auto"
) -> CheckJob:
    """Let a job ask these models; where one does so already, that one.

    Raises:
        WorkbenchError: a reference refuses, or no process can be started.
    """
    asked = [(path_text(suite.path), suite.picked) for suite in suites]
    # What `run:7` means may change while it is being trained; here it means one thing.
    models = [resolve(cat, ref).ref for ref in refs]
    with write(cat.db):  # two windows at once start one job
        running = find(cat, suites, models)
        if running is not None:
            return running
        job = checkjobs.create(cat, asked, models, device)
        log = cat.workspace.logs / f"check-{job.id}.log"
        root, here = cat.workspace.root.resolve(), Path.cwd()
        argv = process.python_module(MODULE, str(root), str(job.id), str(here))
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        started = process.spawn(argv, log, {"HF_HUB_OFFLINE": "1", **hidden})
        process.give_way(started.pid, NICENESS)
        checkjobs.update(cat, job.id, pid=started.pid, process_started=started.started)
        return checkjobs.get(cat, job.id)


def lives(job: CheckJob) -> bool:
    """Whether a job is still at it."""
    return job.finished is None and process.alive(job.pid, job.process_started)


def living(cat: Catalogue) -> list[CheckJob]:
    """Every job that is at it, newest first; one whose process is gone is written down as such."""
    found = []
    for job in checkjobs.unfinished(cat):
        if lives(job):
            found.append(job)
        elif job.pid is not None:
            _gone(cat, job)
    return found


def find(cat: Catalogue, suites: Sequence[Suite], models: Sequence[str]) -> CheckJob | None:
    """The living job that asks (at least) these models these suites.

    Args:
        models: references with their step.
    """
    asked = {(path_text(suite.path), suite.picked) for suite in suites}
    for job in living(cat):
        if asked <= {*job.suites} and {*models} <= {*job.models}:
            return job
    return None


def stop(cat: Catalogue, job: CheckJob) -> None:
    """Ask a job to end; what was answered by then is kept."""
    checkjobs.update(cat, job.id, saying=_STOPPING)
    process.terminate(job.pid, job.process_started)


def follow(
    cat: Catalogue, job: CheckJob, on_look: Callable[[CheckJob], None] | None = None
) -> CheckJob:
    """Wait for a job's end.

    Args:
        on_look: hears what is known, several times a second.
    Raises:
        Conflict: it was stopped. WorkbenchError: it failed, in its own words.
    """
    while True:
        now = checkjobs.get(cat, job.id)
        if on_look is not None:
            on_look(now)
        if now.finished is None and not lives(now):
            now = checkjobs.get(cat, job.id)  # it may have ended between the two looks
            if now.finished is None:
                now = _gone(cat, now)
        if now.finished is not None:
            break
        time.sleep(_POLL_S)
    if now.status == "stopped":
        raise Conflict("the job was stopped", "Ask again: what was answered is kept.")
    if now.status == "failed":
        raise WorkbenchError(now.saying, now.hint)
    return now


def _gone(cat: Catalogue, job: CheckJob) -> CheckJob:
    if job.saying == _STOPPING:  # before it could listen
        checkjobs.update(cat, job.id, status="stopped", finished=time.time())
        return checkjobs.get(cat, job.id)
    log = cat.workspace.logs / f"check-{job.id}.log"
    last = visible(last_line(log)[:200])
    error = WorkerDied(
        "the job ended without a word" + (f": {last}" if last else ""),
        f"Ask again: what was answered is kept. Its log: {log}",
    )
    checkjobs.update(
        cat, job.id, status="failed", saying=error.message, hint=error.hint, finished=time.time()
    )
    return checkjobs.get(cat, job.id)


def words(job: CheckJob, now: float | None = None) -> str:
    """How far a job is, with the time left once that can be told."""
    if not job.total:
        return job.saying or "starting"
    told = f"{job.saying} {job.done:,} of {job.total:,} answers"
    now = time.time() if now is None else now
    began, first = job.began, job.first_done
    if began is None or job.done - first < 1 or now - began < 2:
        return told
    left = (now - began) * (job.total - job.done) / (job.done - first)
    return (
        f"{told} · about {left / 60:.0f} min left" if left >= 60 else f"{told} · {left:.0f} s left"
    )
