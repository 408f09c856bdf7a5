"""What every `workbench data` command shares: the group, FILE, --row, and an open document.

Rows are line numbers from 1 of the document: the file with the unsaved edits on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.data.dataset import Choice, Dataset
    from engine.data.rows import Row, Turn
    from store.catalogue import Catalogue

app = typer.Typer(
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
