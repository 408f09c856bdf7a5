"""`workbench data split`: which rows train, which evaluate, and which are kept for the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.data.dataset import Dataset
    from engine.data.split.assign import Part
    from engine.data.split.parts import Written
    from store.splits import Split


def _share(name: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}", metavar="SHARE", min=0.0, max=1.0, help=what, show_default=False
    )
    return option


@app.command()
def split(
    file: File,
    train: Annotated[float | None, _share("train", "Share of rows to train on.")] = None,
    evaluate: Annotated[float | None, _share("eval", "Share that evaluates the training.")] = None,
    test: Annotated[float | None, _share("test", "Share that is never trained on.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="S", help="Decides which rows those are.")
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by",
            metavar="FIELD",
            help="Rows with the same value stay together, as `source`; `conversation`: the same "
            "system prompt and first question; '': no groups. May be repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write train.jsonl, eval.jsonl, test.jsonl."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files in --out.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Drop the recorded split.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Record how rows are split by seed and hash, or show it; a row keeps its part.

    Shares that are left out are what is left over; without any option the recorded split is
    shown. Training follows it.
    """
    from engine.data.split import parts
    from store import splits

    shares = (train, evaluate, test)
    with opened(file, workspace) as (document, cat):
        if forget:
            gone = splits.forget(cat, document.dataset_id)
            words = "the split is forgotten" if gone else "no split was recorded"
            emit({"path": str(document.path), "recorded": False, "forgotten": gone}, json, words)
            return
        current = parts.recorded(cat, document)
        if shares != (None, None, None) or seed is not None or group_by is not None:
            rule = parts.wanted(current, shares, seed, _fields(group_by))
            current = parts.record(cat, document, rule)
        if current is None and out is not None:
            raise parts.missing(document.path)
        if current is None:
            words = (
                "no split is recorded: training holds out the share `test_size` of its recipe.\n"
                "Record one: workbench data split FILE --train 0.8 --eval 0.1 --test 0.1"
            )
            emit({"path": str(document.path), "recorded": False}, json, words)
            return
        document.grow()
        files = parts.write_parts(cat, document, current, out, force=force) if out else {}
        emit(_result(document, current, files), json, _lines(document, current, files))


def _fields(group_by: list[str] | None) -> tuple[str, ...] | None:
    if group_by is None:
        return None
    names = [name.strip() for text in group_by for name in text.split(",")]
    return tuple(name for name in names if name)


def _result(document: Dataset, split: Split, files: Mapping[Part, Written]) -> dict[str, object]:
    import msgspec

    from engine.data.split.assign import PARTS

    good = max(split.counts["rows"] - split.counts["none"], 1)
    return {
        "path": str(document.path),
        "recorded": True,
        "train": split.rule.train,
        "eval": split.rule.eval,
        "test": split.rule.test,
        "seed": split.rule.seed,
        "group_by": list(split.rule.group_by),
        "counts": {name: split.counts[name] for name in (*PARTS, "none", "rows")},
        "shares": {part: split.counts[part] / good for part in PARTS},
        "warnings": list(split.warnings),
        "rows_now": document.count,
        "who": split.who,
        "created": split.created,
        "files": {part: msgspec.to_builtins(file) for part, file in files.items()},
    }


def _lines(document: Dataset, split: Split, files: Mapping[Part, Written]) -> list[str]:
    from engine.data.split.assign import PARTS, described, share_of

    good = max(split.counts["rows"] - split.counts["none"], 1)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(split.created))
    cells = [
        (
            part,
            split.counts[part],
            f"{split.counts[part] / good:.2%}",
            f"{share_of(split.rule, part):.2%}",
            files[part].path if part in files else "",
        )
        for part in PARTS
    ]
    lines = [
        str(document.path),
        f"split: {described(split.rule)}",
        f"recorded by {split.who} on {when}",
        *table(("part", "rows", "share", "asked for", ""), cells),
        *(f"! {warning}" for warning in split.warnings),
    ]
    if document.count != split.counts["rows"]:
        lines.append(
            f"! counted when there were {split.counts['rows']:,} rows; there are "
            f"{document.count:,} now, of which those that stayed keep their part"
        )
    return lines
