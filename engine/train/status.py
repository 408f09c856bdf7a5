"""How a run stands: its own database and its process, brought into the catalogue.

The run database is the truth, the catalogue's row a cache. Knows that a run whose process is gone
without a last word is lost, and that one whose process is there and writes nothing is not: it is
said to be silent. Does not know how runs are started.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import psutil

from engine.jobs import death, process
from engine.train import checkpoints, stopping
from engine.train import spec as specs
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict, NoSpace
from store.rundb import RunReader, RunState
from store.runs import Run, Status

LIVE: tuple[Status, ...] = ("queued", "running", "paused")
_OPEN: tuple[Status, ...] = (*LIVE, "lost")

SILENT_S = 180.0
"""A process that has written nothing for so long, and for `_STEPS` steps' time, is silent."""
_SILENT_BEFORE_STEPS_S = 600.0
"""The same before the first step: a large base is read from a slow disk without a word."""
_STEPS = 10

clock = time.time
"""Unix seconds; a test may stop it."""


@overload
def refresh(cat: Catalogue) -> list[Run]: ...


@overload
def refresh(cat: Catalogue, run_id: int) -> Run: ...


def refresh(cat: Catalogue, run_id: int | None = None) -> Run | list[Run]:
    """Bring the catalogue's rows up to date with the runs themselves.

    Args:
        run_id: one run; None looks at every run that can still change. A lost one can: what was
            taken for dead may write again.
    Returns:
        That run, or all of them, newest first.
    Raises:
        NotFound: no such run.
    """
    if run_id is not None:
        return _refreshed(cat, runs.get(cat, run_id))
    return [_refreshed(cat, run) if run.status in _OPEN else run for run in runs.all(cat)]


def is_alive(run: Run) -> bool:
    """Whether the run's process is there."""
    return process.alive(run.pid, run.process_started)


def reader(cat: Catalogue, run_id: int) -> RunReader:
    """The run's own database, for reading."""
    return RunReader.open(cat.workspace.run_dir(run_id) / specs.DATABASE)


def log_path(cat: Catalogue, run_id: int) -> Path:
    """Where the run's process writes what it has to say."""
    return cat.workspace.run_dir(run_id) / specs.LOG


def _refreshed(cat: Catalogue, run: Run) -> Run:
    # Asked before the database is read: a process that ends in between has written its end.
    alive = is_alive(run)
    with reader(cat, run.id) as run_db:
        state = run_db.state()
        changes = _facts(run, run_db, state) if state is not None else {}
    if not alive and state is not None and _goes_on(state):
        # Who started it was killed before it could write down whom it had started.
        changes |= {"pid": state.pid, "process_started": state.process_started}
    elif alive and (state is None or state.pid != run.pid):
        changes["status"] = "queued"  # Started again, and not yet come to its first word.
    elif not alive and changes.get("status", run.status) in ("queued", "running"):
        changes["status"] = "lost"
        known = run.reason if run.status == "lost" else None
        changes["reason"] = known or _lost_reason(cat, run, state)
    elif alive and state is not None and state.status == "running":
        changes["reason"] = _silence(run.id, state, changes.pop("train_seconds"))
    elif not alive and changes.get("status") == "paused" and changes.get("reason"):
        changes["status"] = "lost"
        changes["reason"] = f"The disk was full. {_lost_reason(cat, run, state)}"
    if changes.get("status", run.status) != "queued" and not _lost_its_place(run, state, changes):
        changes["place"] = None
    changes.pop("train_seconds", None)
    changed = {name: value for name, value in changes.items() if value != _value(run, name)}
    if not changed:
        return run
    try:
        return runs.update(cat, run.id, **changed)
    except (NoSpace, Conflict):
        return replace(run, **changed)  # A cache that cannot be written hides nothing.


def _goes_on(state: RunState) -> bool:
    """Whether the process that wrote last is there and has not written its end."""
    return state.status in LIVE and process.alive(state.pid, state.process_started)


def _lost_its_place(run: Run, state: RunState | None, changes: dict[str, Any]) -> bool:
    """Whether the run's process ended while it waited, so that it may go back to its place."""
    waited = state is None or state.status == "queued"
    return waited and changes.get("status", run.status) == "lost"


def _facts(run: Run, run_db: RunReader, state: RunState) -> dict[str, Any]:
    last = run_db.last()
    metric = str(run.recipe.get("keep_best") or stopping.EVAL_LOSS)
    return {
        "status": state.status,
        "step": max(state.step, 0),
        "total_steps": state.total_steps,
        "reason": state.reason,
        "started": state.started,
        "finished": state.finished,
        "loss": last["loss"][1] if "loss" in last else None,
        "eval_loss": last["eval_loss"][1] if "eval_loss" in last else None,
        "best_step": stopping.best_saved(run_db, metric, run_db.checkpoints()),
        "train_seconds": last["train_seconds"][1] if "train_seconds" in last else None,
    }


def _silence(run_id: int, state: RunState, spent: float | None) -> str | None:
    """That a living process has written nothing for long, and what to do; None while it writes.

    The words stay the same while it is silent, so that they are written down once.

    Args:
        spent: seconds of training so far.
    """
    usual = (spent or 0.0) / max(state.step, 1)
    limit = max(SILENT_S, _STEPS * usual) if state.step > 0 else _SILENT_BEFORE_STEPS_S
    if clock() - state.heartbeat < limit:
        return None
    since = time.strftime("%H:%M on %d %B", time.localtime(state.heartbeat))
    said = f"silent since {since}, though its process {state.pid} is there"
    try:
        suspended = psutil.Process(state.pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        suspended = False
    if suspended:
        return f"{said}: it was suspended. `kill -CONT {state.pid}` lets it go on"
    return (
        f"{said}. `workbench log {run_id}` has its last words; where it stays so, "
        f"`kill -9 {state.pid}` and `workbench resume {run_id}` go on from the newest checkpoint"
    )


def _value(run: Run, name: str) -> object:
    """A field of a run by its name; names come from `_facts` alone."""
    return {slot: getattr(run, slot) for slot in Run.__slots__}[name]


def _lost_reason(cat: Catalogue, run: Run, state: RunState | None) -> str:
    run_dir = cat.workspace.run_dir(run.id)
    if state is None or state.status == "queued":
        return (
            "It waited for the device when its process ended: killed, or the machine restarted. "
            "`workbench queue --again` puts it back where it was."
        )
    used = 0.0
    if run.machine.get("device") == "cpu":
        with reader(cat, run.id) as run_db:
            used = (run_db.last().get("memory_bytes") or (0, 0.0))[1] or 0.0
    there = float(run.machine.get("memory") or 0)
    code = process.exit_code(state.pid)
    why = death.reason(run_dir, state.pid, code, run_dir / specs.LOG, (used, there))
    return f"{why} `workbench resume {run.id}` goes on from {_newest(run_dir)}."


def _newest(run_dir: Path) -> str:
    newest = max((saved.step for saved in checkpoints.complete(run_dir)), default=None)
    return f"step {newest}" if newest is not None else "the start"
