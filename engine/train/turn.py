"""A device, held by one run at a time and in the order of the queue.

Knows lock files and who stands in front. Does not know what is done with a device.

The kernel drops a lock with its process, so a killed run never blocks the queue. A place counts
only while its process lives and waits; who lives and yet does not take a free device within
`YIELD_S` (stopped by a debugger, say) is passed over.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engine.jobs import process
from engine.jobs.devices import lock_path
from engine.train import spec as specs
from engine.train.control import POLL_S, Control
from store import queue
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.rundb import RunReader
from store.runs import Run
from store.workspace import Workspace

YIELD_S = 10.0
_PROBE_S = 1.0


@dataclass(slots=True)
class _Line:
    """Who stands in front of a run, and since when a device lay idle before them."""

    workspace: Workspace
    run_id: int
    control: Control
    idle_since: float | None = None
    next_probe: float = 0.0

    def is_first(self) -> bool:
        """Whether nobody in front waits; a catalogue that cannot be read says no."""
        catalogue = self.control.catalogue()
        if catalogue is None:
            return False
        try:
            return not any(is_waiting(catalogue, run) for run in self._ahead(catalogue))
        except WorkbenchError:
            return False

    def may_pass(self, devices: Sequence[str], count: int) -> bool:
        """Whether those in front have let free devices lie for too long."""
        now = time.monotonic()
        if now < self.next_probe:
            return False
        self.next_probe = now + _PROBE_S
        held = _take(self.workspace, devices, count)
        if held is None:
            self.idle_since = None
            return False
        _let_go(held)
        self.idle_since = self.idle_since if self.idle_since is not None else now
        return now - self.idle_since >= YIELD_S

    def _ahead(self, cat: Catalogue) -> list[Run]:
        line = queue.waiting(cat)
        mine = next((n for n, run in enumerate(line) if run.id == self.run_id), len(line))
        return [run for run in line[:mine] if run.id != self.run_id]


def is_waiting(cat: Catalogue, run: Run) -> bool:
    """Whether a run that has a place has a living process that waits.

    The run's own database decides: the catalogue may not have heard that it has started.
    """
    with RunReader.open(cat.workspace.run_dir(run.id) / specs.DATABASE) as run_db:
        state = run_db.state()
    launched = process.alive(run.pid, run.process_started)
    if state is None or (launched and state.pid != run.pid):
        return launched  # Started, and not yet come to its first word.
    return state.status == "queued" and process.alive(state.pid, state.process_started)


@contextmanager
def devices_held(
    workspace: Workspace,
    run_id: int,
    control: Control,
    heartbeat: Callable[[], None],
    devices: Sequence[str],
    count: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[list[str]]:
    """Wait for the run's turn, still listening, and hold `count` of the devices.

    Args:
        heartbeat: called every few seconds of waiting.
        devices: names to choose from, preferred ones first.
        tell: told once if who stands in front is of another workspace.
    Yields:
        The names of those that are held.
    Raises:
        StopRequested: asked to stop while waiting.
    """
    line = _Line(workspace, run_id, control)
    told = False
    while True:
        held = None
        if line.is_first() or line.may_pass(devices, count):
            held = _take(workspace, devices, count)
            elsewhere = None if held or told else _held_elsewhere(workspace, devices)
            if elsewhere is not None:
                tell(f"waits for a GPU that {elsewhere} holds")
                told = True
        if held is not None:
            break
        control.check()
        if control.heartbeat_due():
            heartbeat()
        time.sleep(POLL_S / 2)
    try:
        for descriptor in held.values():
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"run {run_id} of {workspace.root.resolve()}".encode(), 0)
        yield list(held)
    finally:
        _let_go(held)


def free_now(workspace: Workspace, devices: Sequence[str], count: int = 1) -> bool:
    """Whether `count` of the devices have no tenant at this moment."""
    held = _take(workspace, devices, count)
    if held is not None:
        _let_go(held)
    return held is not None


def _take(workspace: Workspace, devices: Sequence[str], count: int) -> dict[str, int] | None:
    """Lock `count` of the devices, or none: names and descriptors."""
    held: dict[str, int] = {}
    for name in devices:
        if len(held) == count:
            break
        path = lock_path(workspace, name)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            held[name] = descriptor
    if len(held) == min(count, len(devices)):
        return held
    _let_go(held)
    return None


def _held_elsewhere(workspace: Workspace, devices: Sequence[str]) -> str | None:
    """The run of another workspace that one of the devices was last given to."""
    ours = f" of {workspace.root.resolve()}"
    names = [lock_path(workspace, device).read_text() for device in devices]
    return next((name for name in names if name and not name.endswith(ours)), None)


def _let_go(held: dict[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
