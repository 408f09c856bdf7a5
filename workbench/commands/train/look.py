"""`workbench runs`, `show` and `log`: what there is to know about runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.commands.train.telling import RunArgument, number, page, plain, summary
from workbench.output import JsonOption, WorkspaceOption, emit, table


def runs(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """List the runs, newest first."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        known = client.refresh(cat)
    cells = [
        (
            r.id,
            r.name,
            r.status + (", silent" if r.status == "running" and r.reason else ""),
            r.model,
            Path(r.dataset).name,
            r.step,
            r.total_steps,
            r.loss,
            r.eval_loss,
            f"@{r.promoted_step} promoted" if r.promoted_step is not None
            else f"@{r.best_step}" if r.best_step is not None else None,
        )
        for r in known
    ]  # fmt: skip
    header = ("run", "name", "status", "model", "data", "step", "of", "loss", "eval loss", "best")
    empty = "No run yet. Start one: workbench train FILE --model starter"
    emit({"runs": [summary(r) for r in known]}, json, table(header, cells) if cells else empty)


def show(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Everything about one run: status, settings, metrics, checkpoints, events."""
    import msgspec

    from engine.records import origin
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.refresh(cat, number(run))
        with client.reader(cat, found.id) as run_db:
            metrics = {
                name: [[step, value] for step, value in run_db.exact(name)]
                for name in (run_db.names() if json else ())
            }
            last = run_db.last()
            result = summary(found) | {
                "pid": found.pid if client.is_alive(found) else None,
                "note": found.note,
                "recipe": found.recipe,
                "seed": found.seed,
                "snapshot": found.snapshot,
                "base_sha256": found.base_sha256,
                "template_sha256": found.template_sha256,
                "versions": found.versions,
                "machine": found.machine,
                "split": found.split,
                "origin": msgspec.to_builtins(origin.read(cat.workspace.run_dir(found.id))),
                "metrics": metrics,
                "checkpoints": [plain(item) for item in run_db.checkpoints()],
                "samples": [plain(item) for item in run_db.samples()],
                "events": [plain(item) for item in run_db.events()],
            }
            emit(result, json, [] if json else page(found, last, result))


def log(
    run: RunArgument,
    lines: Annotated[int, typer.Option("--lines", metavar="N", min=1, help="Newest lines.")] = 200,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """What the run's process wrote."""
    from engine.train import client
    from store.catalogue import Catalogue
    from store.runs import get
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        path = client.log_path(cat, get(cat, number(run)).id)
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    newest = text.splitlines()[-lines:]
    emit({"path": str(path), "lines": newest}, json, newest or f"{path}: nothing written yet")
