"""`workbench watch`: a run as plain lines, for screen readers, logs and pipes.

One line a step or every so many seconds, one an event; nothing is ever overwritten.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.train.telling import RunArgument, number, summary
from workbench.output import JsonOption, WorkspaceOption, emit, say

if TYPE_CHECKING:
    from store.rundb import Event


def watch(
    run: RunArgument,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Least time between lines of steps.")
    ] = 0.0,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Print a run as it goes, a line a step and a line an event, until it ends.

    With --json each line is one object, the last one the summary. Leaving never stops the run.
    """
    from engine.train.progress import follow
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        told, held, step = -every, None, 0
        for one in follow(cat, number(run)):
            for event in one.events:
                _tell({"event": asdict(event)}, _words(event), json)
            if one.loss is None or one.step == step:
                continue
            held, step = one, one.step
            if time.monotonic() - told >= every:
                _tell(one.as_dict(), str(one), json)
                told, held = time.monotonic(), None
        if held is not None:
            _tell(held.as_dict(), str(held), json)
        from engine.train import client

        found = client.refresh(cat, number(run))
    reason = f": {found.reason}" if found.reason else ""
    _tell(summary(found), f"run {found.id} {found.status} at step {found.step}{reason}", json)
    if found.status in ("failed", "lost"):
        raise typer.Exit(2)


def _words(event: Event) -> str:
    if event.text.startswith(event.kind):
        return event.text
    at = f" at step {event.step}" if event.step is not None else ""
    return f"{event.kind}{at}: {event.text}"


def _tell(value: dict[str, object], words: str, json: bool) -> None:
    if json:
        emit(value, True)
        sys.stdout.flush()
    else:
        say(words)
