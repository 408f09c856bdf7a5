"""`workbench report`: a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.commands.train.telling import RunArgument, number
from workbench.output import JsonOption, WorkspaceOption, emit


def report(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it there; otherwise it is printed."),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="HTML with plots; usual where FILE ends in .html.")
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """One file with everything about a run: meaning, curves, settings, data, answers, events."""
    from engine.records import report as reports
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    as_html = html or (out is not None and out.suffix.lower() in (".html", ".htm"))
    kind: reports.Format = "html" if as_html else "markdown"
    with Catalogue.open(find_workspace(workspace)) as cat:
        text = reports.render(cat, number(run), kind)
    if out is None:
        emit({"run": number(run), "format": kind, "text": text}, json, text.rstrip("\n"))
        return
    reports.save(out, text)
    size = len(text.encode())
    result = {"run": number(run), "format": kind, "path": str(out.resolve()), "bytes": size}
    emit(result, json, f"{out}: {size / 1000:,.0f} kB")
