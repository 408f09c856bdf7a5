"""The queue from the outside: who waits for a device, in what order, and changing that.

Each waiting run is a small process (no torch in it) that takes the device when its turn comes, so
the queue needs nobody to serve it. Knows the catalogue's order and which waiters live. Does not
know devices (see `turn`).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.train import spec as specs
from engine.train.launching import alone, found_again, launch
from engine.train.status import is_alive, refresh
from store import queue as places
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError
from store.runs import Run


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run in the queue.

    Attributes:
        position: 1 is the next to go.
        alive: its process is there; else the machine was restarted, say, and `start_again` puts
            it back where it was.
    """

    run: Run
    position: int
    alive: bool


def queue(cat: Catalogue) -> list[Waiting]:
    """Every run that waits, the next to go first."""
    found = [refresh(cat, run.id) for run in places.waiting(cat)]
    waiting = [run for run in found if run.place is not None]
    return [Waiting(run, n, is_alive(run)) for n, run in enumerate(waiting, start=1)]


def reorder(cat: Catalogue, run_id: int, place: int) -> list[Waiting]:
    """Put a waiting run at position `place`; 1 is the next to go.

    Raises:
        BadInput: a position below 1. Conflict: the run does not wait.
    """
    queue(cat)  # Who has started by now leaves the line first, so that positions mean something.
    places.move(cat, run_id, place)
    return queue(cat)


def cancel(cat: Catalogue, run_id: int) -> Run:
    """Take a waiting run out of the queue; it is stopped, and `resume` puts it back at the end.

    Raises:
        Conflict: the run does not wait.
    """
    run = refresh(cat, run_id)
    if run.place is None:
        raise Conflict(
            f"run {run_id} does not wait: it is {run.status}",
            f"Stop a run that trains with: workbench stop {run_id}.",
        )
    if is_alive(run):
        runs.post_command(cat, run_id, "stop")
        return runs.get(cat, run_id)
    return runs.update(cat, run_id, status="stopped", place=None, reason="taken out of the queue")


def start_again(cat: Catalogue) -> list[Run]:
    """Start every run of the queue whose process is gone, each where it stood.

    Returns:
        The runs that wait again.
    """
    again = []
    for waiter in queue(cat):
        if waiter.alive:
            continue
        run_dir = cat.workspace.run_dir(waiter.run.id)
        try:
            with alone(run_dir):
                run = refresh(cat, waiter.run.id)
                if is_alive(run) or run.place is None:
                    continue
                spec = found_again(cat, run, specs.read(run_dir))
                again.append(launch(cat, run.id, spec.settings.threads, keep_place=True))
        except WorkbenchError as error:
            # One whose folder or base is gone must not keep the others from going on.
            runs.update(cat, waiter.run.id, status="failed", place=None, reason=f"{error.message}")
    return again
