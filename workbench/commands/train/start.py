"""`workbench train`: begin a run, and follow it unless it is to be left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import assets
from workbench.commands.train.following import finish
from workbench.commands.train.telling import Detach, say_unless
from workbench.output import JsonOption, WorkspaceOption

_SHIPPED = ", ".join(sorted(path.stem for path in assets.path("recipes").glob("*.toml")))


def train(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A dataset, as for `workbench data`.")
    ],
    model: Annotated[
        str,
        typer.Option("--model", metavar="REF", help="starter, hub:org/name or a folder."),
    ] = "starter",
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help=f"A TOML file, or a shipped recipe: {_SHIPPED}.",
        ),
    ] = "default",
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices",
            min=1,
            metavar="N",
            help="GPUs (without one, processes) that share the run.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="A name for the run.")] = None,
    note: Annotated[str, typer.Option("--note", help="A note for the run.")] = "",
    queue: Annotated[
        bool, typer.Option(help="Wait for the device, or refuse where it is taken.")
    ] = True,
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train an adapter on a file. Every recipe key, for --set: workbench recipe."""
    from engine.train import client
    from engine.train.recipe import load, with_sets
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        given = [*(sets or []), *([f"devices={devices}"] if devices is not None else [])]
        chosen = with_sets(load(recipe), given)
        run = client.start(cat, file, model, chosen, name=name, note=note, queue=queue)
        say_unless(json, f"run {run.id} on {run.model}, recipe {recipe}")
        finish(cat, run, detach, json)
