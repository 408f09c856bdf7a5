"""Merging: unsaved edits find their lines again in a file that someone else changed.

Knows three states: the file as it was (only the lines that were edited are known, from the
journal), the document, and the file as it is. A line is found by its content, the nearest one to
where it should be where there are several; an added row follows the row it was added below. Does
not know why the file changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.data import scan
from engine.data.file.lines import Lines
from engine.data.journal.changes import Change, Changed, Delete, Insert, Replace
from engine.data.journal.pieces import FileRows, Pieces, split_ending
from engine.data.journal.planned import content_hash, plan
from engine.data.sources import Source
from store import edits
from store.catalogue import Catalogue
from store.edits import Draft, Edit, Position

LABEL = "edits merged into the changed file"
ASIDE = "edits without a place in the changed file"


@dataclass
class Net:
    """What the unsaved edits come to, against the file as it was. Rows count from 0.

    `before` holds the content of each row of that file that was edited or deleted; `anchors` the
    hash of the row that an added one was put below, for rows that are not otherwise known.
    """

    pieces: Pieces = field(default_factory=Pieces)
    before: dict[int, bytes] = field(default_factory=dict)
    anchors: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: Iterable[Edit]) -> Net:
        """Do the edits one after the other, without the file."""
        net = cls()
        for edit in journal:
            row = edit.row - 1
            if edit.kind == "insert":
                above = net.pieces.find(row - 1) if row else None
                if isinstance(above, int) and edit.anchor is not None:
                    net.anchors.setdefault(above, edit.anchor)
            else:
                found = net.pieces.find(row)
                if isinstance(found, int):
                    before = edit.before or b""
                    net.before[found] = split_ending(before)[0] if edit.kind == "delete" else before
            net.pieces.apply(edit)
        return net


class _Places:
    """Where the lines that are looked for lie in the new file."""

    def __init__(self, rows: dict[bytes, list[int]], old: dict[int, bytes]) -> None:
        """`rows`: by hash, where lines are now; `old`: by where they were, their hashes."""
        self._rows = rows
        # What is there once tells by how much the lines around it have moved.
        certain = [(row, rows[key][0] - row) for row, key in old.items() if len(rows[key]) == 1]
        self._certain = sorted(certain)

    def take(self, key: bytes, was: int) -> int | None:
        """The nearest row with that content that was not taken yet; it is taken now."""
        row = self.near(key, was)
        if row is not None:
            self._rows[key].remove(row)
        return row

    def near(self, key: bytes, was: int) -> int | None:
        """The nearest row with that content, taken or not."""
        found = self._rows[key]
        if not found:
            return None
        expected = was + self._drift(was)
        at = bisect_left(found, expected)
        return min(found[max(0, at - 1) : at + 1], key=lambda row: abs(row - expected))

    def _drift(self, was: int) -> int:
        at = bisect_left(self._certain, (was, 0))
        nearby = self._certain[max(0, at - 1) : at + 1]
        return min(nearby, key=lambda sample: abs(sample[0] - was))[1] if nearby else 0


def merge(cat: Catalogue, dataset_id: int, source: Source) -> None:
    """Put the unsaved edits of a dataset on its file as it is now, as one step.

    What finds no place is kept aside: see `unplaced`. Part of a transaction.
    """
    source.grow()
    at = edits.position(cat, dataset_id)
    journal = edits.along(cat, edits.way(cat, dataset_id, at.file, at.head))
    net = Net.of(journal)
    lines = Lines(source.index, Pieces(cat.workspace.indexes))
    placed, lost = _place(net, lines)
    edits.outside(cat, dataset_id)
    new = plan(lines, placed, source.accept)
    if lost:
        _put_aside(cat, dataset_id, at, lost)
    draft = Draft(LABEL, new, base=at.file, parent=at.file)
    edits.append(cat, dataset_id, draft)


def unplaced(cat: Catalogue, dataset_id: int) -> tuple[Changed, ...]:
    """The edits that were kept aside; `file_line` is where they were in the file before."""
    return tuple(
        Changed(
            None,
            None if edit.before is None else split_ending(edit.before)[0],
            None if edit.after is None else split_ending(edit.after)[0],
            edit.row,
        )
        for _, kept in edits.aside(cat, dataset_id)
        for edit in kept
    )


def _place(net: Net, lines: Lines) -> tuple[list[Change], list[Edit]]:
    """The changes in the new file's numbers, and the edits that have no place in it."""
    hashes = {row: content_hash(content) for row, content in net.before.items()}
    rows: dict[bytes, list[int]] = {key: [] for key in (*hashes.values(), *net.anchors.values())}
    for number, content in scan.iter_raw(lines):
        key = content_hash(content)
        if key in rows:
            rows[key].append(number - 1)
    places = _Places(rows, {**net.anchors, **hashes})
    placed: list[Change] = []
    lost: list[Edit] = []
    at, below = 0, 0  # the next row of the old file; where, in the new one, an addition goes
    known = True

    def passed(stop: int) -> None:
        """Rows of the old file up to `stop` that are not in the document were deleted."""
        nonlocal at, below, known
        for row in range(at, stop):
            if row in hashes:
                found = places.take(hashes[row], row)
                if found is None:
                    lost.append(Edit("delete", row + 1, net.before[row], None))
                else:
                    placed.append(Delete(found + 1))
                    below, known = found + 1, True
        at = stop

    for piece in net.pieces:
        if isinstance(piece, FileRows):
            passed(piece.start)
            if piece.stop > piece.start:
                at = piece.stop
                anchor = net.anchors.get(piece.stop - 1)
                found = places.near(anchor, piece.stop - 1) if anchor else None
                known = found is not None
                below = found + 1 if found is not None else 0
            continue
        if piece.replaces is not None:
            passed(piece.replaces)
            at = piece.replaces + 1
            found = places.take(hashes[piece.replaces], piece.replaces)
            before = net.before[piece.replaces]
            if found is None:
                lost.append(Edit("replace", piece.replaces + 1, before, piece.content))
            else:
                placed.append(Replace(found + 1, piece.content))
                below, known = found + 1, True
        elif known:
            placed.append(Insert(below + 1, piece.content))
        else:
            lost.append(Edit("insert", at + 1, None, piece.content))
    return placed, lost


def _put_aside(cat: Catalogue, dataset_id: int, at: Position, lost: list[Edit]) -> None:
    draft = Draft(ASIDE, lost, base=at.file, parent=at.file, aside=True)
    edits.append(cat, dataset_id, draft)
