"""What a run is told while it lives, and which of its checkpoints are kept or promoted.

Knows the catalogue's commands and pins. Starting, resuming and forking are `client`'s.
"""

from __future__ import annotations

from engine.jobs import process
from engine.train import checkpoints
from engine.train.status import is_alive, refresh
from store import pins, runs
from store.catalogue import Catalogue
from store.errors import Conflict, NoSpace
from store.runs import Run


def stop(cat: Catalogue, run_id: int) -> Run:
    """Ask a run to save and end; by a signal where the catalogue cannot be written."""
    try:
        return _ask(cat, run_id, "stop")
    except (Conflict, NoSpace):
        run = refresh(cat, run_id)
        if not process.terminate(run.pid, run.process_started):
            raise
        return run


def pause(cat: Catalogue, run_id: int) -> Run:
    """Ask a run to save and let go of the device; `resume` goes on."""
    return _ask(cat, run_id, "pause")


def checkpoint_now(cat: Catalogue, run_id: int) -> Run:
    """Ask a run for a checkpoint at its next step."""
    return _ask(cat, run_id, "checkpoint")


def pin(cat: Catalogue, run_id: int, step: int) -> None:
    """Keep a checkpoint for good, whatever `save_total_limit` says.

    Raises:
        NotFound: there is no such checkpoint. BadInput: it is damaged.
    """
    runs.get(cat, run_id)
    run_dir = cat.workspace.run_dir(run_id)
    checkpoints.intact(run_dir, run_id, step)
    pins.pin(run_dir, step)


def promote(cat: Catalogue, run_id: int, step: int) -> None:
    """Let `run:ID` mean this checkpoint in chat, export and checks, and keep it for good.

    Raises:
        NotFound: there is no such checkpoint. BadInput: it is damaged.
    """
    pin(cat, run_id, step)
    runs.update(cat, run_id, promoted_step=step)


def demote(cat: Catalogue, run_id: int) -> None:
    """Let `run:ID` mean the best checkpoint again, by the recipe's `keep_best`."""
    runs.get(cat, run_id)
    runs.update(cat, run_id, promoted_step=None)


def unpin(cat: Catalogue, run_id: int, step: int) -> None:
    """Let a checkpoint be deleted when its time comes."""
    runs.get(cat, run_id)
    pins.unpin(cat.workspace.run_dir(run_id), step)


def _ask(cat: Catalogue, run_id: int, command: runs.Command) -> Run:
    run = refresh(cat, run_id)
    if not is_alive(run):
        raise Conflict(
            f"run {run_id} is not running: it is {run.status}",
            f"Look at it with: workbench show {run_id}.",
        )
    runs.post_command(cat, run_id, command)
    return run
