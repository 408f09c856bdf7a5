"""`workbench stop`, `pause`, `checkpoint` and `resume`: what is asked of a run.

A run belongs to the machine: leaving a command never stops it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.commands.train.following import finish
from workbench.commands.train.telling import (
    Detach,
    RunArgument,
    number,
    result_of,
    say_unless,
    summary,
)
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.catalogue import Catalogue
    from store.runs import Run

_STOP_S = 60.0


def stop(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Let a run save a checkpoint and end; `resume` goes on from there."""
    from engine.train import client

    _end(client.stop, run, workspace, json)


def pause(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Let a run save a checkpoint and let go of the device; `resume` goes on from there."""
    from engine.train import client

    _end(client.pause, run, workspace, json)


def checkpoint(
    run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Let a run save a checkpoint after its step and go on."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        asked = number(run)
        with client.reader(cat, asked) as run_db:
            before = max((saved.step for saved in run_db.checkpoints()), default=-1)
            found = client.checkpoint_now(cat, asked)
            newest = before
            deadline = time.monotonic() + _STOP_S
            while newest == before and client.is_alive(found) and time.monotonic() < deadline:
                time.sleep(0.1)
                newest = max((saved.step for saved in run_db.checkpoints()), default=-1)
        found = client.refresh(cat, found.id)
        done = f"saved step {newest}" if newest > before else "has not saved one yet"
        emit(result_of(cat, found), json, f"run {found.id} {done}")


def resume(
    run: RunArgument,
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a stopped, paused, failed or lost run from its newest intact checkpoint."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.resume(cat, number(run))
        say_unless(json, f"run {found.id} goes on")
        finish(cat, found, detach, json)


def _end(
    ask: Callable[[Catalogue, int], Run], run: str, workspace: Path | None, json: bool
) -> None:
    """Ask a run to end in one way or the other, and wait a while until it has."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = ask(cat, number(run))
        deadline = time.monotonic() + _STOP_S
        while client.is_alive(found) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = client.refresh(cat, found.id)
        found, alive = client.refresh(cat, found.id), client.is_alive(found)
    still = "is still finishing its step" if alive else f"is {found.status}"
    goes_on = found.status in ("stopped", "paused") and not alive
    hint = f"; go on with: workbench resume {found.id}" if goes_on else ""
    emit(summary(found), json, f"run {found.id} {still} at step {found.step}{hint}")
