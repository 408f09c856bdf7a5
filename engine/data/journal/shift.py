"""Where rows are now that had other numbers before: for findings, filters and tags.

Knows the steps between then and now. Does not know the rows' content.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from engine.data.journal.pieces import FileRows, Pieces
from store import edits
from store.catalogue import Catalogue
from store.edits import Edit, Position, Way

_LARGE = 500


@dataclass(frozen=True, slots=True)
class Run:
    """Rows [start, start + length) of then, which begin at row `now`; all from 1."""

    start: int
    length: int
    now: int
    touched: bool


@dataclass(frozen=True, slots=True)
class Shift:
    """The way of rows from one moment to another.

    `outside`: the file was changed by others in between, so the numbers are only a guess.
    `added`: by how much the number of rows grew.
    """

    runs: Sequence[Run] = (Run(1, 1 << 62, 1, False),)
    outside: bool = False
    added: int = 0

    def now(self, row: int) -> int | None:
        """The present number of the row that was `row`; None where it was deleted."""
        run = self._run(row)
        return None if run is None else run.now + row - run.start

    def touched(self, row: int) -> bool:
        """Was the row edited or deleted?"""
        run = self._run(row)
        return run is None or run.touched

    def _run(self, row: int) -> Run | None:
        at = bisect_right(self.runs, row, key=lambda run: run.start) - 1
        if at < 0 or row >= self.runs[at].start + self.runs[at].length:
            return None
        return self.runs[at]


def shift(cat: Catalogue, dataset_id: int, since: int, at: Position) -> Shift:
    """Where the rows of the moment `since` are at the position `at`."""
    head, epoch = edits.at(cat, dataset_id, since)
    outside = epoch != at.epoch
    try:
        way = edits.way(cat, dataset_id, head, at.head)
    except edits.NotThereError:
        # Those edits were discarded: what is known now is where the file's own rows are.
        return Shift(outside=True)
    pieces = Pieces(cat.workspace.indexes)
    added = 0
    for part in _parts(way):
        made = list(edits.traces(cat, part))
        added += sum((edit.kind == "insert") - (edit.kind == "delete") for edit in made)
        if any(step.moves for step in (*part.back, *part.forth)):
            _move(pieces, *made)
        else:
            pieces.apply_all(made)
    return Shift(_runs(pieces), outside, added)


def _move(pieces: Pieces, first: Edit, second: Edit) -> None:
    """Take a row away and put the same elsewhere, in either order."""
    if first.kind == "delete":
        moved = pieces.find(first.row - 1)
        pieces.apply(first)
        pieces.put(second.row - 1, moved)
    else:
        below = second.row > first.row
        pieces.put(first.row - 1, pieces.find(second.row - 1 - below))
        pieces.apply(second)


def _parts(way: Way) -> list[Way]:
    """The way in stretches: a step that moves a row, or a large one, alone; others together."""
    parts: list[Way] = []
    for back, steps in ((True, way.back), (False, way.forth)):
        kept: list[edits.Step] = []
        for step in (*steps, None):
            if step is None or step.moves or step.rows > _LARGE:
                parts += [_way(back, kept)] if kept else []
                kept = []
                parts += [_way(back, [step])] if step else []
            else:
                kept.append(step)
    return parts


def _way(back: bool, steps: Sequence[edits.Step]) -> Way:
    return Way(back=tuple(steps)) if back else Way(forth=tuple(steps))


def _runs(pieces: Pieces) -> list[Run]:
    found, number = [], 1
    for piece in pieces:
        if isinstance(piece, FileRows):
            found.append(Run(piece.start + 1, len(piece), number, False))
        elif piece.replaces is not None:
            found.append(Run(piece.replaces + 1, 1, number, True))
        number += len(piece)
    return sorted((run for run in found if run.length), key=lambda run: run.start)
