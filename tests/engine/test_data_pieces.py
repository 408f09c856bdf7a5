"""The piece table against a plain list."""

from __future__ import annotations

import random

import pytest

from engine.data.journal.pieces import FileRows, OwnRow, Pieces
from store.edits import Edit


def lines_of(pieces: Pieces, rows: int) -> list[object]:
    found: list[object] = []
    for piece in pieces:
        if isinstance(piece, FileRows):
            found += range(piece.start, min(piece.stop, rows))
        else:
            found.append(piece.content)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_pieces_are_a_list(seed: int) -> None:
    dice = random.Random(seed)
    rows = dice.choice([5, 60, 3000])
    model: list[object] = list(range(rows))
    pieces = Pieces()
    for step in range(1500):
        at, what = dice.randint(0, len(model)), dice.random()
        if what < 0.35 and at < len(model):
            pieces.replace(at, b"%d" % step)
            model[at] = b"%d" % step
        elif what < 0.7:
            pieces.insert(at, b"%d\n" % step)
            model.insert(at, b"%d" % step)
        elif at < len(model):
            pieces.delete(at)
            del model[at]
        if step % 100 == 0:
            assert pieces.known(rows) == len(model)
            for row in dice.sample(range(len(model)), min(9, len(model))):
                found = pieces.find(row)
                assert (found.content if isinstance(found, OwnRow) else found) == model[row]
    assert lines_of(pieces, rows) == model
    for known in range(0, rows, 1 + rows // 9):
        count = pieces.known(known)
        assert all(not isinstance(x, int) or x < known for x in model[:count])


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_in_one_pass_is_the_batch_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    one, other = Pieces(), Pieces()
    rows = 2000
    for turn in range(4):
        edits = []
        for row in sorted(dice.sample(range(1, one.known(rows) + 1), 400), reverse=True):
            what = dice.random()
            if what < 0.5:
                edits.append(Edit("replace", row, b"", b"%d.%d" % (turn, row)))
            elif what < 0.7:
                edits.append(Edit("delete", row, b"", None))
            edits += [
                Edit("insert", row, None, b"+%d.%d\r\n" % (turn, row))
                for _ in range(dice.choice([0, 0, 1, 2]))
            ]
        one.apply_all(edits)
        for edit in edits:
            other.apply(edit)
        assert lines_of(one, rows) == lines_of(other, rows)
        assert one.known(rows) == other.known(rows)
