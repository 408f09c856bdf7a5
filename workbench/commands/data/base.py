"""What every `workbench data` command shares: the group, FILE, --row, and an open document.

Rows are line numbers from 1 of the document: the file with the unsaved edits on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from engine.data.dataset import Choice, Dataset
    from engine.data.rows import Row, Turn
    from store.catalogue import Catalogue


class _WholeLines(TyperGroup):
    """A group whose help says what each command does in full; the usual one breaks off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        lines = []
        for name in self.list_commands(ctx):
            words = (self.commands[name].help or "").split("\n\n")[0]
            lines.append((name, " ".join(words.split())))
        with formatter.section("Commands"):
            formatter.write_dl(lines)


app = typer.Typer(
    cls=_WholeLines,
    help="Look at a dataset, edit it with undo, check it, and save it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A dataset: JSONL, a JSON array, CSV or Parquet, plain or packed (.gz, .zst); or "
        "several as one: 'parts/*.jsonl' in quotes, or a.jsonl,b.jsonl.",
        show_default=False,
    ),
]
RowOption = Annotated[
    int, typer.Option("--row", metavar="N", help="Line number, from 1.", show_default=False)
]


@contextmanager
def opened(
    file: Path, workspace: Path | None, *, choice: Choice = "ask"
) -> Iterator[tuple[Dataset, Catalogue]]:
    """The dataset that FILE names and its catalogue; both are closed afterwards."""
    from engine.data.dataset import open_dataset
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with (
        Catalogue.open(find_workspace(workspace)) as cat,
        open_dataset(cat, file, choice=choice) as document,
    ):
        yield document, cat


def described(document: Dataset, row: Row) -> dict[str, object]:
    """A row for programs."""
    return {
        "row": row.number,
        "shape": row.shape,
        "dialect": row.dialect,
        "purpose": row.purpose,
        "turns": [_turn(turn) for turn in row.turns],
        "prompt_turns": row.prompt_turns,
        "rejected": [_turn(turn) for turn in row.rejected],
        "label": row.label,
        "tools": list(row.tools),
        "text": row.text,
        "segments": [list(segment) for segment in row.segments],
        "ids": len(row.ids),
        "raw": row.raw.decode("utf-8", "replace"),
        "error": row.error,
        "edited": document.edited(row.number),
        "unsaved": document.unsaved,
    }


def _turn(turn: Turn) -> dict[str, object]:
    found: dict[str, object] = {"role": turn.role, "text": turn.text, "train": turn.train}
    if turn.flags:
        found["flags"] = [list(flag) for flag in turn.flags]
    return found | dict(turn.extra)


def said(row: Row, width: int) -> str:
    """What a row says, or what is wrong with it, on one line of so many characters."""
    words = row.error or row.text or " · ".join(f"{turn.role}: {turn.text}" for turn in row.turns)
    words = words or row.raw[:400].decode("utf-8", "replace")
    line = " ".join(words[: 8 * width].split())
    return line if len(line) <= width else line[: width - 1] + "…"


def known_kind(cat: Catalogue, dataset_id: int, kind: str, where: str) -> None:
    """Make sure that there is such a kind of finding.

    Raises:
        BadInput: there is none; `where` is how it was named.
    """
    from engine.data.findings.kinds import KINDS
    from store import findings as kept
    from store.errors import BadInput

    known = {**KINDS, **dict.fromkeys(kept.counts(cat, dataset_id))}
    if kind not in known:
        raise BadInput(f"{where}: not a kind of finding", f"one of {', '.join(known)}")


def as_text(row: Row, edited: bool) -> Iterator[str]:
    """A row for people."""
    yield f"row {row.number}  {row.dialect or row.shape}{'  (edited, not saved)' if edited else ''}"
    if row.error is not None:
        yield f"error: {row.error}"
        yield row.raw[:2000].decode("utf-8", "replace")
    if row.label is not None:
        yield f"label: {'a good answer' if row.label else 'a bad answer'}"
    for turn in row.turns:
        yield from _turn_lines(turn, "")
    for turn in row.rejected:
        yield from _turn_lines(turn, "  (rejected)")
    for text, trained in row.segments:
        yield f"{'trained' if trained else 'not trained'}: {text}"
    if row.ids:
        trained_ids = sum(label >= 0 for label in row.labels)
        yield f"{len(row.ids):,} token ids, {trained_ids:,} of them trained"
    if row.text:
        yield row.text


def _turn_lines(turn: Turn, note: str) -> Iterator[str]:
    train = "" if turn.train is None else f"  (train: {str(turn.train).lower()})"
    yield ""
    yield turn.role + note + train
    yield "  " + turn.text.replace("\n", "\n  ")
    for key, value in turn.extra.items():
        yield f"  {key}: {value}"
