"""`workbench data` commands that change rows, undo included. Each call is one step of undo."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, as_text, described, opened
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.dataset import Dataset, Step

RowsOption = Annotated[
    list[str],
    typer.Option(
        "--row",
        metavar="ROWS",
        help="Line numbers from 1, as 3 or 3,7-12; may be repeated.",
        show_default=False,
    ),
]
RawOption = Annotated[
    str | None,
    typer.Option(
        "--raw", metavar="JSON", help="The whole row; - reads it from standard input.",
        show_default=False,
    ),
]  # fmt: skip
_MOST_ROWS = 10_000_000


@app.command("set")
def set_(
    file: File,
    row: RowOption,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=TEXT",
            help="A value to replace, as messages.1.content=TEXT; may be repeated.",
            show_default=False,
        ),
    ] = None,
    raw: RawOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Replace values of one row, or the row. The edit is kept here; `data save` writes it."""
    from store.errors import BadInput

    if (raw is None) == (not set_):
        raise BadInput(
            "give either --set KEY=TEXT or --raw JSON", "write --set messages.1.content=TEXT"
        )
    pairs = []
    for item in set_ or ():
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise BadInput(
                f"--set {item}: expected KEY=TEXT", "write --set messages.1.content=TEXT"
            )
        pairs.append((key, value))
    with opened(file, workspace) as (document, _):
        if raw is None:
            document.set_values(row, pairs)
        else:
            document.replace(row, one_row(raw))
        _show(document, row, json)


@app.command()
def insert(
    file: File,
    raw: RawOption = None,
    before: Annotated[
        int | None,
        typer.Option(
            "--before", min=1, metavar="N", help="Above this row; at the end by default.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Add a row."""
    from store.errors import BadInput

    if raw is None:
        raise BadInput("insert: there is no row to add", "give it with --raw JSON, or --raw -")
    with opened(file, workspace) as (document, _):
        if before is None:
            document.grow()
        number = document.count + 1 if before is None else before
        document.insert(number, one_row(raw))
        _show(document, number, json)


@app.command()
def delete(
    file: File, row: RowsOption, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Take rows away, as one step."""
    from engine.data.dataset import Delete

    with opened(file, workspace) as (document, _):
        rows = row_numbers(row, document)
        label = f"delete row {rows[0]}" if len(rows) == 1 else f"delete {len(rows):,} rows"
        gone = document.change([Delete(number) for number in rows], label)
        result = {
            "path": str(document.path),
            "deleted": gone,
            "rows": rows,
            "unsaved": document.unsaved,
        }
        emit(result, json, f"{_plural(gone, 'row')} deleted; `data undo` brings them back")


@app.command()
def duplicate(
    file: File, row: RowOption, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Put a copy of a row below it."""
    with opened(file, workspace) as (document, _):
        _show(document, document.duplicate(row), json)


@app.command()
def move(
    file: File,
    row: RowOption,
    to: Annotated[
        int, typer.Option("--to", metavar="M", help="What its number will be.", show_default=False)
    ],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Move a row, also from one file of several to another."""
    with opened(file, workspace) as (document, _):
        document.move(row, to)
        _show(document, to, json)


Steps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="How many steps.")]


@app.command()
def undo(
    file: File, steps: Steps = 1, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Take the last step back, whether it was saved or not."""
    with opened(file, workspace) as (document, _):
        _travel(document, steps, "undone", json)


@app.command()
def redo(
    file: File, steps: Steps = 1, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Do again what was undone last."""
    with opened(file, workspace) as (document, _):
        _travel(document, steps, "redone", json)


@app.command()
def history(
    file: File,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")
    ] = 20,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List the steps that can be undone, and above them those that can be done again."""
    with opened(file, workspace) as (document, _):
        found = document.history(limit)
        result = {
            "path": str(document.path),
            "steps": [
                {
                    "label": step.label,
                    "row": step.row,
                    "rows_changed": step.rows_changed,
                    "when": step.when,
                    "done": step.done,
                }
                for step in found
            ],
        }
        lines = (f"{'  ' if s.done else '↷ '}{s.label}  ({s.rows_changed:,})" for s in found)
        emit(result, json, lines if found else "no steps yet")


@app.command()
def tag(
    file: File,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", metavar="ROWS", help="As 3 or 3,7-12.", show_default=False),
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="TAG", help="May be repeated.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="May be repeated.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Tag rows, or list the tags in use. Tags stay beside the file and follow their row."""
    from store.errors import BadInput

    if bool(row) != bool(add or remove):
        raise BadInput(
            "tag: give --row with --add or --remove, or none of them to list the tags",
            "write --row 3,7-12 --add TAG",
        )
    with opened(file, workspace) as (document, _):
        rows = row_numbers(row, document) if row else []
        if rows:
            document.annotate(rows, add=add or (), remove=remove or ())
        tags = document.tags()
        result = {"path": str(document.path), "rows": rows, "tags": tags}
        lines = [f"{count:>7,}  {name}" for name, count in tags.items()]
        emit(result, json, lines or "no tags")


@app.command()
def note(
    file: File,
    row: RowOption,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help='The note; "" takes it away.'),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write a note on a row, or show it. Notes stay beside the file and follow their row."""
    with opened(file, workspace) as (document, _):
        if text is not None:
            document.annotate([row], note=text)
        found = document.annotations(row)
        result = {
            "path": str(document.path),
            "row": row,
            "note": found.note,
            "tags": list(found.tags),
        }
        emit(result, json, found.note or "no note")


def row_numbers(wanted: Sequence[str], document: Dataset) -> list[int]:
    """`3,7-12` as numbers, each once, in order.

    Raises:
        BadInput: not numbers and ranges. NotFound: the dataset has no such row.
    """
    from store.errors import BadInput

    found: set[int] = set()
    for part in (piece.strip() for item in wanted for piece in item.split(",")):
        fits = re.fullmatch(r"(\d{1,15})(?:-(\d{1,15}))?", part)
        if not fits:
            raise BadInput(f"--row {part!r}: expected a number or a range", "write --row 3,7-12")
        first = int(fits[1])
        last = int(fits[2] or first)
        if first > last:
            raise BadInput(f"--row {part}: the range ends before it begins", "write --row 7-12")
        document.reach(first)
        document.reach(last)
        if last - first > _MOST_ROWS:
            raise BadInput(f"--row {part}: too many rows in one step", "name fewer rows at once")
        found.update(range(first, last + 1))
    return sorted(found)


def one_row(raw: str) -> bytes:
    """JSON as typed, or from standard input, as one line.

    Raises:
        BadInput: it is not JSON.
    """
    import msgspec

    from engine.data.row import pretty
    from engine.data.row.strict import BOM
    from store.errors import BadInput

    text = sys.stdin.buffer.read() if raw == "-" else raw.encode("utf-8", "surrogateescape")
    text = text.removeprefix(BOM).strip()
    try:
        msgspec.json.decode(text)
        # Spread over lines it is folded; in one line it stays as it was typed.
        return msgspec.json.format(text, indent=-1) if b"\n" in text else text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        found = pretty.problem(text.decode("utf-8", "replace"))
        raise BadInput(
            f"the new row is not JSON: {found.words if found else wrong}",
            "write it as '{\"messages\": […]}', in quotes",
        ) from None


def _show(document: Dataset, row: int, json: bool) -> None:
    found = document.row(row)
    emit(described(document, found), json, as_text(found, document.edited(row)))


def _travel(document: Dataset, steps: int, done: str, json: bool) -> None:
    made: list[Step] = []
    while len(made) < steps:
        step = document.undo() if done == "undone" else document.redo()
        if step is None:
            break
        made.append(step)
    last = made[-1] if made else None
    result = {
        "path": str(document.path),
        "row": None if last is None else last.row,
        "steps": [step.label for step in made],
        "rows_changed": sum(step.rows_changed for step in made),
        "unsaved": document.unsaved,
    }
    emit(result, json, [f"{step.label}: {done}" for step in made] or f"nothing to be {done}")


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
