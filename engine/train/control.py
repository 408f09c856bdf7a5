"""What is asked of a running job: rows in the catalogue, and SIGTERM.

Knows how to poll cheaply and never raises because the catalogue is busy. Does not know what a
trainer does about it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Literal

from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, NotFound
from store.workspace import Workspace

POLL_S = 0.5
HEARTBEAT_S = 5.0
BUSY_MS = 50
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
        self._workspace = workspace
        self._catalogue: Catalogue | None = None
        self._run_id = run_id
        self._heard: set[int] = set()
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
            catalogue = self._opened()
            for command_id, command in runs.pending_commands(catalogue, self._run_id):
                # Obeyed before it is ticked off, for a full disk must not make a run deaf.
                if command_id not in self._heard:
                    self._heard.add(command_id)
                    self._obey(command)
                runs.take_command(catalogue, command_id)
        except (Conflict, NoSpace, NotFound, BadInput):
            return  # Busy, full or moved away: training goes on, the next poll tries again.

    def catalogue(self) -> Catalogue | None:
        """The catalogue, for a short look; None while it cannot be opened."""
        try:
            return self._opened()
        except (Conflict, NoSpace, NotFound, BadInput):
            return None

    def _opened(self) -> Catalogue:
        """The catalogue, opened when it can be; a busy one is never waited for long."""
        if self._catalogue is None:
            self._catalogue = Catalogue.open(self._workspace)
            self._catalogue.db.execute(f"PRAGMA busy_timeout={BUSY_MS}").fetchall()
        return self._catalogue

    def _obey(self, command: runs.Command) -> None:
        if command == "checkpoint":
            self.checkpoint = True
        else:
            self.ending = "paused" if command == "pause" else "stopped"

    def check(self) -> None:
        """Poll, and raise `StopRequested` if the run should end."""
        self.poll()
        if self.ending is not None:
            raise StopRequested(self.ending)

    def close(self) -> None:
        if self._catalogue is not None:
            self._catalogue.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = self.ending or "stopped"
