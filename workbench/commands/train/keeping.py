"""`workbench checkpoints`: what a run has saved, and what of it is kept for good."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.commands.train.telling import RunArgument, number, plain
from workbench.output import JsonOption, WorkspaceOption, emit, table


def checkpoints(
    run: RunArgument,
    pin: Annotated[
        int | None, typer.Option(metavar="STEP", help="Never delete this checkpoint.")
    ] = None,
    unpin: Annotated[
        int | None, typer.Option(metavar="STEP", help="Let this one be deleted in its turn.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and compare its hash.")
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List a run's checkpoints, pin one, or prove that none was altered."""
    from pathlib import Path

    from engine.train import checkpoints as folders
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.refresh(cat, number(run))
        if pin is not None:
            client.pin(cat, found.id, pin)
        if unpin is not None:
            client.unpin(cat, found.id, unpin)
        with client.reader(cat, found.id) as run_db:
            saved = run_db.checkpoints()
    problems = {one.step: folders.verify(Path(one.path)) if verify else [] for one in saved}
    named = {"best": found.best_step, "promoted": found.promoted_step}
    marks = {one.step: [name for name, at in named.items() if at == one.step] for one in saved}
    cells = [
        (
            one.step,
            one.eval_loss,
            f"{one.bytes / 1e6:.1f} MB",
            " ".join([*marks[one.step], *(["pinned"] if one.pinned else [])]) or "–",
            "; ".join(problems[one.step]) or ("as it was written" if verify else ""),
        )
        for one in saved
    ]
    header = ("step", "eval loss", "size", "kept", "files" if verify else "")
    result = {
        "run": found.id,
        "best_step": found.best_step,
        "promoted_step": found.promoted_step,
        "checkpoints": [plain(one) | {"problems": problems[one.step]} for one in saved],
    }
    emit(result, json, table(header, cells) if cells else f"run {found.id}: nothing saved yet")
    if any(problems.values()):
        raise typer.Exit(2)
