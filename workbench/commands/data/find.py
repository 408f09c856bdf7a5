"""`workbench data` commands over all rows: search, filter, frequency, sort, replace."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit, say, table

if TYPE_CHECKING:
    from engine.data.background.events import Hits, Table
    from engine.data.dataset import Dataset
    from engine.data.find import Pattern
    from engine.data.find.replace import Plan, Skipped
    from store.catalogue import Catalogue

RegexOption = Annotated[
    bool, typer.Option("--regex", "-e", help="PATTERN is a regular expression (RE2).")
]
CaseOption = Annotated[
    bool, typer.Option("--ignore-case", "-i", help="Capitals and small letters are the same.")
]
SmartOption = Annotated[
    bool, typer.Option("--smart-case", "-S", help="Ignore case unless PATTERN has a capital.")
]
CountOption = Annotated[bool, typer.Option("--count", "-c", help="Only say how many rows.")]
LimitOption = Annotated[
    int, typer.Option("--limit", min=0, metavar="N", help="Show at most N rows.")
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="REF", help="Whose tokens are counted.")
]
Expression = Annotated[
    str, typer.Argument(metavar="EXPR", help="As 'turns > 4 and not system'.", show_default=False)
]


def _language(asked: bool) -> None:
    if asked:
        from engine.data.filter import help_lines

        for line in help_lines():
            say(line)
        raise typer.Exit


@app.command()
def search(
    file: File,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", show_default=False)],
    regex: RegexOption = False,
    ignore_case: CaseOption = False,
    smart_case: SmartOption = False,
    count: CountOption = False,
    limit: LimitOption = 20,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Find the rows that have PATTERN in their line, in any spelling JSON allows."""
    from engine.data.find import Pattern, search

    wanted = Pattern.compile(pattern, regex=regex, case=_case(ignore_case, smart_case))
    with opened(file, workspace) as (document, _):
        total, rows = _collected(search(document, wanted), keep=not count)
        result: dict[str, object] = {
            "path": str(document.path),
            "pattern": pattern,
            "regex": regex,
            "ignore_case": wanted.ignore_case,
            "count": total,
        }
        if not count:
            result["rows"] = rows.tolist()
            result["hits"] = [_hit(document, wanted, row) for row in rows[:limit]]
        emit(result, json, [f"{total:,}"] if count else _hit_lines(document, wanted, rows, limit))


def _case(ignore: bool, smart: bool) -> bool | None:
    return False if ignore else None if smart else True


def _hit(document: Dataset, pattern: Pattern, row: int) -> dict[str, object]:
    from engine.data.find.snippet import snippet

    found = snippet(document.raw(row), pattern)
    if found is None:
        return {"row": row, "before": "", "match": "", "after": "", "matches": 0}
    return {
        "row": row,
        "before": found.before,
        "match": found.match,
        "after": found.after,
        "matches": found.matches,
    }


def _hit_lines(
    document: Dataset, pattern: Pattern, rows: Sequence[int], limit: int
) -> Iterator[str]:
    from engine.data.find.snippet import snippet

    width = len(f"{rows[min(limit, len(rows)) - 1]:,}") if rows and limit else 1
    for row in rows[:limit]:
        found = snippet(document.raw(row), pattern)
        yield f"{row:>{width},}  {found.marked() if found else ''}".rstrip()
    yield _summary(len(rows), document, min(limit, len(rows)))


def _summary(found: int, document: Dataset, shown: int) -> str:
    rest = f"; the first {shown:,} are shown" if shown < found else ""
    return f"{found:,} of {document.count:,} rows{rest}"


@app.command("filter")
def filter_(
    file: File,
    expression: Expression,
    count: CountOption = False,
    model: ModelOption = "starter",
    limit: LimitOption = 20,
    _language: Annotated[
        bool,
        typer.Option(
            "--language",
            is_eager=True,
            expose_value=False,
            callback=_language,
            help="Show all fields and operators.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List the rows that fit an expression; --language shows what can be asked."""
    with opened(file, workspace) as (document, cat):
        total, rows = _collected(_fitting(cat, document, expression, model), keep=not count)
        result: dict[str, object] = {
            "path": str(document.path),
            "expression": expression,
            "count": total,
        }
        if not count:
            result["rows"] = rows.tolist()
        emit(result, json, [f"{total:,}"] if count else _row_lines(document, rows, limit))


def _fitting(cat: Catalogue, document: Dataset, expression: str, model: str) -> Iterator[Hits]:
    from engine.data.filter import Context, filter_rows, parse

    with _pointing():
        wanted = parse(expression)
    yield from filter_rows(document, wanted, Context.of(cat, document, wanted.needs, model))


@contextmanager
def _pointing() -> Iterator[None]:
    """Show where in an expression something is wrong, before the error itself."""
    from engine.data.filter import FilterError

    try:
        yield
    except FilterError as error:
        sys.stderr.write(error.pointed() + "\n")
        raise


def _row_lines(
    document: Dataset, rows: Sequence[int], limit: int, *, all_rows: bool = False
) -> Iterator[str]:
    found = []
    for number in rows[:limit]:
        row = document.row(number)
        words = row.error or row.text or next((t.text for t in row.turns if t.text), "")
        first = " ".join(words[:300].split())
        found.append((number, row.shape, len(row.turns), first[:80]))
    if found:
        yield from table(("row", "shape", "turns", "first words"), found)
    if all_rows:
        yield f"{len(rows):,} rows; the first {min(limit, len(rows)):,} are shown"
    else:
        yield _summary(len(rows), document, min(limit, len(rows)))


@app.command()
def frequency(
    file: File,
    field: Annotated[
        str,
        typer.Argument(
            metavar="FIELD", help="As messages.*.role, shape, turns or source.", show_default=False
        ),
    ],
    model: ModelOption = "starter",
    limit: LimitOption = 20,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Count the values of a field, the most frequent first."""
    from engine.data.filter import Context
    from engine.data.filter import field as field_of
    from engine.data.find.frequency import frequency

    asked = field_of(field)
    with opened(file, workspace) as (document, cat):
        context = Context.of(cat, document, asked.needs, model)
        *_, found = frequency(document, asked, limit, context)
        result = {
            "path": str(document.path),
            "field": field,
            "rows": found.rows,
            "distinct": found.distinct,
            "exact": found.exact,
            "lost": found.lost,
            "values": [
                {"value": each.value, "count": each.count, "share": each.share}
                for each in found.values
            ],
        }
        emit(result, json, _frequency_lines(found))


def _frequency_lines(found: Table) -> Iterator[str]:
    rows = [(each.count, f"{each.share:.1%}", _short(each.value)) for each in found.values]
    if rows:
        yield from table(("rows", "share", "value"), rows)
    about = "" if found.exact else "at least "
    yield f"{about}{found.distinct:,} different values in {found.rows:,} rows"
    if not found.exact:
        yield f"too many values to remember all: a count may be too small by {found.lost:,}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


@app.command()
def sort(
    file: File,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="As bytes, tokens, turns, chars:assistant, finding:duplicate or source.",
            show_default=False,
        ),
    ],
    reverse: Annotated[
        bool, typer.Option("--reverse", "-r", help="The largest, or last, first.")
    ] = False,
    model: ModelOption = "starter",
    limit: LimitOption = 20,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List all rows in an order; the file stays as it is."""
    from engine.data.filter import Context, field
    from engine.data.find.order import order

    asked = field(key)
    with opened(file, workspace) as (document, cat):
        context = Context.of(cat, document, asked.needs, model)
        _, rows = _collected(order(document, asked, reverse, context))
        result = {
            "path": str(document.path),
            "key": key,
            "reverse": reverse,
            "rows": rows.tolist(),
        }
        emit(result, json, _row_lines(document, rows, limit, all_rows=True))


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
    from engine.data.find import Pattern
    from engine.data.find.replace import plan

    wanted = Pattern.compile(pattern, regex=regex, case=not ignore_case)
    with opened(file, workspace) as (document, cat):
        only = _chosen(cat, document, rows, where, model)
        skipped: list[Skipped] = []
        shown: list[Plan] = []
        changes, places, total = [], 0, 0
        for planned in plan(document, wanted, replacement, only, field, skipped=skipped):
            total, places = total + 1, places + planned.count
            if len(shown) < limit:
                shown.append(planned)
            if apply:
                changes.append(planned.change)
        if changes:
            document.change(changes, f"replace {pattern[:40]!r} by {replacement[:40]!r}")
        result = {
            "path": str(document.path),
            "rows_changed": total,
            "places": places,
            "applied": apply,
            "changes": [_planned(each) for each in shown],
            "skipped": [{"row": each.row, "why": each.why} for each in skipped],
            "unsaved": document.unsaved,
        }
        emit(result, json, _plan_lines(shown, skipped, total, places, apply))


def _chosen(
    cat: Catalogue, document: Dataset, rows: list[str] | None, where: str | None, model: str
) -> set[int] | None:
    """The rows that are named and fit; None for all rows."""
    from workbench.commands.data.edit import row_numbers

    only = set(row_numbers(rows, document)) if rows else None
    if where is not None:
        fitting = set(_collected(_fitting(cat, document, where, model))[1])
        only = fitting if only is None else only & fitting
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
    return f"{left}{before}⟦{_short(text[start:end])}⟧{after}{right}".replace("\n", "↵")


def _collected(found: Iterable[Hits], *, keep: bool = True) -> tuple[int, array[int]]:
    """How many rows were found, and which, where they are kept."""
    total, rows = 0, array("Q")
    for hits in found:
        total += len(hits.rows)
        if keep:
            rows.extend(hits.rows)
    return total, rows
