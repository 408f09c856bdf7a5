"""The process behind a check job: `python -m engine.checks.worker WORKSPACE JOB FOLDER`.

Knows the order of the work and writes down how far it is. Loads no model itself: chat workers do.
A GPU that a run holds is waited for, and while the suites are asked no run begins there.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from engine.chat.client import ChatSession
from engine.checks import run as running
from engine.checks import suite as suites
from engine.checks.asking import Halted
from engine.jobs.devices import lock_path, visible_devices
from engine.machine.facts import this_machine
from store import checkjobs
from store.catalogue import Catalogue
from store.checkjobs import CheckJob
from store.errors import WorkbenchError
from store.workspace import Workspace

_TELL_S = 1.0
"""Seconds between two words about progress: the catalogue is rarely written."""
_POLL_S = 0.5


class Work:
    """One job from its first word to its last."""

    def __init__(self, cat: Catalogue, job: CheckJob) -> None:
        self._cat = cat
        self._job = job
        self._told = 0.0
        self._began = False
        self._session: ChatSession | None = None

    def run(self) -> None:
        """Ask every suite, and record the results.

        Raises:
            Halted: asked to stop. WorkbenchError: a suite or a model refuses.
        """
        read = [
            suites.tagged(found, list(tags)) if tags else found
            for found, tags in (
                (suites.load(path, self._cat), tags) for path, tags in self._job.suites
            )
        ]
        with self._device(), ExitStack() as stack:

            def session() -> ChatSession:
                if self._session is None:  # one for all suites, and only if anything is missing
                    opened = ChatSession.open(self._cat, self._job.models, keep=False)
                    self._session = stack.enter_context(opened)
                return self._session

            for place, suite in enumerate(read, 1):
                said = suite.name + (f" ({place} of {len(read)})" if len(read) > 1 else "")
                self._say(status="running", saying=said, done=0, total=0, began=None)
                self._began = False
                running.run(self._cat, suite, self._job.models, self._came, session)

    def _came(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._began:
            self._began = True
            self._say(done=done, total=total, began=time.time(), first_done=done)
        elif now - self._told >= _TELL_S or done == total:
            self._say(done=done, total=total)

    @contextmanager
    def _device(self) -> Iterator[None]:
        """Hold the GPU for as long as models are asked; on a processor there is nothing to hold."""
        if self._job.device == "cpu" or this_machine().device != "cuda":
            yield
            return
        gpu, *_ = visible_devices("cuda", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        path = lock_path(self._cat.workspace, gpu)
        with path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._say(saying="waits: a run holds the GPU")
                    time.sleep(_POLL_S)
            yield

    def _say(self, **values: object) -> None:
        self._told = time.monotonic()
        checkjobs.update(self._cat, self._job.id, **values)


def main() -> None:
    """Do the job that is named, and write down how it ended."""

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Halted

    signal.signal(signal.SIGTERM, stop)
    root, job_id, here = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    os.chdir(here)  # where relative paths of models begin
    with Catalogue.open(Workspace(root)) as cat:
        job = checkjobs.get(cat, job_id)
        ended: dict[str, object] = {"status": "finished", "saying": "", "hint": ""}
        try:
            Work(cat, job).run()
        except Halted:
            ended |= {"status": "stopped", "saying": "stopped"}
        except WorkbenchError as error:
            ended |= {"status": "failed", "saying": error.message, "hint": error.hint}
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        checkjobs.update(cat, job_id, **ended, finished=time.time())
    os._exit(0)  # sockets of chat workers are closed with the process


if __name__ == "__main__":
    main()
