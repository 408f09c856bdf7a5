"""`workbench data` commands about the shape of rows: another one for all, turns of a single one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.data.convert.files import Report
    from engine.data.row.turns import TurnView

SHOWN = 20
"""Rows that are listed for people; programs get up to a thousand."""


@app.command()
def convert(
    file: File,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="SHAPE",
            help="messages, sharegpt, alpaca, prompt_completion, prompt_completion_messages, "
            "text, preference, openai_preference or kto.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A new JSONL file.", show_default=False),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Change the rows here, as one step of undo.")
    ] = False,
    leave_out: Annotated[
        bool,
        typer.Option(
            "--leave-out", help="Leave out rows that cannot be converted (in place: as they are)."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over FILE of --out.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Give all rows another shape; what a row loses by that is said.

    Rows that cannot be read or have no place in the new shape stop it before anything is written.
    """
    from engine.data.convert.files import convert_dataset, convert_in_place
    from engine.data.convert.rows import TARGETS
    from store.errors import BadInput

    if to not in TARGETS:
        raise BadInput(f"--to {to}: there is no such shape", f"expected {', '.join(TARGETS)}")
    if (out is None) != in_place:
        raise BadInput(
            "expected either --out FILE or --in-place",
            "name a new file, or change the rows here as one step of undo",
        )
    with opened(file, workspace) as (document, _):
        if out is None:
            report = convert_in_place(document, to, leave_out=leave_out)
        else:
            report = convert_dataset(document, to, out, leave_out=leave_out, force=force)
        emit(_for_programs(document.title, report), json, _for_people(report))


def _for_programs(path: str, report: Report) -> dict[str, object]:
    return {
        "path": path,
        "to": report.to,
        "out": report.out,
        "rows": report.rows,
        "written": report.written,
        "unchanged": report.unchanged,
        "left_out": report.left_out,
        "lost": report.lost,
        "losses": [{"line": loss.line, "lost": list(loss.lost)} for loss in report.losses],
        "omitted": [{"line": item.line, "why": item.why} for item in report.omitted],
    }


def _for_people(report: Report) -> Iterator[str]:
    where = report.out or "in place (undo with `data undo`, write with `data save`)"
    done = report.rows - report.left_out
    share = f"{done:,} of {report.rows:,}" if report.left_out else f"{done:,}"
    yield f"{share} rows to {report.to}: {where}"
    if report.written != done:
        yield f"{report.written:,} rows written"
    yield f"{report.unchanged:,} were so already"
    if report.left_out:
        yield f"{report.left_out:,} left out"
        yield from (f"  {item.why}" for item in report.omitted[:SHOWN])
        yield from _rest(report.left_out)
    if not report.lost:
        yield "nothing was lost"
        return
    yield "lost:"
    yield from table(("what", "rows"), [(what, f"{n:,}") for what, n in report.lost.items()])
    for loss in report.losses[:SHOWN]:
        yield f"  line {loss.line}: {', '.join(loss.lost)}"
    yield from _rest(len(report.losses))


def _rest(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  and {count - SHOWN:,} more (all with --json)"


ACTIONS = "list, set-text, set-role, add, delete, move, split, merge, train"


@app.command()
def turn(
    file: File,
    row: RowOption,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {ACTIONS}.")] = "list",
    index: Annotated[
        int, typer.Option("--turn", metavar="I", help="Which turn, from 0.", min=0)
    ] = 0,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="For set-role, add and split.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help="For set-text and add; between, for merge."),
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="J", help="For move: where it goes, from 0.")
    ] = None,
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="C", help="For split: the character of the second turn."),
    ] = None,
    train: Annotated[
        bool | None, typer.Option("--on/--off", help="For train; the other way round without.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Edit a row as turns, in its own dialect; every other byte of the row stays.

    `add` puts the new turn before turn I. One step of undo each; `data save` writes the file.
    """
    from engine.data.journal.changes import Replace
    from engine.data.row import turns as edits
    from store.errors import BadInput

    given = _Given(index, role, text, to, at, train)
    with opened(file, workspace) as (document, _):
        raw = document.raw(row)
        try:
            new = _edited(raw, action, given)
            views = edits.turns(new)
        except BadInput as wrong:
            message = f"{document.path}: line {row}: {wrong.message}"
            raise BadInput(message, wrong.hint) from None
        if new != raw:
            document.change([Replace(row, new)], f"{action} turn {index}")
        result = {
            "row": row,
            "changed": new != raw,
            "raw": new.decode("utf-8", "replace"),
            "turns": [_told(view) for view in views],
            "unsaved": document.unsaved,
        }
        emit(result, json, _turn_lines(views, new != raw))


@dataclass(frozen=True)
class _Given:
    """The options of one edit."""

    index: int
    role: str | None
    text: str | None
    to: int | None
    at: int | None
    train: bool | None


def _edited(raw: bytes, action: str, given: _Given) -> bytes:
    """The row after one action."""
    from engine.data.row import turns as edits
    from store.errors import BadInput

    index, role, text = given.index, given.role, given.text
    match action:
        case "list":
            return raw
        case "set-text" if text is not None:
            return edits.set_text(raw, index, text)
        case "set-role" if role is not None:
            return edits.set_role(raw, index, role)
        case "add" if role is not None:
            return edits.add(raw, index, role, text or "")
        case "delete":
            return edits.delete(raw, index)
        case "move" if given.to is not None:
            return edits.move(raw, index, given.to)
        case "split" if given.at is not None:
            return edits.split(raw, index, given.at, role)
        case "merge":
            return edits.merge(raw, index, text)
        case "train" if given.train is None:
            return edits.toggle_train(raw, index)
        case "train":
            return edits.set_train(raw, index, bool(given.train))
    needed = {"set-text": "--text", "set-role": "--role", "add": "--role"}
    needed |= {"move": "--to", "split": "--at"}
    if action in needed:
        raise BadInput(f"{action}: {needed[action]} is missing", f"add {needed[action]}")
    raise BadInput(f"there is no action `{action}`", f"expected one of {ACTIONS}")


def _told(view: TurnView) -> dict[str, object]:
    return {
        "turn": view.index,
        "role": view.role,
        "name": view.name,
        "text": view.text,
        "train": view.train,
        "part": view.part,
        "flags": [list(flag) for flag in view.flags],
    }


def _turn_lines(views: list[TurnView], changed: bool) -> Iterator[str]:
    yield "changed, not saved" if changed else "as it was"
    for view in views:
        part = f"  {view.part}" if any(v.part != "prompt" for v in views) else ""
        train = "" if view.train is None else f"  train: {str(view.train).lower()}"
        yield f"{view.index}  {view.name}{part}{train}"
        yield "   " + view.text.replace("\n", "\n   ")
