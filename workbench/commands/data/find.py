"""`workbench data` commands over all rows: search, filter, frequency, sort."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.commands.data.base import File, app, known_kind, opened, said
from workbench.output import JsonOption, WorkspaceOption, emit, say, table

if TYPE_CHECKING:
    from engine.data.background.events import Hits, Table
    from engine.data.dataset import Dataset
    from engine.data.filter import Field, Filter
    from engine.data.find import Pattern
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

PROBED = 10_000
"""So many rows are looked at before a path is said to lead nowhere."""
_COLUMNS = ("row", "shape", "turns", "what it says")
_WIDTH = 80


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
        total, rows = collected(search(document, wanted), keep=not count)
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
    from engine.data.filter.language import walk

    with opened(file, workspace) as (document, cat):
        wanted = parsed(cat, document, expression)
        total, rows = collected(fitting(cat, document, wanted, model), keep=not count)
        missing = [] if total else missing_keys(document, [t.field for t in walk(wanted.node)])
        result: dict[str, object] = {
            "path": str(document.path),
            "expression": expression,
            "count": total,
            "missing": missing,
        }
        if not count:
            result["rows"] = rows.tolist()
        lines = [f"{total:,}"] if count else _row_lines(document, rows, limit)
        emit(result, json, chain(lines, missing_lines(document, missing)))


def parsed(cat: Catalogue, document: Dataset, expression: str) -> Filter:
    """An expression that is understood and names only kinds of findings that there are."""
    from engine.data.filter import parse
    from engine.data.filter.language import walk

    with _pointing():
        wanted = parse(expression)
    for test in walk(wanted.node):
        _known_field(cat, document, test.field)
        if test.field.name == "finding" and test.operator in ("=", "!=", "in"):
            for kind in map(str, test.values):
                known_kind(cat, document.dataset_id, kind, f"filter: finding {kind}")
    return wanted


def _known_field(cat: Catalogue, document: Dataset, asked: Field) -> None:
    if asked.name.startswith("finding:"):
        kind = asked.name.removeprefix("finding:")
        known_kind(cat, document.dataset_id, kind, asked.name)


def fitting(cat: Catalogue, document: Dataset, wanted: Filter, model: str) -> Iterator[Hits]:
    from engine.data.filter import Context, filter_rows

    yield from filter_rows(document, wanted, Context.of(cat, document, wanted.needs, model))


def missing_keys(document: Dataset, fields: Iterable[Field]) -> list[str]:
    """The paths among these fields that lead nowhere in each of the first `PROBED` rows."""
    from engine.data.filter import Context, looks

    asked = {f.name.lstrip("."): f for f in fields if f.kind == "path" or f.name[:4] == "len("}
    if not asked:
        return []
    for look, _ in islice(looks(document, Context()), PROBED):
        asked = {name: field for name, field in asked.items() if not field.values(look)}
        if not asked:
            break
    return list(asked)


def missing_lines(document: Dataset, missing: Sequence[str]) -> Iterator[str]:
    who = "no row has" if document.count <= PROBED else f"none of the first {PROBED:,} rows has"
    yield from (f"{who} `{name}`" for name in missing)


@contextmanager
def _pointing() -> Iterator[None]:
    """Show on a terminal where in an expression something is wrong, before the error itself."""
    from engine.data.filter import FilterError

    try:
        yield
    except FilterError as error:
        if sys.stderr.isatty():
            sys.stderr.write(error.pointed() + "\n")
        raise


def _row_lines(document: Dataset, rows: Sequence[int], limit: int) -> Iterator[str]:
    found = [_cells(document, number) for number in rows[:limit]]
    if found:
        yield from table(_COLUMNS, found)
    yield _summary(len(rows), document, min(limit, len(rows)))


def _cells(document: Dataset, number: int) -> tuple[object, ...]:
    row = document.row(number)
    return number, row.shape, len(row.turns), said(row, _WIDTH)


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
        _known_field(cat, document, asked)
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
    rows = [(each.count, f"{each.share:.1%}", short(each.value)) for each in found.values]
    if rows:
        yield from table(("rows", "share", "value"), rows)
    about = "" if found.exact else "at least "
    yield f"{about}{found.distinct:,} different values in {found.rows:,} rows"
    if not found.exact:
        yield f"too many values to remember all: a count may be too small by {found.lost:,}"


def short(text: str) -> str:
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
    from engine.data.filter import Context, Look, field, see
    from engine.data.find.frequency import values_of
    from engine.data.find.order import order

    asked = field(key)
    with opened(file, workspace) as (document, cat):
        _known_field(cat, document, asked)
        context = Context.of(cat, document, asked.needs, model)
        _, rows = collected(order(document, asked, reverse, context))
        missing = missing_keys(document, [asked])
        look, first = Look(context), []
        for number in rows[:limit]:
            see(look, number, document.raw(number))
            first.append({"row": number, "value": next(iter(values_of(asked, look)), None)})
        result = {
            "path": str(document.path),
            "key": key,
            "reverse": reverse,
            "missing": missing,
            "rows": rows.tolist(),
            "first": first,
        }
        lines = _sorted_lines(document, key, first, len(rows))
        emit(result, json, chain(lines, missing_lines(document, missing)))


def _sorted_lines(
    document: Dataset, key: str, first: Sequence[Mapping[str, Any]], total: int
) -> Iterator[str]:
    rows = []
    for each in first:
        cells = dict(zip(_COLUMNS, _cells(document, each["row"]), strict=True))
        value = each["value"]
        if isinstance(value, bool | str):
            value = short(value) if isinstance(value, str) else "yes" if value else None
        rows.append(({"row": each["row"], key: value} | cells).values())
    if rows:
        header = dict.fromkeys(("row", key, *_COLUMNS))
        yield from table(list(header), [list(cells) for cells in rows])
    yield f"{total:,} rows" + (f"; the first {len(rows):,} are shown" if len(rows) < total else "")


def collected(found: Iterable[Hits], *, keep: bool = True) -> tuple[int, array[int]]:
    """How many rows were found, and which, where they are kept."""
    total, rows = 0, array("Q")
    for hits in found:
        total += len(hits.rows)
        if keep:
            rows.extend(hits.rows)
    return total, rows
