"""Packed and damaged sources: first rows at once, copies kept and swept, bombs, files cut short."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from engine.data.file.lines import Lines
from engine.data.journal.pieces import Pieces
from engine.data.sources import Limits, PackedSource, Source
from engine.data.sources.copies import sweep_copies
from store.errors import BadInput
from tests.engine.source_files import contents, opening, packed, saved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "indexes"
    path.mkdir()
    return path


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Source]]:
    with opening(folder) as open_:
        yield open_


def test_a_big_file_is_unpacked_behind_and_kept(
    opened: Callable[..., Source], tmp_path: Path, folder: Path
) -> None:
    chance = random.Random(3)
    rows = [{"text": f"{n} " + chance.randbytes(400).hex()} for n in range(22_000)]
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(json.dumps(rows).encode(), 1))
    source = opened(file)
    assert not source.complete
    assert 64 <= len(source.index) < len(rows)
    early = Lines(source.index, Pieces()).content(63)
    seen = []
    while not source.grow(0.02):
        seen.append(source.progress)
    assert seen == sorted(seen)
    assert source.progress == 1.0
    found = contents(source)
    assert [json.loads(row) for row in found] == rows
    assert found[63] == early
    source.keep()
    source.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.json.gz.copy",
        "a.json.gz.copy-rows",
        "a.json.gz.meta",
        "a.json.gz.spans",
    ]
    again = opened(file)
    assert again.complete
    pieces = Pieces()
    pieces.delete(5)
    del rows[5]
    assert json.loads(gzip.decompress(saved(again, pieces, tmp_path / "out")[1])) == rows
    again.close()

    file.write_bytes(gzip.compress(b"[1]"))
    assert contents(opened(file)) == [b"1"]


def test_closing_ends_the_unpacking(
    opened: Callable[..., Source], tmp_path: Path, folder: Path
) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "0123456789"}\n' * 3_000_000, 1))
    source = opened(file)
    source.grow(0.01)
    assert not source.complete
    source.close()
    assert not list(folder.iterdir())


def test_opening_waits_for_no_long_row(opened: Callable[..., Source], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'[{"a": 1}, {"text": "' + b"x" * (40 << 20) + b'"}, {"b": 2}]')
    source = opened(file)
    assert len(source.index) == 1
    assert not source.complete
    found = contents(source)
    assert (found[0], len(found[1]), found[2]) == (b'{"a": 1}', (40 << 20) + 12, b'{"b": 2}')


def test_an_unpacking_that_is_ended_is_told(
    opened: Callable[..., Source], tmp_path: Path, folder: Path
) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "0123456789"}\n' * 3_000_000, 1))
    source = opened(file)
    assert isinstance(source, PackedSource)
    source.grow(0.01)
    assert source._process is not None
    source._process.kill()
    assert source.grow()
    assert "ended before it was done" in str(source.trouble)
    assert source.index.read(*source.index.span(70)) == b'{"text": "0123456789"}\n'
    with pytest.raises(BadInput, match="not saved"):
        saved(source, Pieces(), tmp_path / "out")
    source.keep()
    source.close()
    assert not list(folder.iterdir())


def test_copies_are_swept(opened: Callable[..., Source], tmp_path: Path, folder: Path) -> None:
    for name in "abc":
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps([name * 1000]))
        source = opened(file)
        source.grow()
        source.keep()
        source.close()
        os.utime(folder / f"{name}.json.meta", (ord(name), ord(name)))
    (folder / "x-999999999-0.copy.part").write_bytes(b"x")
    (tmp_path / "c.json").unlink()
    sweep_copies(folder)
    kept = {path.name.split(".")[0] for path in folder.iterdir()}
    assert kept == {"a", "b"}
    sweep_copies(folder, limit=1500)
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {"b"}


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_file_cut_short_keeps_its_rows(
    opened: Callable[..., Source], tmp_path: Path, how: str
) -> None:
    chance = random.Random(1)
    lines = [json.dumps({"text": chance.randbytes(200).hex()}).encode() for _ in range(4000)]
    data = b"\n".join(lines) + b"\n"
    whole = gzip.compress(data) if how == "gz" else packed(data, how)
    file = tmp_path / f"a.jsonl.{how}"
    file.write_bytes(whole[: len(whole) * 2 // 3])
    source = opened(file)
    found = contents(source)
    assert 1000 < len(found) < 4000
    assert found[:1000] == lines[:1000]
    assert source.trouble is not None
    assert "end early" in source.trouble
    assert source.wrongs[len(found) - 1] == source.trouble
    with pytest.raises(BadInput, match="not saved, as not all of it could be read"):
        saved(source, Pieces(), tmp_path / "out")


def test_an_array_cut_short_can_be_closed(opened: Callable[..., Source], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'[\n  {"a": 1},\n  {"a": "tw')
    source = opened(file)
    assert contents(source) == [b'{"a": 1}', b'{"a": "tw']
    assert source.wrongs[1].startswith("the file ends inside this element")
    assert saved(source, Pieces(), tmp_path / "out")[1] == file.read_bytes()
    pieces = Pieces()
    pieces.delete(1)
    assert json.loads(saved(source, pieces, tmp_path / "out")[1]) == [{"a": 1}]
    file.write_bytes(b'[{"a": 1}] and more')
    source = opened(file)
    assert contents(source) == [b'{"a": 1}']
    assert "text after the end of the array, at byte 11" in str(source.trouble)
    for text, place in ((b'[{"a": 1} {"a": 2}]', "no comma"), (b'[{"a": 1}, 2,]', "a comma too")):
        file.write_bytes(text)
        source = opened(file)
        assert len(contents(source)) == 2
        assert str(source.trouble).startswith(place)
    file.write_bytes(b'[1, {"a": "x, y"},[2] , "b,c",{}]')
    assert len(contents(opened(file))) == 5
    assert opened(file).trouble is None
    file.write_bytes(b'[{"a": "b\nc"}]')
    assert contents(opened(file)) == [b'{"a": "b\x0bc"}']


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_bomb_is_not_unpacked(opened: Callable[..., Source], tmp_path: Path, how: str) -> None:
    file = tmp_path / f"bomb.jsonl.{how}"
    zeros = bytes(1 << 20)
    if how == "gz":
        with gzip.open(file, "wb") as out:
            out.write(b'{"text": "a"}\n')
            for _ in range(400):
                out.write(zeros)
    else:
        with zstandard.ZstdCompressor().stream_writer(file.open("wb"), closefd=True) as zst:
            zst.write(b'{"text": "a"}\n')
            for _ in range(400):
                zst.write(zeros)
    source = opened(file, Limits(ratio_from=64 << 20))
    source.grow()
    assert source.index.known_size < 200 << 20
    assert source.index.read(*source.index.span(0)) == b'{"text": "a"}\n'
    assert "taken for a bomb" in str(source.trouble)


def test_a_full_disk_is_left_some_room(opened: Callable[..., Source], tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "0123456789"}\n' * 3_000_000, 1))
    source = opened(file, Limits(free=1 << 60))
    source.grow()
    assert "would fill the disk" in str(source.trouble)
    assert len(source.index) > 1000
