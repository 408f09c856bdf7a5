"""`workbench data` commands that look through a model's eyes: preview, preflight, findings, fix."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, known_kind, opened
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from pathlib import Path

    from engine.data.findings.fix import Planned
    from engine.data.findings.preflight import Histogram, Preflight
    from engine.data.findings.recorded import Shown
    from engine.render.renderer import Rendered, Renderer

ModelOption = Annotated[
    str, typer.Option("--model", metavar="REF", help="Model whose template and tokens.")
]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="Only this kind, as `cut`.", show_default=False),
]
_MOST = 100_000
_SHOWN = 20


@app.command()
def preview(
    file: File,
    row: RowOption,
    model: ModelOption = "starter",
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, metavar="N", help="Cut after N tokens.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="One token a line, with its id.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the tokens and the loss mask of one row, exactly as training sees them."""
    from engine.data.findings.checking import renderer_of
    from store.errors import BadInput

    with opened(file, workspace) as (document, cat):
        renderer, label, _ = renderer_of(cat, model)
        found = document.row(row)
        try:
            rendered = renderer.render_row(found, max_length=max_length)
        except BadInput as error:
            raise BadInput(f"{document.path}: {error.message}", error.hint) from None
        result = {
            "row": row,
            "model": label,
            "ids": rendered.ids,
            "mask": rendered.mask,
            "tokens": rendered.tokens,
            "trained_tokens": rendered.trained_tokens,
            "cut_at": rendered.cut_at,
            "cut": rendered.cut,
            "turn_end_trained": rendered.turn_end_trained,
            "bos": rendered.bos,
            "spans": [
                {"role": s.role, "start": s.start, "end": s.end, "trained": s.trained}
                for s in rendered.spans
            ],
            "text": rendered.text,
            "notes": list(rendered.notes),
        }
        emit(result, json, _token_lines(rendered) if ids else _marked(rendered, renderer))


@app.command()
def preflight(
    file: File,
    model: ModelOption = "starter",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="Recipe with length and batch size.")
    ] = "default",
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, metavar="N", help="Tokens of a row that are kept."),
    ] = None,
    packing: Annotated[
        bool, typer.Option("--packing", help="Say what an epoch costs packed to full length.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a row would not be trained on.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Findings listed with --json.")
    ] = _MOST,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Look at the whole dataset as training would: what is cut, dropped, masked, doubled, odd.

    The findings are kept with the dataset: see them with `data findings`.
    """
    from engine.data.findings.checking import prepare
    from engine.data.findings.preflight import Preflight
    from engine.data.findings.recorded import run_preflight

    with opened(file, workspace) as (data, cat):
        made = prepare(cat, model, recipe, max_length)
        data.grow()
        looking = run_preflight(
            cat,
            data,
            made.renderer,
            made.max_length,
            model=model,
            batch_size=made.batch_size,
            keep=max(limit, _SHOWN),
            method=made.method,
        )
        report: Preflight | None = None
        for seen in looking:
            if isinstance(seen, Preflight):
                report = seen
            elif sys.stderr.isatty() and not json:
                sys.stderr.write(f"\r{seen.share:4.0%}  {seen.rows:,} rows\x1b[K")
        if sys.stderr.isatty() and not json:
            sys.stderr.write("\r\x1b[K")
        assert report is not None
        result = {
            "path": str(data.path),
            "model": made.label,
            "recipe": recipe,
            "batch_size": made.batch_size,
            **_numbers(report, packing, limit),
        }
        emit(result, json, _report_lines(data.path, made.label, report, packing))
        if strict and report.dropped:
            raise typer.Exit(1)


def _numbers(report: Preflight, packing: bool, limit: int) -> dict[str, object]:
    """A report for programs, with its first findings."""
    from engine.data.findings.recorded import as_dict

    return {
        "packing": packing,
        **as_dict(report),
        "steps": report.packed_steps if packing else report.epoch_steps,
        "findings_total": sum(report.counts.values()),
        "findings": [
            {"line": f.line, "kind": f.kind, "detail": f.detail, "group": f.group or None}
            for f in report.findings[:limit]
        ],
    }


@app.command()
def findings(
    file: File,
    kind: KindOption = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Only of this check.", show_default=False),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="ID", help="Only those that belong together."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="How many are listed.")
    ] = _MOST,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List what is known to be odd, row by row, as the rows are numbered now."""
    from engine.data.findings.recorded import shown
    from store import findings as kept

    with opened(file, workspace) as (data, cat):
        if kind is not None:
            known_kind(cat, data.dataset_id, kind, f"--kind {kind}")
        data.grow()
        listed = list(shown(cat, data, kind=kind, source=source, group=group, limit=limit))
        sets = kept.sets(cat, data.dataset_id)
        counts = kept.counts(cat, data.dataset_id, source)
        if sum(counts.values()) <= _MOST:
            # As the rows are now: what was found on rows that are gone does not count.
            counts = dict(Counter(item.found.kind for item in shown(cat, data, source=source)))
        result = {
            "path": str(data.path),
            "counts": counts,
            "sets": [
                {"source": s.source, "created": s.created, "counts": s.counts, "summary": s.summary}
                for s in sets
            ],
            "findings": [
                {
                    "line": item.line,
                    "kind": item.found.kind,
                    "level": item.found.level,
                    "detail": item.found.detail,
                    "group": item.found.group or None,
                    "source": item.found.source,
                    "edited_since": item.touched,
                }
                for item in listed
            ],
        }
        more = len(listed) == limit
        emit(result, json, _finding_lines(listed, checked=bool(sets), more=more))


@app.command()
def fix(
    file: File,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="Kind of finding, as `duplicate`.")
    ],
    row: Annotated[
        list[int] | None,
        typer.Option("--row", metavar="N", help="Only this row; may be repeated."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="REF", help="Model whose special tokens count."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Repair rows with a finding, all in one undo step. Shows every change first."""
    from engine.data.findings import fix as fixing
    from engine.data.findings.checking import renderer_of
    from engine.data.findings.recorded import shown
    from store import findings as kept

    with opened(file, workspace) as (data, cat):
        known_kind(cat, data.dataset_id, kind, f"--kind {kind}")
        fixing.check(kind)
        data.grow()
        renderer = None
        if fixing.needs_model(kind):
            used = [s.summary.get("model") for s in kept.sets(cat, data.dataset_id)]
            last = next((name for name in used if isinstance(name, str)), "starter")
            renderer, _, _ = renderer_of(cat, model or last)
        only = frozenset(row or ())
        for number in only:
            data.row(number)
        wanted = [item for item in shown(cat, data, kind=kind) if not only or item.line in only]
        planned = list(fixing.plan(data, wanted, renderer))
        changed = sum(item.change is not None for item in planned)
        if apply:
            fixing.apply(data, planned, f"fix {kind}")
        result = {
            "path": str(data.path),
            "kind": kind,
            "applied": apply,
            "rows": changed,
            "unsaved": data.unsaved,
            "changes": [
                {
                    "row": item.row,
                    "before": item.before.decode("utf-8", "replace"),
                    "after": None if item.after is None else item.after.decode("utf-8", "replace"),
                    "skipped": item.why_not or None,
                }
                for item in planned
            ],
        }
        where = f" in row {', '.join(map(str, sorted(only)))}" if only else ""
        emit(result, json, _fix_lines(kind + where, planned, changed, apply))


# Words


def _token_lines(rendered: Rendered) -> Iterator[str]:
    width = max((len(str(token)) for token in rendered.ids), default=1)
    for token, mask, text in zip(rendered.ids, rendered.mask, rendered.tokens, strict=True):
        yield f"{'▌' if mask else ' '} {token:>{width}}  {text!r}"
    yield f"{len(rendered.ids)} tokens, {rendered.trained_tokens} trained (▌), {rendered.cut} cut"
    yield from rendered.notes


def _marked(rendered: Rendered, renderer: Renderer) -> Iterator[str]:
    """The text with brackets round what is trained: readable without colour."""
    parts: list[str] = []
    start = 0
    for place in range(1, len(rendered.ids) + 1):
        if place == len(rendered.ids) or rendered.mask[place] != rendered.mask[start]:
            said = renderer.decode(rendered.ids[start:place], special=True)
            parts.append(f"⟦{said}⟧" if rendered.mask[start] else said)
            start = place
    yield "".join(parts).rstrip("\n")
    if rendered.cut:
        yield f"✂ {rendered.cut:,} tokens are cut here"
    ends = "trained" if rendered.turn_end_trained else "not trained"
    yield (
        f"{len(rendered.ids):,} tokens, {rendered.trained_tokens:,} trained ⟦so⟧; "
        f"end of turn {ends}; {rendered.bos} BOS"
    )
    yield from rendered.notes


def _report_lines(path: Path, label: str, report: Preflight, packing: bool) -> Iterator[str]:
    from engine.data.findings.kinds import KINDS

    share = report.trained_tokens / report.total_tokens if report.total_tokens else 0.0
    length = "no limit" if report.max_length is None else f"{report.max_length:,} tokens"
    yield f"{path}  for {label}, rows up to {length}"
    yield f"rows      {report.rows:,}: {report.fine:,} fine, {report.dropped:,} not trained on"
    yield (
        f"tokens    {report.total_tokens:,} an epoch, {report.trained_tokens:,} trained "
        f"({share:.0%}), {report.cut_tokens:,} cut; row median {report.median:,}, "
        f"longest {report.longest:,}"
    )
    if packing:
        yield (
            f"steps     {report.packed_steps:,} an epoch, {report.packed_sequences:,} packed "
            f"sequences {report.packing_efficiency:.1%} full"
        )
    else:
        yield f"steps     {report.epoch_steps:,} an epoch ({report.packed_steps:,} packed)"
    for role, found in report.histograms.items():
        yield f"{role[:9]:<9} {_bars(found)}"
    for kind, count in report.counts.items():
        sign = {"error": "✗", "warn": "!", "info": "·"}[KINDS[kind].level]
        yield f"{sign} {count:,} × {kind}: rows that {KINDS[kind].title}. {KINDS[kind].advice}"
        few = [found for found in report.findings if found.kind == kind][:3]
        yield from (f"    {found.text}" for found in few)
    if not report.counts:
        yield "✓ nothing odd was found"


def _bars(found: Histogram) -> str:
    """Counts as blocks, each with the number of tokens it begins at."""
    most = max(found.counts, default=0) or 1
    blocks = "▁▂▃▄▅▆▇█"
    bars = "".join(blocks[min(7, 8 * count // most)] if count else " " for count in found.counts)
    first = next((i for i, count in enumerate(found.counts) if count), 0)
    return f"{found.edges[first]:,} {bars[first:]} {found.edges[len(found.counts)] - 1:,} tokens"


def _finding_lines(listed: list[Shown], *, checked: bool, more: bool) -> Iterator[str]:
    cells = [
        (item.line, item.found.kind, item.found.detail + (" (edited since)" * item.touched))
        for item in listed
    ]
    if cells:
        yield from table(("line", "kind", "what"), cells)
        if more:
            yield f"the first {len(cells):,} are listed; --limit lists more"
    elif checked:
        yield "nothing odd is known"
    else:
        yield "not looked at yet: workbench data preflight FILE"


def _fix_lines(kind: str, planned: list[Planned], changed: int, applied: bool) -> Iterator[str]:
    for item in planned:
        if item.why_not:
            yield f"row {item.row}: left as it is: {item.why_not}"
        elif item.after is None:
            yield f"row {item.row}: deleted"
            yield f"  - {item.before.decode('utf-8', 'replace')[:400]}"
        elif item.change is not None:
            yield f"row {item.row}:"
            yield f"  - {item.before.decode('utf-8', 'replace')[:400]}"
            yield f"  + {item.after.decode('utf-8', 'replace')[:400]}"
    if not planned:
        yield f"no finding of kind {kind} is known: workbench data preflight FILE looks again"
    elif applied:
        yield f"changed: {changed:,}; undo takes all back at once, save writes the file"
    else:
        yield f"would change: {changed:,}; --apply does it" if changed else "nothing would change"
