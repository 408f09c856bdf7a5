"""`workbench data` commands that change rows and write them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, as_text, described, opened
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.data.changes import Step
    from engine.data.document import Document


@app.command("set")
def set_(
    file: File,
    row: RowOption,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=TEXT",
            help="A value to replace, as messages.1.content=TEXT; may be repeated.",
            show_default=False,
        ),
    ],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Replace values of one row. The edit is kept here; `data save` writes it into the file."""
    from store.errors import BadInput

    pairs = []
    for item in set_:
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise BadInput(
                f"--set {item}: expected KEY=TEXT", "write --set messages.1.content=TEXT"
            )
        pairs.append((key, value))
    with opened(file, workspace) as (document, _):
        document.set_values(row, pairs)
        found = document.row(row)
        emit(described(document, found), json, as_text(found, document.edited(row)))


@app.command()
def undo(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Take the last edit back, whether it was saved or not."""
    with opened(file, workspace) as (document, _):
        _report_step(document, document.undo(), "undone", json)


@app.command()
def redo(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Do again what was undone last."""
    with opened(file, workspace) as (document, _):
        _report_step(document, document.redo(), "redone", json)


@app.command()
def discard(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Drop the unsaved edits for good."""
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        gone = Document.discard(cat, file)
    emit({"path": str(file), "discarded": gone}, json, f"{gone} edits dropped")


@app.command()
def save(
    file: File,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that was changed outside.")
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write the edits into the file; every other row stays byte for byte."""
    with opened(file, workspace, force=force) as (document, _):
        edits = document.unsaved
        report = document.save(force=force)
        result = {
            "path": str(report.path),
            "edits": edits,
            "rows": report.rows,
            "bytes": report.bytes,
            "sha256": report.sha256,
        }
        emit(
            result,
            json,
            f"{report.path}: {edits} edit{'' if edits == 1 else 's'} saved, {report.rows:,} rows",
        )


def _report_step(document: Document, step: Step | None, done: str, json: bool) -> None:
    text = f"nothing to be {done}" if step is None else f"{step.label}: {done}"
    result = {
        "path": str(document.path),
        "row": None if step is None else step.row,
        "step": None if step is None else step.label,
        "rows_changed": 0 if step is None else step.rows_changed,
        "unsaved": document.unsaved,
    }
    emit(result, json, text)
