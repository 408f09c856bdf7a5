"""Many changes at once: they are the same out of memory as in it, and so is the way back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.data.dataset import Change, Delete, Document, Insert, Replace
from engine.data.journal import overlay
from engine.data.journal.batch import Batch
from store.catalogue import Catalogue


def line(rng: random.Random) -> bytes:
    return b'{"text": "%s"}' % (b"x" * rng.randint(1, 40) + b"%d" % rng.randint(0, 9999))


def some_changes(rng: random.Random, rows: int, many: int) -> list[Change]:
    changes: list[Change] = []
    for row in rng.sample(range(1, rows + 1), many):
        changes.append(Delete(row) if rng.random() < 0.3 else Replace(row, line(rng)))
    for _ in range(many // 3):
        changes.append(Insert(rng.randint(1, rows + 1), line(rng)))
    rng.shuffle(changes)
    return changes


def contents(data: Document) -> list[bytes]:
    return [data.raw(row) for row in range(1, data.count + 1)]


def test_a_batch_is_the_list_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.data.journal.pieces._IN_MEMORY", 100)
    changes = some_changes(random.Random(1), 50, 20)
    batch = Batch(tmp_path, changes)
    assert list(batch) == changes
    assert batch[3] == changes[3] and batch[2:5] == changes[2:5] and len(batch) == len(changes)


@pytest.mark.parametrize("seed", range(4))
def test_a_large_step_is_what_a_small_one_is(
    cat: Catalogue, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    file, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    lines = b"".join(line(rng) + b"\n" for _ in range(400))
    file.write_bytes(lines)
    other.write_bytes(lines)
    with Document.open(cat, file) as small, Document.open(cat, other) as large:
        states = []
        for _ in range(3):
            changes = some_changes(rng, small.count, 60)
            count = small.change(changes, "some")
            monkeypatch.setattr(overlay, "IN_PLACE", 20)
            batch = large.batch()
            for change in changes:
                batch.append(change)
            assert large.change(batch, "many") == count
            states.append(contents(small))
            assert contents(large) == states[-1]
            assert small.history()[0].row == large.history()[0].row
            with Document.open(cat, other) as again:
                assert contents(again) == states[-1]
            monkeypatch.undo()
        monkeypatch.setattr(overlay, "IN_PLACE", 20)
        for state in (states[1], states[0]):
            large.undo()
            assert contents(large) == state
        large.redo()
        assert contents(large) == states[1]
        large.save()
        assert other.read_bytes().splitlines() == states[1]


def test_a_large_step_of_nothing_is_no_step(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "IN_PLACE", 3)
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a"}\n' * 9)
    with Document.open(cat, file) as data:
        same = [Replace(row, b'{"text": "a"}') for row in range(1, 10)]
        assert data.change(same, "same") == 0
        assert data.history() == []
