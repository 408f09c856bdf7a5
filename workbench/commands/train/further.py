"""`workbench extend` and `fork`: a run goes on for longer, or another one leaves it."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.commands.train.following import finish
from workbench.commands.train.telling import Detach, RunArgument, number, say_unless
from workbench.output import JsonOption, WorkspaceOption


def extend(
    run: RunArgument,
    steps: Annotated[int, typer.Option(metavar="N", min=0, help="So many more steps.")] = 0,
    epochs: Annotated[float, typer.Option(metavar="N", min=0, help="More epochs.")] = 0.0,
    tokens: Annotated[int, typer.Option(metavar="N", min=0, help="More tokens.")] = 0,
    minutes: Annotated[float, typer.Option(metavar="N", min=0, help="More minutes.")] = 0.0,
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Let a run go on for longer, also one that has finished; the rate follows the new length."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.extend(
            cat, number(run), max_steps=steps, epochs=epochs, tokens=tokens, minutes=minutes
        )
        say_unless(json, f"run {found.id} goes on for longer")
        finish(cat, found, detach, json)


def fork(
    run: RunArgument,
    step: Annotated[
        int, typer.Option("--step", metavar="STEP", help="The checkpoint to leave from.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="A name for the new run.")] = None,
    note: Annotated[str, typer.Option("--note", help="A note for the new run.")] = "",
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Start a new run from a checkpoint of another one, with other settings."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.fork(cat, number(run), step, sets or [], name=name, note=note)
        say_unless(json, f"run {found.id} leaves run {found.parent} at step {step}")
        finish(cat, found, detach, json)
