"""`workbench queue`: who waits for a device, and in what order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.train.telling import number, summary
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.train.queue import Waiting
    from store.runs import Run


def queue(
    move: Annotated[
        str | None, typer.Option("--move", metavar="RUN", help="Give this run another place.")
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="That place; 1 is the next.")
    ] = None,
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="RUN", help="Take this run out.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Start waiting runs whose processes are gone, in order."),
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List the runs that wait for a device, the next to go first, or change their order."""
    from engine.train import client
    from store.catalogue import Catalogue
    from store.errors import BadInput
    from workbench.workspace import find_workspace

    if (move is None) != (to is None):
        raise BadInput("--move RUN and --to N go together", "workbench queue --move 7 --to 1")
    with Catalogue.open(find_workspace(workspace)) as cat:
        if again:
            client.start_again(cat)
        if move is not None and to is not None:
            client.reorder(cat, number(move), to)
        if cancel is not None:
            _until_gone(client.cancel(cat, number(cancel)))
        waiting = client.queue(cat)
        running = [run for run in client.refresh(cat) if run.status == "running"]
    result = {
        "running": [summary(run) for run in running],
        "queue": [
            summary(one.run) | {"position": one.position, "alive": one.alive} for one in waiting
        ],
    }
    emit(result, json, _lines(running, waiting))


def _until_gone(run: Run) -> None:
    """Wait until a run that was asked to leave the queue has left it."""
    from engine.train import client

    deadline = time.monotonic() + 10
    while client.is_alive(run) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lines(running: list[Run], waiting: list[Waiting]) -> list[str]:
    lines = [
        f"run {run.id} · {run.name} trains: step {run.step} of {run.total_steps or '?'}"
        for run in running
    ]
    if not waiting:
        return [*lines, "no run waits"]
    cells = [
        (one.position, one.run.id, one.run.name, one.run.model, "waits" if one.alive else "gone")
        for one in waiting
    ]
    lines += table(("place", "run", "name", "model", "process"), cells)
    if not all(one.alive for one in waiting):
        lines.append("start those whose process is gone: workbench queue --again")
    return lines
