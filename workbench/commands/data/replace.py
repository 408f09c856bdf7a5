"""`workbench data replace`: find and replace inside texts, shown before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, app, opened
from workbench.commands.data.find import (
    CaseOption,
    LimitOption,
    ModelOption,
    RegexOption,
    collected,
    fitting,
    missing_keys,
    missing_lines,
    parsed,
    short,
)
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.data.find.replace import Plan, Skipped
    from store.catalogue import Catalogue


@app.command()
def replace(
    file: File,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", show_default=False)],
    replacement: Annotated[
        str,
        typer.Argument(metavar="WITH", help="With --regex, $1 is a group.", show_default=False),
    ],
    regex: RegexOption = False,
    ignore_case: CaseOption = False,
    rows: Annotated[
        list[str] | None,
        typer.Option("--rows", metavar="ROWS", help="Only these, as 3,7-12.", show_default=False),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Only rows that fit.", show_default=False),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="PATH",
            help="Only in these texts, as messages.*.content; may be repeated.",
            show_default=False,
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it, as one step of undo.")] = False,
    model: ModelOption = "starter",
    limit: LimitOption = 20,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Replace inside the texts of rows; shows every change and does nothing without --apply."""
    from engine.data.filter import field as field_of
    from engine.data.find import Pattern
    from engine.data.find.replace import plan

    wanted = Pattern.compile(pattern, regex=regex, case=not ignore_case)
    with opened(file, workspace) as (document, cat):
        only = _chosen(cat, document, rows, where, model)
        paths = [field_of(f".{path.removeprefix('.')}") for path in field or ()]
        skipped: list[Skipped] = []
        shown: list[Plan] = []
        changes = document.batch()
        places, total = 0, 0
        for planned in plan(document, wanted, replacement, only, field, skipped=skipped):
            total, places = total + 1, places + planned.count
            if len(shown) < limit:
                shown.append(planned)
            if apply:
                changes.append(planned.change)
        if changes:
            document.change(changes, f"replace {pattern[:40]!r} by {replacement[:40]!r}")
        missing = [] if total else missing_keys(document, paths)
        result = {
            "path": str(document.path),
            "missing": missing,
            "rows_changed": total,
            "places": places,
            "applied": apply,
            "changes": [_planned(each) for each in shown],
            "skipped": [{"row": each.row, "why": each.why} for each in skipped],
            "unsaved": document.unsaved,
        }
        lines = _plan_lines(shown, skipped, total, places, apply)
        emit(result, json, chain(lines, missing_lines(document, missing)))


def _chosen(
    cat: Catalogue, document: Dataset, rows: list[str] | None, where: str | None, model: str
) -> set[int] | None:
    """The rows that are named and fit; None for all rows."""
    from workbench.commands.data.edit import row_numbers

    only = set(row_numbers(rows, document)) if rows else None
    if where is not None:
        wanted = parsed(cat, document, where)
        those = set(collected(fitting(cat, document, wanted, model))[1])
        only = those if only is None else only & those
    return only


def _planned(planned: Plan) -> dict[str, object]:
    edits = [
        {"path": edit.path, "before": edit.before, "after": edit.after} for edit in planned.edits
    ]
    return {"row": planned.row, "edits": edits, "raw": planned.raw.decode()}


def _plan_lines(
    shown: Sequence[Plan], skipped: Sequence[Skipped], rows: int, places: int, done: bool
) -> Iterator[str]:
    for planned in shown:
        yield f"row {planned.row:,}"
        for edit in planned.edits:
            for old, new in zip(edit.old, edit.new, strict=True):
                yield f"  {edit.path}"
                yield f"    - {_around(edit.before, old)}"
                yield f"    + {_around(edit.after, new)}"
    if rows > len(shown):
        yield f"… and {rows - len(shown):,} more rows (--limit shows more)"
    for each in skipped[:20]:
        yield f"skipped row {each.row:,}: {each.why}"
    if len(skipped) > 20:
        yield f"… and {len(skipped) - 20:,} more are skipped"
    what = f"{places:,} place{'' if places == 1 else 's'} in {rows:,} row{'' if rows == 1 else 's'}"
    if done:
        yield f"{what} replaced; `workbench data save` writes the file, `undo` takes it back"
    else:
        yield f"{what} would change; --apply does it" if rows else "nothing would change"


def _around(text: str, span: tuple[int, int]) -> str:
    start, end = span
    before = text[max(0, start - 30) : start]
    after = text[end : end + 30]
    left, right = "…" if start > 30 else "", "…" if end + 30 < len(text) else ""
    return f"{left}{before}⟦{short(text[start:end])}⟧{after}{right}".replace("\n", "↵")
