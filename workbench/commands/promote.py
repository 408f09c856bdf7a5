"""`workbench promote`: which checkpoint of a run chat, export and `run:ID` mean."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit


def promote(
    checkpoint: Annotated[
        str, typer.Argument(metavar="RUN@STEP", help="For example run:12@400, or 12@400.")
    ],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Use this checkpoint wherever the run is named without a step, and never delete it.

    RUN alone takes it back: the best by `keep_best` is meant again.
    """
    from engine.models import refs
    from engine.train import client
    from store.catalogue import Catalogue
    from store.errors import BadInput
    from workbench.workspace import find_workspace

    text = checkpoint if checkpoint.startswith("run:") else f"run:{checkpoint}"
    named = refs.parse(text)
    if named.run_id is None or named.strength != 1:
        raise BadInput(f"'{checkpoint}': not a checkpoint of a run", "Name one: run:12@400.")
    with Catalogue.open(find_workspace(workspace)) as cat:
        if named.step is None:
            client.demote(cat, named.run_id)
        else:
            client.promote(cat, named.run_id, named.step)
        means = refs.resolve(cat, f"run:{named.run_id}")
    back = "promoted no more: " if named.step is None else ""
    said = f"{back}run:{named.run_id} means {means.ref} in chat, export and checks"
    emit({"run": named.run_id, "promoted_step": named.step, "means": means.ref}, json, said)
