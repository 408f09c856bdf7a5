"""`workbench data`: look at a JSONL file, edit it, and write it back.

Rows are line numbers from 1 of the document: the file with the unsaved edits on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.data.document import Document
    from engine.data.rows import Row
    from engine.render.renderer import Rendered
    from store.catalogue import Catalogue

app = typer.Typer(
    help="Look at a JSONL file, edit it with undo, and save it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A JSONL file.", show_default=False)]
RowOption = Annotated[
    int, typer.Option("--row", metavar="N", help="Line number, from 1.", show_default=False)
]


@app.command()
def info(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Count the rows, their shapes and what is wrong with them."""
    from store.errors import BadInput

    with _opened(file, workspace) as (document, _):
        document.grow()
        shapes: Counter[str] = Counter()
        errors: list[dict[str, object]] = []
        bad = 0
        for number in range(1, document.count + 1):
            row = document.row(number)
            shapes[row.shape] += row.error is None
            bad += row.error is not None
            if row.error is not None and len(errors) < 20:
                errors.append({"row": number, "error": row.error})
        if bad and bad == document.count:
            raise BadInput(
                f"{document.path}: not one row can be read; {errors[0]['error']}",
                'expected one JSON object a line, as {"messages": [{"role": …, "content": …}]}',
            )
        found = {shape: count for shape, count in shapes.items() if count}
        result = {
            "path": str(document.path),
            "bytes": document.size,
            "rows": document.count,
            "shapes": found,
            "bad_rows": bad,
            "errors": errors,
            "unsaved": document.unsaved,
        }
        kinds = ", ".join(f"{count:,} {shape}" for shape, count in found.items()) or "none"
        text = [
            f"{document.path}",
            f"rows     {document.count:,} ({kinds})",
            f"bytes    {document.size:,}",
            f"bad rows {bad:,}",
            *(f"  {error['error']}" for error in errors),
            *([f"  and {bad - len(errors):,} more"] if bad > len(errors) else []),
            f"unsaved  {document.unsaved:,}",
        ]
        emit(result, json, text)


@app.command()
def show(
    file: File, row: RowOption, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Show one row as turns, unsaved edits included."""
    with _opened(file, workspace) as (document, _):
        found = document.row(row)
        emit(_described(document, found), json, _as_text(found, document.edited(row)))


@app.command()
def preview(
    file: File,
    row: RowOption,
    model: Annotated[
        str, typer.Option("--model", metavar="REF", help="Model whose template and tokens.")
    ] = "starter",
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, metavar="N", help="Cut after N tokens.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the token ids and the loss mask of one row, exactly as training sees them."""
    from engine.models.refs import resolve
    from engine.render.renderer import Renderer
    from store.errors import BadInput, Unsupported

    with _opened(file, workspace) as (document, cat):
        resolved = resolve(cat, model)
        if resolved.base is None:
            raise Unsupported(
                f"{model}: a GGUF file has no template that can be trained with",
                "preview with the model folder or the run that the file was made from",
            )
        found = document.row(row)
        if found.error is not None:
            raise BadInput(f"{document.path}: {found.error}", "repair the row, or delete it")
        try:
            rendered = Renderer.load(resolved.base).render_row(found, max_length=max_length)
        except BadInput as error:
            raise BadInput(f"{document.path}: {error.message}", error.hint) from None
        result = {
            "row": row,
            "model": resolved.label,
            "ids": rendered.ids,
            "mask": rendered.mask,
            "tokens": rendered.tokens,
            "trained_tokens": rendered.trained_tokens,
            "cut": rendered.cut,
            "text": rendered.text,
            "notes": list(rendered.notes),
        }
        emit(result, json, _token_lines(rendered))


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
    with _opened(file, workspace) as (document, _):
        document.set_values(row, pairs)
        found = document.row(row)
        emit(_described(document, found), json, _as_text(found, document.edited(row)))


@app.command()
def undo(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Take the last edit back, whether it was saved or not."""
    with _opened(file, workspace) as (document, _):
        _report_step(document, document.undo(), "undone", json)


@app.command()
def redo(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Do again what was undone last."""
    with _opened(file, workspace) as (document, _):
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
    with _opened(file, workspace, force=force) as (document, _):
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


@contextmanager
def _opened(
    file: Path, workspace: Path | None, *, force: bool = False
) -> Iterator[tuple[Document, Catalogue]]:
    from engine.data.document import Document
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with (
        Catalogue.open(find_workspace(workspace)) as cat,
        Document.open(cat, file, force=force) as document,
    ):
        yield document, cat


def _described(document: Document, row: Row) -> dict[str, object]:
    return {
        "row": row.number,
        "shape": row.shape,
        "turns": [
            {"role": turn.role, "text": turn.text, "train": turn.train} for turn in row.turns
        ],
        "text": row.text,
        "raw": row.raw.decode("utf-8", "replace"),
        "error": row.error,
        "edited": document.edited(row.number),
        "unsaved": document.unsaved,
    }


def _as_text(row: Row, edited: bool) -> Iterator[str]:
    yield f"row {row.number}  {row.shape}{'  (edited, not saved)' if edited else ''}"
    if row.error is not None:
        yield f"error: {row.error}"
        yield row.raw[:2000].decode("utf-8", "replace")
    for turn in row.turns:
        yield ""
        yield turn.role + ("" if turn.train is None else f"  (train: {str(turn.train).lower()})")
        yield "  " + turn.text.replace("\n", "\n  ")
    if row.text:
        yield row.text


def _token_lines(rendered: Rendered) -> Iterator[str]:
    width = max((len(str(token)) for token in rendered.ids), default=1)
    for token, mask, text in zip(rendered.ids, rendered.mask, rendered.tokens, strict=True):
        yield f"{'▌' if mask else ' '} {token:>{width}}  {text!r}"
    yield f"{len(rendered.ids)} tokens, {rendered.trained_tokens} trained (▌), {rendered.cut} cut"
    yield from rendered.notes


def _report_step(document: Document, row: int | None, done: str, json: bool) -> None:
    text = f"nothing to be {done}" if row is None else f"row {row}: {done}"
    result = {"path": str(document.path), "row": row, "unsaved": document.unsaved}
    emit(result, json, text)
