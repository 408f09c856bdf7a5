"""Documents: first rows at once, edits that survive a restart, undo to the byte."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
from pathlib import Path

import pytest

from engine.data.document import Document
from engine.data.file.index import RowIndex
from engine.data.journal.changes import Step
from store import edits
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound
from store.versions import Version
from store.workspace import Workspace


def line(text: str, end: bytes = b"\n") -> bytes:
    return json.dumps({"text": text}).encode() + end


def texts(document: Document) -> list[str]:
    document.grow()
    return [row.text for row in document.rows(1, document.count)]


def went(step: Step | None) -> int | None:
    """The row of a step of undo or redo."""
    return None if step is None else step.row


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_rows_are_lines_whatever_is_inside(cat: Catalogue, tmp_path: Path) -> None:
    tricky = '{"text": "a\u2028b\u0085c\u000bd"}'.replace("\u000b", "").encode()
    file = write(tmp_path / "a.jsonl", tricky + b"\r\n", b"\n", b"\xff\n", line("last", b""))
    with Document.open(cat, file) as document:
        assert document.complete
        assert document.count == 4
        assert document.row(1).text == "a\u2028b\u0085cd"
        assert document.raw(1) == tricky
        assert [row.error is None for row in document.rows(1, 9)] == [True, False, False, True]
        with pytest.raises(NotFound, match="there is no row 5; it has 4"):
            document.row(5)


def test_first_rows_come_before_the_index(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(line(f"{n:05} " + "x" * 990) for n in range(20_000)))
    with Document.open(cat, file) as document:
        assert not document.complete
        assert 64 <= document.count < 20_000
        assert document.rows(1, 64)[63].text.startswith("00063")
        known = document.count
        document.grow(0)
        assert document.count == known
        assert document.grow()
        assert document.count == 20_000
    assert list(cat.workspace.indexes.iterdir())
    with Document.open(cat, file) as document:
        assert document.complete
        assert document.row(20_000).text.startswith("19999")
    with file.open("ab") as out:
        out.write(line("more"))
    with Document.open(cat, file) as document:
        assert not document.complete
        assert document.row(20_001).text == "more"


def test_a_long_line_is_shown_by_its_head(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line("a") + line("y" * (100 << 20)) + line("b"))
    with Document.open(cat, file) as document:
        row = document.row(2)
        assert row.error is not None
        assert "104,857," in row.error
        assert len(row.raw) == 64 << 10
        assert document.row(3).text == "b"
        with pytest.raises(BadInput, match="line 2: 104,857,"):
            document.set(2, "text", "x")


def test_edits_survive_a_restart_and_undo_survives_a_save(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"), line("b"), line("c"))
    original = file.read_bytes()
    with Document.open(cat, file) as document:
        document.set(2, "text", "B")
        document.insert(4, b'{"text": "d"}')
        document.delete(1)
        assert texts(document) == ["B", "c", "d"]
        assert document.unsaved == 3
        assert [document.edited(n) for n in (1, 2, 3)] == [True, False, True]
    assert file.read_bytes() == original
    with Document.open(cat, file) as document:
        assert texts(document) == ["B", "c", "d"]
        assert went(document.undo()) == 1
        assert (document.unsaved, texts(document)) == (2, ["a", "B", "c", "d"])
        assert went(document.redo()) == 1
        report = document.save()
        assert (report.rows, document.unsaved) == (3, 0)
        assert file.read_bytes() == line("B") + line("c") + line("d")
        assert texts(document) == ["B", "c", "d"]
    with Document.open(cat, file) as document:
        assert [went(document.undo()) for _ in range(3)] == [1, 4, 2]
        assert document.undo() is None
        document.save()
    assert file.read_bytes() == original
    with Document.open(cat, file) as document:
        assert [went(document.redo()) for _ in range(4)] == [2, 4, 1, None]
        document.set(1, "text", "new")
        assert document.redo() is None


def test_undone_edits_leave_nothing_to_save(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"))
    with Document.open(cat, file) as document:
        document.set(1, "text", "b")
        document.undo()
        assert document.unsaved == 0
        assert not document.edited(1)
        inode = os.stat(file).st_ino
        document.save()
        assert os.stat(file).st_ino == inode


ENDS = (b"\n", b"\r\n")


@pytest.mark.parametrize("last", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("kind", ["replace", "insert", "delete"])
def test_every_edit_undoes_to_the_byte(
    cat: Catalogue, tmp_path: Path, kind: str, last: bytes
) -> None:
    """Edit, save, undo, save, on every row of files of every mixture of line endings."""
    for count in (1, 2, 3):
        for ends in itertools.product(ENDS, repeat=count - 1):
            lines = [line(str(n), end) for n, end in enumerate((*ends, last))]
            for row in range(1, count + (kind == "insert") + 1):
                file = write(tmp_path / f"{count}-{row}-{len(b''.join(ends))}.jsonl", *lines)
                original = file.read_bytes()
                with Document.open(cat, file) as document:
                    if kind == "replace":
                        document.replace(row, b'{"text": "new"}')
                    elif kind == "insert":
                        document.insert(row, b'{"text": "new"}')
                    else:
                        document.delete(row)
                    expected = texts(document)
                    document.save()
                    assert texts(document) == expected
                    fresh = RowIndex.open(file)
                    known = document._lines.index
                    rows = range(len(known) + 1)
                    assert [known.start(n) for n in rows] == [fresh.start(n) for n in rows]
                    fresh.close()
                    assert file.read_bytes() != original
                with Document.open(cat, file) as document:
                    document.undo()
                    document.save()
                assert file.read_bytes() == original, (kind, row, lines)
                file.unlink()


def test_a_thousand_random_edits_undo_to_the_byte(cat: Catalogue, tmp_path: Path) -> None:
    import random

    chance = random.Random(5)
    file = write(tmp_path / "a.jsonl", *(line(str(n)) for n in range(40)), line("end", b""))
    original, model = file.read_bytes(), [str(n) for n in range(40)] + ["end"]
    document = Document.open(cat, file)
    for step in range(200):
        row, what = chance.randint(1, len(model)), chance.random()
        if what < 0.5:
            document.set(row, "text", model[row - 1] + "!")
            model[row - 1] += "!"
        elif what < 0.75:
            document.insert(row, line(f"new {step}", b""))
            model.insert(row - 1, f"new {step}")
        elif len(model) > 1:
            document.delete(row)
            del model[row - 1]
        if step % 40 == 39:
            document.save()
        if step % 40 == 20:
            document.close()
            document = Document.open(cat, file)
    assert texts(document) == model
    while document.undo():
        pass
    document.save()
    document.close()
    assert file.read_bytes() == original


def test_an_outside_change_elsewhere_keeps_the_edits(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"), line("b"))
    with Document.open(cat, file) as document:
        document.set(1, "text", "A")
        write(file, line("a"), line("b"), line("c"))
        document.grow()
        assert texts(document) == ["A", "b", "c"]
        document.save()
    assert file.read_bytes() == line("A") + line("b") + line("c")


def test_an_outside_change_underneath_is_a_conflict(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"), line("b"))
    with Document.open(cat, file) as document:
        document.set(1, "text", "A")
        write(file, line("x"), line("b"), line("c"))
        with pytest.raises(Conflict, match="line 1 is not what the edit"):
            document.save()
    with pytest.raises(Conflict, match="changed outside"):
        Document.open(cat, file)
    with Document.open(cat, file, force=True) as document:
        document.save(force=True)
    assert file.read_bytes() == line("A") + line("b") + line("c")
    with Document.open(cat, file) as document:
        document.set(3, "text", "C")
        assert Document.discard(cat, file) == 1
        document.set(2, "text", "B")
        assert document.unsaved == 1
        assert texts(document) == ["A", "B", "c"]


def test_undo_of_a_saved_edit_stops_at_an_outside_change(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"))
    with Document.open(cat, file) as document:
        document.set(1, "text", "A")
        document.save()
    write(file, line("other"))
    with Document.open(cat, file) as document:
        with pytest.raises(Conflict, match="line 1"):
            document.undo()
        assert document.undo() is None
        assert texts(document) == ["other"]


def test_two_processes_edit_one_file(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"), line("b"))
    workspace = Workspace(tmp_path / "workspace")
    with (
        Catalogue.open(workspace) as one,
        Catalogue.open(workspace) as two,
        Document.open(one, file) as first,
        Document.open(two, file) as second,
    ):
        first.set(1, "text", "A")
        second.set(2, "text", "B")
        assert texts(second) == ["A", "B"]
        first.save()
        assert file.read_bytes() == line("A") + line("B")
        second.set(2, "text", "b")
        second.save()
        assert file.read_bytes() == line("A") + line("b")


def test_a_save_through_another_document_is_no_conflict(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(line(f"{n:05} " + "x" * 990) for n in range(20_000)))
    workspace = Workspace(tmp_path / "workspace")
    with Catalogue.open(workspace) as cat, Document.open(cat, file) as document:
        document.set(1, "text", "A")
        with Catalogue.open(workspace) as other, Document.open(other, file) as saver:
            saver.save()
        assert not document.complete
        worker = threading.Thread(target=document.grow)
        worker.start()
        worker.join()
        assert document.complete
        assert (document.unsaved, document.row(1).text) == (0, "A")


def test_a_save_cut_short_after_the_rename_is_settled(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", line("a"), line("b"))
    with Document.open(cat, file) as document:
        document.set(1, "text", "A")
        saved = line("A") + line("b")
        digest = hashlib.sha256(saved).hexdigest()
        version = Version(document.dataset_id, digest, 2, len(saved))
        edits.begin_save(cat, document.dataset_id, version)
        (tmp_path / "new").write_bytes(saved)
        os.replace(tmp_path / "new", file)
    with Document.open(cat, file) as document:
        assert (document.unsaved, texts(document)) == (0, ["A", "b"])
        document.undo()
        document.save()
    assert file.read_bytes() == line("a") + line("b")


def test_what_cannot_be_a_dataset_is_refused(cat: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        Document.open(cat, tmp_path / "missing.jsonl")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BadInput):
            Document.open(cat, path)
    file = write(tmp_path / "a.jsonl", line("a"))
    with Document.open(cat, file) as document:
        with pytest.raises(BadInput, match="line break"):
            document.replace(1, b"a\nb")
        with pytest.raises(BadInput, match=r"a\.jsonl: line 1: cannot set `no`"):
            document.set(1, "no", "x")
