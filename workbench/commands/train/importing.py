"""`workbench import`: a run of another program, from its `trainer_state.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.commands.train.telling import summary
from workbench.output import JsonOption, WorkspaceOption, emit


def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A trainer_state.json, or the folder it lies in."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="A name for the run.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="REF", help="Its base, where the adapter names none."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Take in a run of a Hugging Face trainer: its curves, and the adapter beside the file."""
    from engine.records.importing import import_state
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = import_state(cat, file, name=name, model=model)
    run = found.run
    result = summary(run) | {
        "new": found.new,
        "metrics": list(found.metrics),
        "points": found.points,
        "checkpoint": found.checkpoint,
        "notes": list(found.notes),
    }
    if not found.new:
        emit(result, json, f"run {run.id} was made of the same file: nothing is imported")
        return
    saved = f", checkpoint {found.checkpoint}" if found.checkpoint is not None else ""
    lines = [
        f"run {run.id} · {run.name}: {found.points:,} points, {len(found.metrics)} metrics{saved}",
        *(f"note: {note}" for note in found.notes),
        f"What its curves mean: workbench diagnose {run.id}",
    ]
    emit(result, json, lines)
