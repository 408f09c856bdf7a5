"""`workbench data` commands about the file and its edits: status, diff, save, discard, versions,
restore."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.data.dataset import Choice, Dataset
    from engine.data.file.save import SaveReport
    from engine.data.journal.changes import Changed, VersionInfo

_SHOWN = 400
"""Characters of a row that a diff shows to people."""


@app.command()
def status(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Say what is not saved yet, and what can be undone."""
    with opened(file, workspace) as (document, _):
        kinds = Counter(_kind(change) for change in document.changes())
        steps = document.history(1000)
        aside = document.unplaced()
        result = {
            "path": str(document.path),
            "unsaved": document.unsaved,
            "edited": kinds["edited"],
            "added": kinds["added"],
            "deleted": kinds["deleted"],
            "undo": next((step.label for step in steps if step.done), None),
            "redo": next((step.label for step in reversed(steps) if not step.done), None),
            "unplaced": [_change(change) for change in aside],
        }
        emit(result, json, _status_text(document, result))


def _status_text(document: Dataset, found: dict[str, object]) -> Iterator[str]:
    yield f"{document.path}"
    if document.unsaved:
        yield f"not saved: {found['edited']} edited, {found['added']} added, " + (
            f"{found['deleted']} deleted"
        )
    else:
        yield "all edits are saved"
    for word in ("undo", "redo"):
        if found[word]:
            yield f"{word:<9} {found[word]}"
    if aside := document.unplaced():
        yield (
            f"found no place in the changed file: {len(aside):,} "
            "(`workbench data discard` drops them)"
        )
        yield from _lines(aside)


@app.command()
def diff(
    file: File,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="At most so many.", show_default=False),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show every unsaved change: `-` as the file has it, `+` as it will be."""
    with opened(file, workspace) as (document, _):
        found = document.changes()
        shown = found[:limit]
        result = {
            "path": str(document.path),
            "changes": [_change(change) for change in shown],
            "total": len(found),
        }
        more = [f"and {len(found) - len(shown):,} more"] if len(shown) < len(found) else []
        emit(result, json, [*_lines(shown), *more] or "nothing has changed")


def _kind(change: Changed) -> str:
    if change.after is None:
        return "deleted"
    return "added" if change.file_line is None else "edited"


def _change(change: Changed) -> dict[str, object]:
    return {
        "kind": _kind(change),
        "row": change.row,
        "file_line": change.file_line,
        "path": None if change.path is None else str(change.path),
        "before": None if change.before is None else change.before.decode("utf-8", "replace"),
        "after": None if change.after is None else change.after.decode("utf-8", "replace"),
    }


def _lines(changes: Sequence[Changed]) -> Iterator[str]:
    for change in changes:
        file = "the file" if change.path is None else change.path.name
        yield f"@ row {change.row}" if change.row else f"@ line {change.file_line} of {file}"
        for sign, content in (("-", change.before), ("+", change.after)):
            if content is not None:
                text = content[: 4 * _SHOWN].decode("utf-8", "replace")
                yield f"{sign} {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"


@app.command()
def save(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="As --mine.")] = False,
    mine: Annotated[
        bool,
        typer.Option("--mine", help="Where the file was changed outside: write by line number."),
    ] = False,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="… find each edit its line again, by content."),
    ] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="… drop the edits.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write the edits into the file; every other row stays byte for byte."""
    from store.errors import BadInput

    if (force or mine) + merge + theirs > 1:
        raise BadInput(
            "save: --mine, --merge and --theirs exclude one another", "choose one of them"
        )
    if theirs:
        discard(file, workspace, json)
        return
    choice: Choice = "mine" if force or mine else "merge" if merge else "ask"
    with opened(file, workspace, choice=choice) as (document, _):
        edits = document.unsaved
        report = document.save(choice=choice)
        result = {
            "path": str(report.path),
            "edits": edits,
            "rows": report.rows,
            "bytes": report.bytes,
            "sha256": report.sha256 or None,
            "unplaced": [_change(change) for change in report.unplaced],
        }
        emit(result, json, _saved_text(edits, report))


def _saved_text(edits: int, report: SaveReport) -> Iterator[str]:
    rows = f"{report.rows:,} row{'' if report.rows == 1 else 's'}"
    yield f"{report.path}: {edits:,} edit{'' if edits == 1 else 's'} saved, {rows}"
    if report.unplaced:
        yield f"found no place in the changed file and are kept: {len(report.unplaced):,}"
        yield from _lines(report.unplaced)


@app.command()
def discard(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Drop the unsaved edits for good."""
    from engine.data.dataset import discard, files_of
    from engine.data.journal.memory import unplaced
    from store import datasets
    from store.catalogue import Catalogue
    from store.errors import NotFound
    from workbench.workspace import find_workspace

    paths = [path.resolve() for path in files_of(file)]
    with Catalogue.open(find_workspace(workspace)) as cat:
        known = {path: datasets.by_path(cat, path) for path in paths}
        for path, dataset in known.items():
            if dataset is None and not path.exists():
                raise NotFound(f"{path}: no such file", "check the path and try again")
        aside = sum(len(unplaced(cat, found.id)) for found in known.values() if found)
        gone = aside + discard(cat, file)
    emit(
        {"path": str(paths[0] if len(paths) == 1 else file), "discarded": gone},
        json,
        f"{gone:,} edit{'' if gone == 1 else 's'} dropped",
    )


@app.command()
def versions(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """List what the file was when it was found and after each save, by hash."""
    with opened(file, workspace) as (document, _):
        found = document.versions()
        result = {
            "path": str(document.path),
            "versions": [
                {
                    "id": info.id,
                    "sha256": info.sha256,
                    "rows": info.rows,
                    "bytes": info.bytes,
                    "created": info.created,
                    "current": info.current,
                    "restorable": info.restorable,
                    "why_not": info.why_not,
                    "path": str(info.path or document.path),
                }
                for info in found
            ],
        }
        emit(result, json, map(_version_line, found))


def _version_line(info: VersionInfo) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
    sign = "▸" if info.current else " " if info.restorable else "✗"
    name = info.sha256.removeprefix("xxh128:")[:12] or "not hashed"
    path = f"  {info.path}" if info.path else ""
    why = f"  {info.why_not}" if info.why_not else ""
    return f"{sign} {info.id:>4}  {day}  {name:<12}  {info.rows:>10,} rows{path}{why}"


@app.command()
def restore(
    file: File,
    version: Annotated[
        int,
        typer.Option(
            "--version", metavar="ID", help="See `data versions`; 0 is the file as it is.",
            show_default=False,
        ),
    ],
    save: Annotated[bool, typer.Option("--save", help="Write it into the file at once.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Bring a version back, as one step that can be undone; `data save` writes it."""
    from store.errors import NotFound

    with opened(file, workspace) as (document, _):
        wanted = {info.id: info.sha256 for info in document.versions()}
        if version and version not in wanted:
            raise NotFound(
                f"{document.path}: there is no version {version}",
                f"list them: workbench data versions {document.path}",
            )
        step = document.restore(version)
        digest = document.save().sha256 if save else None
        result = {
            "path": str(document.path),
            "version": version,
            "rows_changed": step.rows_changed,
            "unsaved": document.unsaved,
            "sha256": digest,
            "same_bytes": None if digest is None else digest == wanted.get(version),
        }
        done = "written" if save else "`data save` writes it"
        emit(result, json, f"{step.label}: {step.rows_changed:,} changes, {done}")
