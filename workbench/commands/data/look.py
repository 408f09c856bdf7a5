"""`workbench data` commands that look: info, show."""

from __future__ import annotations

from collections import Counter

from workbench.commands.data.base import File, RowOption, app, as_text, described, opened
from workbench.output import JsonOption, WorkspaceOption, emit


@app.command()
def info(file: File, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Count the rows, their shapes and what is wrong with them."""
    from store.errors import BadInput

    with opened(file, workspace) as (document, _):
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
    with opened(file, workspace) as (document, _):
        found = document.row(row)
        emit(described(document, found), json, as_text(found, document.edited(row)))
