"""Files that others change, grow, cut or remove while they are open; edits that find their line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.dataset import Delete, Document, Insert, Replace, Several, files_of, open_dataset
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound


def raw(text: object) -> bytes:
    return json.dumps({"text": str(text)}).encode()


def write(path: Path, texts: Iterator[object] | list[object] | range | str) -> Path:
    path.write_bytes(b"".join(raw(text) + b"\n" for text in texts))
    return path


def texts(data: Document | Several) -> list[str]:
    data.grow()
    return [json.loads(content)["text"] for _, content in data.iter_raw()]


# The three choices


def test_merging_finds_lines_that_moved(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "abcdefgh")
    with Document.open(cat, file) as data:
        data.set(2, "text", "B")
        data.delete(5)
        data.insert(8, raw("new, below h"))
        data.insert(1, raw("new, on top"))
        assert texts(data) == ["new, on top", *"aBcdfgh", "new, below h"]
        write(file, [*"xyz", *"hgabcde", "f"])
        with pytest.raises(Conflict, match=r"a\.jsonl: changed outside"):
            data.save()
        report = data.save(choice="merge")
        assert report.unplaced == ()
        assert texts(data) == ["new, on top", *"xyz", "h", "new, below h", *"gaBcdf"]
        assert data.unsaved == 0
        assert data.undo() is not None
        assert texts(data) == [*"xyz", *"hgabcde", "f"]
        assert data.redo() is not None


def test_what_has_no_place_is_kept_and_listed(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "abcd")
    with Document.open(cat, file) as data:
        data.set(1, "text", "A")
        data.set(2, "text", "B")
        data.change([Delete(3), Insert(5, raw("below d"))], "more")
        write(file, ["a", "rewritten", "c"])
    with pytest.raises(Conflict):
        Document.open(cat, file)
    with Document.open(cat, file, choice="merge") as data:
        assert texts(data) == ["A", "rewritten"]
        report = data.save()
        lost = [(change.before, change.after, change.file_line) for change in report.unplaced]
        assert lost == [(raw("b"), raw("B"), 2), (None, raw("below d"), 5)]
        assert data.unplaced() == report.unplaced
    with Document.open(cat, file) as data:
        assert len(data.unplaced()) == 2
        assert texts(data) == ["A", "rewritten"]
        Document.discard(cat, file)
        assert data.unplaced() == ()


def test_of_equal_lines_the_nearest_is_taken_each_once(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", ["same", "p", "same", "q", "same"])
    with Document.open(cat, file) as data:
        data.change([Replace(3, raw("3")), Replace(4, raw("Q")), Replace(5, raw("5"))], "three")
        write(file, ["new", "new", "same", "p", "same", "q", "same"])
        data.save(choice="merge")
        assert texts(data) == ["new", "new", "same", "p", "3", "Q", "5"]


@pytest.mark.parametrize("seed", range(6))
def test_merging_into_a_shuffled_file_loses_nothing(
    cat: Catalogue, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    lines = [f"line {n}" for n in range(200)]
    file = write(tmp_path / "a.jsonl", lines)
    touched = dice.sample(range(200), 40)
    with Document.open(cat, file) as data:
        data.change([Replace(n + 1, raw(f"edited {n}")) for n in touched[:30]], "edit")
        for n in sorted(touched[30:], reverse=True):
            data.delete(n + 1)
        theirs = lines + [f"theirs {n}" for n in range(20)]
        dice.shuffle(theirs)
        write(file, theirs)
        assert data.save(choice="merge").unplaced == ()
        renamed = {f"line {n}": f"edited {n}" for n in touched[:30]}
        gone = {f"line {n}" for n in touched[30:]}
        assert texts(data) == [renamed.get(t, t) for t in theirs if t not in gone]


def test_mine_writes_by_line_number_and_theirs_drops(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "abc")
    with Document.open(cat, file) as data:
        data.set(2, "text", "B")
        write(file, "xyz")
        data.save(choice="mine")
        assert texts(data) == ["x", "B", "z"]
        data.set(1, "text", "X")
        write(file, "pqr")
        with pytest.raises(Conflict):
            data.grow()
        assert Document.discard(cat, file) == 1
        assert texts(data) == ["p", "q", "r"]


# Files that grow, shrink, vanish


def test_a_file_that_grows_is_followed(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "abc")
    with Document.open(cat, file) as data:
        data.set(1, "text", "A")
        data.insert(4, raw("mine"))
        moment = data.moment
        for n in range(3):
            with file.open("ab") as log:
                log.write(raw(f"log {n}") + b"\n")
            assert data.grow()
            assert texts(data)[-1] == f"log {n}"
        assert texts(data) == ["A", "b", "c", "mine", "log 0", "log 1", "log 2"]
        assert [data.shift(moment).now(n) for n in (1, 4)] == [1, 4]
        assert data.undo() is not None
        data.redo()
        data.save()
        with file.open("ab") as log:
            log.write(raw("later") + b"\n")
        data.grow()
        assert texts(data)[-2:] == ["log 2", "later"]
        data.set(1, "text", "again")
        data.save()
        assert [v.restorable for v in data.versions()] == [True, True, False, False]
        assert "grew outside" in data.versions()[-1].why_not


def test_a_last_line_that_is_still_being_written(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "ab")
    with file.open("ab") as log:
        log.write(b'{"text": "hal')
    with Document.open(cat, file) as data:
        data.set(1, "text", "A")
        assert data.row(3).error is not None
        with file.open("ab") as log:
            log.write(b'f"}\n')
        data.grow()
        assert texts(data) == ["A", "b", "half"]
        with file.open("ab") as log:
            log.write(b'{"text": "c"')
        data.grow()
        data.replace(4, raw("mine"))
        with file.open("ab") as log:
            log.write(b"}\n")
        with pytest.raises(Conflict, match="line 4 is not what the edit"):
            data.grow()
        data.save(choice="mine")
        assert texts(data) == ["A", "b", "half", "mine"]


def test_a_file_that_vanishes_is_named_and_its_edits_stay(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "abc")
    with Document.open(cat, file) as data:
        data.set(2, "text", "B")
        content = file.read_bytes()
        file.unlink()
        for work in (data.grow, data.save, lambda: data.delete(1)):
            with pytest.raises(NotFound, match=r"a\.jsonl: the file is gone since it was opened"):
                work()
        assert [row.text for row in data.rows(1, 3)] == ["a", "B", "c"]
        file.write_bytes(content)
        data.save()
    assert file.read_bytes() == raw("a") + b"\n" + raw("B") + b"\n" + raw("c") + b"\n"


def test_a_file_that_shrinks_while_open(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", range(5000))
    with Document.open(cat, file) as data:
        data.grow()
        data.set(2, "text", "kept")
        os.truncate(file, len(raw(0)) * 3)
        assert isinstance(data.row(4000).raw, bytes)
        with pytest.raises(Conflict, match="cut short"):
            list(data.iter_raw())
        data.grow()
        assert data.count < 5000
        assert data.row(2).text == "kept"
        os.truncate(file, 0)
        with pytest.raises(Conflict, match="there is no line 2 any more"):
            data.grow()
    assert Document.discard(cat, file) == 1
    with Document.open(cat, file) as data:
        assert (data.count, data.complete) == (0, True)


# Names


def test_several_files_are_named_by_pattern_or_comma(cat: Catalogue, tmp_path: Path) -> None:
    for name in ("b", "a", "c,d"):
        write(tmp_path / f"{name}.jsonl", [name])
    with open_dataset(cat, f"{tmp_path}/*.jsonl") as data:
        assert texts(data) == ["a", "b", "c,d"]
        assert data.format == "several"
        assert data.locate(2).path == tmp_path / "b.jsonl"
    with open_dataset(cat, f"{tmp_path}/b.jsonl,{tmp_path}/a.jsonl") as data:
        assert texts(data) == ["b", "a"]
    with open_dataset(cat, f"{tmp_path}/c,d.jsonl") as data:
        assert isinstance(data, Document)
    with pytest.raises(BadInput, match="a folder") as error:
        open_dataset(cat, tmp_path)
    assert f"{tmp_path}/*.jsonl" in error.value.hint
    with pytest.raises(NotFound, match="no file fits"):
        files_of(f"{tmp_path}/*.nothing")
    with pytest.raises(NotFound, match="no such file"):
        open_dataset(cat, f"{tmp_path}/a.jsonl,{tmp_path}/missing.jsonl")


def test_several_files_save_move_and_conflict_each_for_itself(
    cat: Catalogue, tmp_path: Path
) -> None:
    one, two = write(tmp_path / "a.jsonl", "abc"), write(tmp_path / "b.jsonl", "xyz")
    before = one.read_bytes(), two.read_bytes()
    with open_dataset(cat, f"{tmp_path}/*.jsonl") as data:
        data.move(1, 5)
        assert texts(data) == ["b", "c", "x", "y", "a", "z"]
        with Document.open(cat, two) as alone:
            assert texts(alone) == ["x", "y", "a", "z"]
            assert alone.undo() is not None
        data.set(1, "text", "A")  # catches up first: the move was undone in both files
        assert texts(data) == ["A", "b", "c", "x", "y", "z"]
        data.undo()
        data.move(6, 1)
        data.save()
        assert one.read_bytes() == b"".join(raw(t) + b"\n" for t in "zabc")
        assert two.read_bytes() == b"".join(raw(t) + b"\n" for t in "xy")
        with Document.open(cat, one) as alone:
            alone.set(1, "text", "later")
            with Document.open(cat, two) as other, pytest.raises(Conflict, match="also changed"):
                other.undo()
        while data.undo():
            pass
        data.save()
        assert (one.read_bytes(), two.read_bytes()) == before
        data.change([Replace(1, raw("A")), Replace(4, raw("X"))], "both")
        write(two, "other")
        with pytest.raises(Conflict, match=r"b\.jsonl: changed outside"):
            data.save()
    assert one.read_bytes() == before[0]
    with open_dataset(cat, f"{tmp_path}/*.jsonl", choice="merge") as data:
        assert texts(data) == ["A", "b", "c", *"other"]
        assert [change.after for change in data.unplaced()] == [raw("X")]
