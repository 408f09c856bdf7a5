"""`workbench data` commands that look: info, rows, show."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, as_text, described, opened, said
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.data.census import Census
    from engine.data.dataset import Dataset
    from engine.data.rows import Row

_NAMED = 20
"""So many bad rows are named."""
_PATIENCE = 2.0
"""Seconds before a terminal is told how far it is."""
_WIDTH = 100
_COLUMNS = "expected columns as `instruction` and `output`, or `text`, in UTF-8"
_EXPECTED = {
    "jsonl": 'expected one JSON object a line, as {"messages": [{"role": …, "content": …}]}',
    "csv": _COLUMNS,
    "parquet": _COLUMNS,
}


@app.command()
def info(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Count the rows, their shapes and what is wrong with them."""
    from engine.data.census import census
    from store.errors import BadInput

    with opened(file, workspace) as (document, _), _patient() as tell:
        while not document.grow(0.2):
            tell(f"reading {document.progress:.0%}")
        total = max(1, document.count)
        found = census(document, lambda rows: tell(f"counting {rows / total:.0%}"))
        errors: list[dict[str, object]] = [
            {"row": number, "error": document.row(number).error} for number in found.bad[:_NAMED]
        ]
        if found.bad_rows and found.bad_rows == found.rows:
            raise BadInput(
                f"{document.path}: not one row can be read; {errors[0]['error']}",
                _EXPECTED.get(document.format, _EXPECTED["jsonl"]),
            )
        result = {
            "path": str(document.path),
            "format": document.format,
            "compression": document.compression,
            "bytes": document.size,
            "rows": found.rows,
            "shapes": dict(found.shapes.most_common()),
            "dialects": dict(found.dialects.most_common()),
            "purposes": dict(found.purposes.most_common()),
            "mixed": len(found.dialects) > 1,
            "bad_rows": found.bad_rows,
            "errors": errors,
            "trouble": document.trouble,
            "unsaved": document.unsaved,
            "tags": document.tags(),
        }
        tell("")
        emit(result, json, _info_text(document, found, errors))


def _info_text(document: Dataset, found: Census, errors: list[dict[str, object]]) -> Iterator[str]:
    form = document.format + (f", {document.compression}" if document.compression else "")
    yield f"{document.path}"
    if document.trouble is not None:
        yield f"trouble  {document.trouble}"
    yield f"format   {form}, {document.size:,} bytes"
    yield f"rows     {found.rows:,} ({_counts(found.shapes)})"
    if len(found.dialects) > 1:
        yield "mixed"
        for name, count in found.dialects.most_common():
            yield f"  {count:>10,}  {name}"
    else:
        yield from (f"shape    {name}" for name in found.dialects)
    yield f"good for {_counts(found.purposes)}"
    yield f"bad rows {found.bad_rows:,}"
    yield from (f"  {error['error']}" for error in errors)
    if found.bad_rows > len(errors):
        yield f"  and {found.bad_rows - len(errors):,} more"
    yield f"unsaved  {document.unsaved:,}"
    if tags := document.tags():
        yield f"tags     {_counts(Counter(tags))}"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "none"


@app.command()
def rows(
    file: File,
    start: Annotated[
        int, typer.Option("--from", min=1, metavar="N", help="The first row, from 1.")
    ] = 1,
    count: Annotated[
        int, typer.Option("--count", min=1, max=10_000, metavar="K", help="How many rows.")
    ] = 20,
    percent: Annotated[
        float | None,
        typer.Option(
            "--percent",
            min=0,
            max=100,
            metavar="P",
            help="Start at this share of the rows instead.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List rows from a line, or from a percentage, on; unsaved edits included."""
    with opened(file, workspace) as (document, _), _patient() as tell:
        if percent is not None:
            while not document.grow(0.2):
                tell(f"reading {document.progress:.0%}")
            start = 1 + round(max(0, document.count - 1) * percent / 100)
        if not (start == 1 and document.complete and not document.count):
            document.row(start)
        while document.count < start + count - 1 and not document.grow(0.2):
            tell(f"reading {document.progress:.0%}")
        found = document.rows(start, count)
        tell("")
        result = {
            "path": str(document.path),
            "from": start,
            "rows": [described(document, row) for row in found],
            "total": document.count if document.complete else None,
        }
        emit(result, json, (_line(document, row) for row in found))


def _line(document: Dataset, row: Row) -> str:
    mark = {"same": " ", "edited": "~", "added": "+"}[document.status(row.number)]
    return f"{row.number:>9,} {mark} {'✗' if row.error else ' '} {said(row, _WIDTH)}"


@app.command()
def show(
    file: File, row: RowOption, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Show one row as turns, unsaved edits included."""
    with opened(file, workspace) as (document, _):
        found = document.row(row)
        emit(described(document, found), json, as_text(found, document.edited(row)))


class _patient:  # noqa: N801 - used as a context manager
    """A line on standard error that says how far it is, once it takes long, on a terminal."""

    def __enter__(self) -> Callable[[str], None]:
        self._begun = time.monotonic()
        self._shown = False
        return self._tell

    def _tell(self, text: str) -> None:
        if text and (time.monotonic() - self._begun < _PATIENCE or not sys.stderr.isatty()):
            return
        if text or self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        self._shown = bool(text)

    def __exit__(self, *_: object) -> None:
        self._tell("")
