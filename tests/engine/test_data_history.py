"""Random work on a document against a plain list: rows, undo, saves, versions, moved numbers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import xxhash

from engine.data.dataset import (
    Change,
    Delete,
    Document,
    Insert,
    Replace,
    Several,
    open_dataset,
)
from engine.data.journal import memory
from engine.data.journal.planned import content_hash
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound
from store.workspace import Workspace


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(Workspace(tmp_path / "workspace")) as catalogue:
        catalogue.db.execute("PRAGMA synchronous=OFF")  # hundreds of commits
        yield catalogue


def raw(text: object) -> bytes:
    return json.dumps({"text": str(text)}).encode()


def contents(data: Document | Several) -> list[bytes]:
    data.grow()
    return [content for _, content in data.iter_raw()]


@dataclass
class Model:
    """Whole documents, and who each row is."""

    rows: list[bytes]
    past: list[list[bytes]] = field(default_factory=list)
    future: list[list[bytes]] = field(default_factory=list)

    def make(self, rows: list[bytes]) -> None:
        self.past.append(self.rows)
        self.future.clear()
        self.rows = rows

    def undo(self) -> bool:
        if not self.past:
            return False
        self.future.append(self.rows)
        self.rows = self.past.pop()
        return True

    def redo(self) -> bool:
        if not self.future:
            return False
        self.past.append(self.rows)
        self.rows = self.future.pop()
        return True


def batch(dice: random.Random, rows: list[bytes], step: int) -> tuple[list[Change], list[bytes]]:
    """Random changes at once, and what they make of the rows."""
    changes: list[Change] = []
    new: list[bytes] = []
    for number, content in enumerate([*rows, None], start=1):
        for extra in range(dice.choice([0] * 6 + [1, 2])):
            changes.append(Insert(number, raw(f"i{step}.{number}.{extra}")))
            new.append(raw(f"i{step}.{number}.{extra}"))
        if content is None:
            continue
        what = dice.random()
        if what < 0.2:
            changes.append(Replace(number, raw(f"r{step}.{number}")))
            new.append(raw(f"r{step}.{number}"))
        elif what < 0.3:
            changes.append(Delete(number))
        else:
            new.append(content)
    # The order in which they are named means nothing, but for insertions at one place.
    order = sorted(changes, key=lambda c: dice.random() if not isinstance(c, Insert) else 2)
    return order, new


def act(dice: random.Random, data: Document | Several, model: Model, step: int) -> None:
    what = dice.choice(["set", "batch", "move", "copy", "undo", "undo", "redo", "delete"])
    rows = model.rows
    if what == "undo":
        assert (data.undo() is not None) == model.undo()
    elif what == "redo":
        assert (data.redo() is not None) == model.redo()
    elif what == "batch":
        changes, new = batch(dice, rows, step)
        if new and data.change(changes, f"batch {step}"):
            model.make(new)
    elif len(rows) > 1:
        n = dice.randint(1, len(rows))
        new = list(rows)
        if what == "set":
            data.set(n, "text", f"s{step}")
            new[n - 1] = raw(f"s{step}")
        elif what == "copy":
            assert data.duplicate(n) == n + 1
            new.insert(n, rows[n - 1])
        elif what == "delete":
            data.delete(n)
            del new[n - 1]
        else:
            to = dice.randint(1, len(rows))
            if to == n:
                return
            data.move(n, to)
            new.insert(to - 1, new.pop(n - 1))
        model.make(new)


def difference(file: list[bytes], data: Document) -> list[bytes]:
    """The file with what `changes` says, which must be the document."""
    gone = {c.file_line for c in data.changes() if c.row is None}
    after = {c.file_line: c.after for c in data.changes() if c.row and c.file_line}
    added = {c.row: c.after for c in data.changes() if c.file_line is None}
    kept = [
        after.get(line, content) for line, content in enumerate(file, start=1) if line not in gone
    ]
    for row in sorted(added):
        kept.insert(row - 1, added[row])
    return [content or b"" for content in kept]


@pytest.mark.parametrize("seed", range(8))
def test_anything_done_to_a_document_is_done_to_a_list(
    cat: Catalogue, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    file = tmp_path / "a.jsonl"
    final = dice.choice([b"\n", b""])
    original = dice.choice([b"\n", b"\r\n"]).join(raw(n) for n in range(30)) + final
    file.write_bytes(original)
    model = Model([raw(n) for n in range(30)])
    data = Document.open(cat, file)
    hashes = {hashlib.sha256(original).hexdigest(): model.rows}
    for step in range(60):
        act(dice, data, model, step)
        assert contents(data) == model.rows
        if step % 7 == 3:
            saved = data.save()
            assert saved.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
            hashes[saved.sha256] = model.rows
        if step % 5 == 2:
            data.close()
            data = Document.open(cat, file)
            assert contents(data) == model.rows
        on_disk = [line.rstrip(b"\r") for line in file.read_bytes().split(b"\n")]
        assert difference(on_disk if on_disk[-1] else on_disk[:-1], data) == model.rows
        for row in range(1, data.count + 1):
            assert data.edited(row) == (data.status(row) != "same")
    # Every version there ever was comes back to the byte.
    for info in data.versions():
        assert info.restorable
        data.restore(info.id)
        assert contents(data) == hashes[info.sha256]
        assert data.save().sha256 == info.sha256
        data.undo()
        assert contents(data) == model.rows
    while data.undo():
        pass
    data.save()
    data.close()
    assert file.read_bytes() == original


@pytest.mark.parametrize("seed", range(6))
def test_rows_are_found_again_by_the_moment(cat: Catalogue, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    parts = []
    for name in "ab"[: 1 + seed % 2]:
        (tmp_path / f"{name}.jsonl").write_bytes(
            b"".join(raw(f"{name}{n}") + b"\n" for n in range(9))
        )
        parts += [raw(f"{name}{n}") for n in range(9)]
    model = Model(parts)
    with open_dataset(cat, str(tmp_path / "*.jsonl")) as data:
        known = [(data.moment, list(model.rows))]
        for step in range(25):
            act(dice, data, model, step)
            assert contents(data) == model.rows
            known.append((data.moment, list(model.rows)))
            if step == 12:
                data.save()
        for moment, then in known:
            shift = data.shift(moment)
            for row, content in enumerate(then, start=1):
                now = shift.now(row)
                if now is None:
                    assert shift.touched(row)
                elif not shift.touched(row):
                    assert model.rows[now - 1] == content
        same = data.shift(data.moment)
        assert [same.now(n) for n in range(1, data.count + 1)] == list(range(1, data.count + 1))


def test_a_moved_row_is_known_at_its_new_place(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(n) + b"\n" for n in range(6)))
    with Document.open(cat, file) as data:
        moment = data.moment
        data.move(2, 5)
        data.move(6, 1)
        data.set(3, "text", "edited")
        shift = data.shift(moment)
        assert [shift.now(n) for n in range(1, 7)] == [2, 6, 3, 4, 5, 1]
        assert [n for n in range(1, 7) if shift.touched(n)] == [3]
        assert not shift.outside


def test_a_step_is_named_and_counted(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(n) + b"\n" for n in range(6)))
    with Document.open(cat, file) as data:
        assert data.change([Delete(2), Insert(1, raw("x")), Replace(6, raw("y"))], "three") == 3
        data.move(1, 2)
        step = data.undo()
        assert step is not None
        assert (step.label, step.rows_changed, step.done) == ("move row 1 to 2", 1, False)
        assert [(s.label, s.done) for s in data.history()] == [
            ("move row 1 to 2", False),
            ("three", True),
        ]
        assert data.change([Replace(1, data.raw(1))], "nothing") == 0
        for wrong in ([Delete(7)], [Insert(0, b"{}")], [Insert(8, b"{}")], [Replace(0, b"{}")]):
            with pytest.raises(NotFound, match="there is no row"):
                data.change([Delete(1), *wrong], "no")
        with pytest.raises(BadInput, match="row 2 is changed twice"):
            data.change([Delete(2), Replace(2, b"{}")], "no")
        assert data.unsaved == 3
        assert data.redo() is not None


# Versions


def test_a_change_by_others_is_a_gap_that_is_named(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(raw("a") + b"\n")
    with Document.open(cat, file) as data:
        assert [(v.id, v.current) for v in data.versions()] == [(0, True)]
        data.set(1, "text", "b")
        data.save()
        first = data.versions()[-1]
        assert first.sha256 == hashlib.sha256(raw("a") + b"\n").hexdigest()
        assert (first.restorable, first.rows, first.bytes) == (True, 1, len(raw("a")) + 1)
    file.write_bytes(raw("c") + b"\n" + raw("d") + b"\n")
    with Document.open(cat, file) as data:
        data.set(2, "text", "D")
        data.save()
        kept = data.versions()
        assert [v.restorable for v in kept] == [True, True, False, False]
        assert [v.current for v in kept] == [True, False, False, False]
        assert "was changed outside" in kept[2].why_not
        with pytest.raises(Conflict, match="cannot be restored: the file was changed outside"):
            data.restore(kept[3].id)
        with pytest.raises(NotFound, match="no version 99"):
            data.restore(99)
        data.restore(kept[1].id)
        assert data.save().sha256 == kept[1].sha256
    assert file.read_bytes() == raw("c") + b"\n" + raw("d") + b"\n"


def test_a_touched_file_is_the_same_file(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(raw("a") + b"\n")
    with Document.open(cat, file) as data:
        data.set(1, "text", "b")
        data.save()
    copied = file.read_bytes()
    file.unlink()
    file.write_bytes(copied)
    with Document.open(cat, file) as data:
        assert all(version.restorable for version in data.versions())
        assert data.undo() is not None


def test_a_large_file_that_was_found_is_known_by_a_quick_hash(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SHA_UP_TO", 0)
    file = tmp_path / "a.jsonl"
    file.write_bytes(raw("a") + b"\n" + raw("b"))
    original = file.read_bytes()
    with Document.open(cat, file) as data:
        data.move(1, 2)
        data.save()
        first = data.versions()[-1]
        assert first.sha256 == f"xxh128:{xxhash.xxh3_128_hexdigest(original)}"
        data.restore(first.id)
        data.save()
        assert file.read_bytes() == original
        data.set(1, "text", "c")
        data.save()
        # What the journal leads to is held against the hash before the file is touched.
        wrong = f"UPDATE versions SET sha256 = 'xxh128:0' WHERE id = {first.id}"
        cat.db.execute(wrong)
        data.restore(first.id)
        with pytest.raises(Conflict, match="is not the version"):
            data.save()
        assert data.undo() is not None
        assert data.unsaved == 0


# Tags and notes


def test_tags_and_notes_follow_their_row(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(raw(n) + b"\n" for n in range(5)))
    original = file.read_bytes()
    with Document.open(cat, file) as data:
        data.annotate([2, 3], add=["good", "short"])
        data.annotate([3], remove=["short"], note="look again")
        assert data.tags() == {"good": 2, "short": 1}
        assert data.noted()[content_hash(data.raw(3))].note == "look again"
        data.set(2, "text", "edited")
        data.move(3, 5)
        copy = data.duplicate(5)
        assert data.annotations(2).tags == ("good", "short")
        assert data.annotations(copy) == data.annotations(5)
        assert data.annotations(5).note == "look again"
        assert data.tags() == {"good": 2, "short": 1}
        with pytest.raises(BadInput, match="cannot be a tag"):
            data.annotate([1], add=["no tag"])
        data.save()
    with Document.open(cat, file) as data:
        assert data.annotations(2).tags == ("good", "short")
        while data.undo():
            pass
        assert data.annotations(2).tags == ("good", "short")
        assert data.annotations(3).note == "look again"
        data.annotate([3], note="", remove=["good"])
        assert data.annotations(3).tags == ()
        data.save()
    assert file.read_bytes() == original
