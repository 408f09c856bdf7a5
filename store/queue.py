"""The queue: the order in which waiting runs get a device, kept as `runs.place`.

Knows places, and changes them in one transaction so that two interfaces never mix an order up.
Does not know whether a waiting process lives (see `engine.train.queue`): a place says where a run
stands in the line, not that it still stands there.
"""

from __future__ import annotations

from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.runs import Run
from store.sqlite import write


def enqueue(cat: Catalogue, run_id: int, *, keep: bool = False) -> Run:
    """Put a run at the end of the line.

    Args:
        keep: a run that has a place already stays there.
    """
    with write(cat.db) as db:
        if not (keep and runs.get(cat, run_id).place is not None):
            sql = "UPDATE runs SET place = (SELECT coalesce(max(place), 0) + 1 FROM runs) "
            db.execute(f"{sql} WHERE id = ?", [run_id])
        return runs.get(cat, run_id)


def waiting(cat: Catalogue) -> list[Run]:
    """Every run that has a place, the first to go first."""
    return runs.waiting(cat)


def move(cat: Catalogue, run_id: int, to: int) -> list[Run]:
    """Put a waiting run at position `to` (1 is the next to go; beyond the end is the end).

    Returns:
        The line as it stands now, places counted from 1.
    Raises:
        BadInput: a position below 1. Conflict: the run does not wait.
    """
    if to < 1:
        raise BadInput(f"position {to}: expected 1 or more", "1 is the next run to start.")
    with write(cat.db) as db:
        line = [run.id for run in waiting(cat)]
        if run_id not in line:
            run = runs.get(cat, run_id)
            raise Conflict(
                f"run {run_id} is {run.status}: only a waiting run has a place in the queue",
                "See who waits: workbench queue.",
            )
        line.remove(run_id)
        line.insert(to - 1, run_id)
        for place, waiter in enumerate(line, start=1):
            db.execute("UPDATE runs SET place = ? WHERE id = ?", [place, waiter])
        return waiting(cat)
