"""What is asked of a running job: rows in the catalogue, and SIGTERM.

Knows how to poll cheaply and never raises because the catalogue is busy. Does not know what a
trainer does about it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict, NoSpace, NotFound
from store.workspace import Workspace

POLL_S = 0.5
HEARTBEAT_S = 5.0
Ending = Literal["stopped", "paused"]


class StopRequested(Exception):
    """Raised where there is no step to finish first: before training and while waiting."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending: Ending = ending


class Control:
    """The job's ear.

    Attributes:
        ending: how the run should end as soon as it has saved; None to go on.
        checkpoint: a checkpoint is wanted at the next step.
    """

    def __init__(self, workspace: Workspace, run_id: int) -> None:
        self.ending: Ending | None = None
        self.checkpoint = False
        self._catalogue = Catalogue.open(workspace)
        self._run_id = run_id
        self._next_poll = 0.0
        self._next_beat = 0.0

    def listen_for_signals(self) -> None:
        """Take SIGTERM and SIGINT as a wish to save and stop."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def heartbeat_due(self) -> bool:
        """True every five seconds: time to say that the process lives."""
        now = time.monotonic()
        due = now >= self._next_beat
        if due:
            self._next_beat = now + HEARTBEAT_S
        return due

    def poll(self) -> None:
        """Look for new commands, at most twice a second."""
        now = time.monotonic()
        if now < self._next_poll:
            return
        self._next_poll = now + POLL_S
        try:
            for command_id, command in runs.pending_commands(self._catalogue, self._run_id):
                runs.take_command(self._catalogue, command_id)
                if command == "checkpoint":
                    self.checkpoint = True
                else:
                    self.ending = "paused" if command == "pause" else "stopped"
        except (Conflict, NoSpace, NotFound):
            return  # Busy, full or moved away: training goes on, the next poll tries again.

    def check(self) -> None:
        """Poll, and raise `StopRequested` if the run should end."""
        self.poll()
        if self.ending is not None:
            raise StopRequested(self.ending)

    def close(self) -> None:
        self._catalogue.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = self.ending or "stopped"


@contextmanager
def device_lock(
    workspace: Workspace, control: Control, heartbeat: Callable[[], None]
) -> Iterator[None]:
    """Hold the device; wait while another run has it, still listening.

    The kernel drops the lock with the process, so a killed run never blocks the queue.

    Args:
        heartbeat: called every few seconds of waiting.
    Raises:
        StopRequested: asked to stop while waiting.
    """
    path: Path = workspace.root / "device.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                control.check()
                if control.heartbeat_due():
                    heartbeat()
                time.sleep(POLL_S / 2)
        yield
    finally:
        os.close(descriptor)
