"""`workbench data trainers`: what other trainers would do with a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.data.trainers import Summary, Verdict


@app.command()
def trainers(
    file: File,
    trainer: Annotated[
        list[str] | None,
        typer.Option(
            "--trainer",
            metavar="NAME",
            help="trl, axolotl, llama-factory, mlx or together; may be repeated. All without.",
        ),
    ] = None,
    row: Annotated[
        int | None, typer.Option("--row", metavar="N", help="Ask about one row only.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Say which rows TRL, Axolotl, LLaMA-Factory, mlx-lm and Together keep, drop, alter or refuse.

    Nothing is run or changed: these are the trainers' own rules. Where all are asked, what they
    say is kept with the dataset: see it with `data findings`.
    """
    import msgspec

    from engine.data.trainers import glance, survey, trainers_of
    from engine.data.trainers.record import run

    names = [one.name for one in trainers_of(trainer or [])]
    with opened(file, workspace) as (document, cat):
        document.grow()
        if row is not None:
            first = document.raw(1)
            verdicts = glance(row, document.raw(row), first)
            found = {name: verdicts[name] for name in names}
            result = {"path": str(document.path), "row": row, "verdicts": found}
            emit(msgspec.to_builtins(result), json, _row_lines(found))
            return
        work = survey(document, names) if trainer else run(cat, document)
        while True:
            try:
                next(work)
            except StopIteration as end:
                summaries: list[Summary] = end.value
                break
        result = {"path": str(document.path), "rows": document.count, "trainers": summaries}
        emit(msgspec.to_builtins(result), json, _lines(summaries))


def _row_lines(verdicts: dict[str, Verdict]) -> list[str]:
    cells = [(name, one.outcome, one.reason, one.remedy) for name, one in verdicts.items()]
    return table(("trainer", "row is", "why", "what to do"), cells)


def _lines(summaries: list[Summary]) -> list[str]:
    cells = [
        (
            one.title,
            *(one.counts[name] for name in ("keep", "altered", "drop", "error")),
            "stops before training" if one.stops else "trains",
        )
        for one in summaries
    ]
    lines = table(("trainer", "keep", "altered", "drop", "error", ""), cells)
    for one in summaries:
        if not (one.reasons or one.file):
            continue
        lines += ["", f"{one.title} ({one.source}; {one.assumes})"]
        for of_file in one.file:
            where = f"line {of_file.line}: " if of_file.line else ""
            remedy = f" → {of_file.remedy}" if of_file.remedy else ""
            lines.append(f"  file {of_file.outcome}: {where}{of_file.reason}{remedy}")
        for reason in one.reasons:
            shown = ", ".join(str(line) for line in reason.lines[:5])
            more = " …" if reason.count > 5 else ""
            lines.append(f"  {reason.count:,} {reason.outcome}: {reason.reason} → {reason.remedy}")
            lines.append(f"    lines {shown}{more}")
    return lines
