"""Rows from chats and votes into a dataset of the person's choice, as an edit of its document.

Knows how a new row takes the shape of those around it. Does not save: the edit is seen and undone
in the Data room like any other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.convert.rows import TARGETS, Target, convert
from engine.data.dataset import Dataset, Insert, open_dataset
from engine.data.rows import Row, parse_row
from engine.votes.rows import NewRow, of_vote
from store import votes
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.votes import Item


@dataclass(frozen=True, slots=True)
class Landed:
    """Where rows went: `count` from row `first` on; `known` votes had become rows before."""

    path: Path
    first: int
    count: int
    known: int = 0


def land(cat: Catalogue, path: Path | str, new: Sequence[NewRow], label: str) -> Landed:
    """Add rows at the end of a dataset as one step of undo; a new file is made where none is.

    A row takes the shape of the last one, where it has a shape that can say the same.

    Raises:
        BadInput: the rows there teach something else, or the shape has no place for this one.
        NotFound: there is no folder for a new file. Conflict: see `open_dataset`.
    """
    _make(Path(path))
    with open_dataset(cat, path) as document, document.writing():
        document.grow()
        rows = [_fitting(document, row) for row in new]
        first = document.count + 1
        if rows:
            document.change([Insert(first, raw) for raw in rows], label)
        for place, row in enumerate(new):
            document.annotate([first + place], add=[row.tag], note=row.note)
        return Landed(document.path, first, len(rows))


def land_votes(cat: Catalogue, path: Path | str, items: Sequence[Item]) -> Landed:
    """Add the rows of these votes that this dataset does not have from before; see `land`."""
    voted = [(item.vote.id, rows) for item in items if item.vote and (rows := of_vote(item))]
    file = os.path.realpath(path)
    known = votes.landed(cat, file)
    fresh = [(vote, rows) for vote, rows in voted if vote not in known]
    new = [row for _, rows in fresh for row in rows]
    if not new:
        return Landed(Path(file), 1, 0, len(voted))
    label = f"add {len(new):,} from votes" if len(new) != 1 else "add a row from a vote"
    done = land(cat, path, new, label)
    votes.land(cat, file, [vote for vote, _ in fresh])
    return Landed(done.path, done.first, done.count, len(voted) - len(fresh))


def _make(path: Path) -> None:
    if path.exists() or any(sign in str(path) for sign in "*?[,"):
        return
    if path.suffix != ".jsonl":
        raise BadInput(
            f"{path}: there is no such file", "Name one that is there, or a new .jsonl file."
        )
    try:
        path.touch(exist_ok=False)
    except FileNotFoundError as error:
        raise NotFound(
            f"{path.parent}: no such folder", "Make it, or name another file."
        ) from error
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be made ({error.strerror})", "Name a file in a folder of yours."
        ) from error


def _fitting(document: Dataset, new: NewRow) -> bytes:
    """The row in the shape of the last row of the document."""
    row = parse_row(1, new.raw)
    if document.count == 0:
        return new.raw
    last = document.row(document.count)
    if last.error is not None or last.shape == row.shape:
        return new.raw
    if last.purpose != row.purpose:
        raise BadInput(
            f"{document.title}: its rows are {last.dialect}; this would be {row.dialect}",
            "Choose a dataset of the same kind, or name a new file.",
        )
    shape = _shape_of(last)
    return new.raw if shape is None else convert(row, shape).raw


def _shape_of(row: Row) -> Target | None:
    """The shape that a row has already, among those that a row can be given."""
    for shape in TARGETS:
        try:
            if convert(row, shape).raw == row.raw:
                return shape
        except BadInput:
            continue
    return None
