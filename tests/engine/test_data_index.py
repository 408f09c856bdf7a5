"""The sparse index: every line of every file, wherever blocks end; and bad files as documents."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from pathlib import Path

import pytest

from engine.data.document import Document
from engine.data.file.blocks import BLOCK
from engine.data.file.digest import Follower
from engine.data.file.index import CACHE_FROM, RowIndex
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound, WorkbenchError


def lines_of(index: RowIndex) -> list[bytes]:
    index.grow()
    return [index.read(*index.span(row)) for row in range(len(index))]


FILES = {
    "empty": b"",
    "one newline": b"\n",
    "no newline": b"x" * 10,
    "a block without newline": b"x" * BLOCK,
    "a block of newlines": b"\n" * BLOCK,
    "newline ends the block": b"x" * (BLOCK - 1) + b"\n",
    "newline begins the next": b"x" * BLOCK + b"\n",
    "a line of many blocks": b"a\n" + b"y" * (5 * BLOCK + 7) + b"\nb\n",
    "windows": b"a\r\n\r\nb\r" * 50_000,
    "nul": b'{"a": "\0"}\n\0\0\n',
    "no ending": b"a\nb\n" * (BLOCK // 2) + b"end",
}


@pytest.mark.parametrize("name", FILES)
def test_lines_are_what_splitting_gives(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(FILES[name])
    index = RowIndex.open(file)
    found = lines_of(index)
    assert found == [line + b"\n" for line in FILES[name].split(b"\n")[:-1]] + (
        [FILES[name].rpartition(b"\n")[2]]
        if not FILES[name].endswith(b"\n") and FILES[name]
        else []
    )
    assert index.start(len(index)) == len(FILES[name])
    index.close()


def test_random_files_in_random_order(tmp_path: Path) -> None:
    chance = random.Random(7)
    sizes = [0, 1, 10, 200, 3000, BLOCK - 1, BLOCK, BLOCK + 1]
    lines = [b"z" * chance.choice(sizes) + b"\n" for _ in range(60)]
    lines += [b"s" * chance.randrange(5) + b"\n" for _ in range(50_000)]
    chance.shuffle(lines)
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(lines))
    index = RowIndex.open(file)
    index.grow()
    assert len(index) == len(lines)
    for row in [chance.randrange(len(lines)) for _ in range(3000)]:
        assert index.read(*index.span(row)) == lines[row]
    index.close()


def test_the_index_is_kept(tmp_path: Path) -> None:
    file, cache = tmp_path / "a.jsonl", tmp_path / "a.rows"
    file.write_bytes(b'{"text": "%s"}\n' % (b"t" * 500) * 40_000 + b"end")
    assert file.stat().st_size > CACHE_FROM
    index = RowIndex.open(file, cache)
    assert not index.complete
    index.grow()
    index.keep(cache)
    assert cache.stat().st_size < 2000
    again = RowIndex.open(file, cache)
    assert (again.complete, len(again)) == (True, 40_001)
    assert again.read(*again.span(40_000)) == b"end"
    os.utime(file, (1, 1))
    assert not RowIndex.open(file, cache).complete


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"a\nb\nhal")
    index = RowIndex.open(file)
    assert lines_of(index) == [b"a\n", b"b\n", b"hal"]
    for more in (b"f", b"\n", b"c\n" * BLOCK, b"d"):
        with file.open("ab") as out:
            out.write(more)
        assert index.changed()
        assert index.grew()
        index.refresh()
        assert not index.changed()
        index.grow()
        expected = file.read_bytes()
        assert len(index) == len(expected.splitlines())
        last = len(index) - 1
        assert index.read(*index.span(last)) == expected.splitlines(keepends=True)[-1]
    assert index.read(*index.span(2)) == b"half\n"
    file.write_bytes(b"another\n" + file.read_bytes())
    assert index.changed()
    assert not index.grew()
    index.close()


def test_a_file_that_shrinks_or_goes_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"0123456789\n" * 100_000)
    index = RowIndex.open(file)
    index.grow()
    os.truncate(file, 1000)
    assert index.changed()
    spans = [index.span(row) for row in range(0, 100_000, 997)]
    assert all(start <= end for start, end in spans)
    assert index.read(*index.span(5)) == b"0123456789\n"
    assert index.read(*index.span(99_999)) == b""
    file.unlink()
    assert index.changed()
    assert not index.grew()
    index.close()
    assert index.read(0, 5) == b""


def test_threads_share_an_index(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [b"%07d" % n + b"x" * (n % 300) + b"\n" for n in range(60_000)]
    file.write_bytes(b"".join(rows))
    index = RowIndex.open(file)
    wrong: list[int] = []

    def look(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            row = chance.randrange(len(index))
            if index.read(*index.span(row)) != rows[row]:
                wrong.append(row)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    threads.append(threading.Thread(target=index.grow))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == len(rows)
    index.close()


def test_a_follower_hashes_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "a"
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    follower = Follower(fd)
    for _ in range(20):
        os.write(fd, b"line\n" * 50_000)
    os.ftruncate(fd, os.fstat(fd).st_size - 2)
    digest, blocks = follower.finish()
    data = file.read_bytes()
    assert digest == hashlib.sha256(data).hexdigest()
    assert (blocks.newlines, blocks.scanned) == (data.count(b"\n"), len(data))
    os.close(fd)


# What a document makes of it


@pytest.mark.parametrize(
    ("data", "row", "error"),
    [
        (b'{"text": "a"}\n{"text": "tru', 2, "line 2: not JSON"),
        (b'{"text": "a"}\n{"text": "\0"}\n', 2, "line 2: a NUL"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', 2, "line 2: not UTF-8"),
        (b'{"text": "a"}\n\n{"text": "b"}\n', 2, "line 2: blank"),
        (b'{"text": "a"}\n' + b"[" * 10_000 + b"\n", 2, "line 2: "),
        (b'{"text": "a"}\n{"text": "a", "text": "b"}\n', 2, "line 2: key `text`"),
    ],
)
def test_a_bad_row_is_a_row_with_its_reason(
    cat: Catalogue, tmp_path: Path, data: bytes, row: int, error: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(data)
    with Document.open(cat, file) as document:
        document.grow()
        assert document.row(1).text == "a"
        assert str(document.row(row).error).startswith(error)
        document.set(1, "text", "A")
        document.save()
    # What was not touched is there to the byte.
    assert file.read_bytes() == data.replace(b'"a"', b'"A"', 1)


def test_a_mark_and_windows_endings_stay(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
    with Document.open(cat, file) as document:
        assert [row.text for row in document.rows(1, 2)] == ["a", "b"]
        document.set(2, "text", "B")
        document.insert(3, b'{"text": "c"}')
        document.save()
    assert file.read_bytes() == b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "B"}\r\n{"text": "c"}\r\n'


def test_an_empty_file_takes_a_row(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"")
    with Document.open(cat, file) as document:
        assert (document.count, document.complete, document.progress) == (0, True, 1.0)
        with pytest.raises(NotFound, match="there is no row 1; it has 0"):
            document.row(1)
        document.insert(1, b'{"text": "a"}')
        document.save()
    assert file.read_bytes().strip() == b'{"text": "a"}'


def test_a_directory_names_the_way_out(cat: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"directory|folder") as wrong:
        Document.open(cat, tmp_path)
    assert "*.jsonl" in wrong.value.hint


@pytest.mark.parametrize("what", ["vanish", "shrink"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_no_edit_is_lost_with_its_file(
    cat: Catalogue, tmp_path: Path, name: str, what: str
) -> None:
    file = tmp_path / name
    data = {
        "a.jsonl": b'{"text": "a"}\n{"text": "b"}\n',
        "a.json": b'[{"text": "a"}, {"text": "b"}]',
        "a.csv": b"text\na\nb\n",
    }[name]
    file.write_bytes(data)
    with Document.open(cat, file) as document:
        document.grow()
        document.set(2, "text", "B")
        if what == "vanish":
            file.unlink()
        else:
            file.write_bytes(data[:-8])
        for use in (document.grow, document.save):
            with pytest.raises(WorkbenchError) as wrong:
                use()
            assert str(file) in wrong.value.message
            assert wrong.value.hint
    file.write_bytes(data)
    with Document.open(cat, file) as document:
        assert document.unsaved == 1
        assert document.row(2).text == "B"
        document.save()
    assert file.read_bytes() == data.replace(b"b", b"B")
