"""Sources: every format as rows, first rows at once, and written back as it was."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from engine.data.document import Document
from engine.data.file.lines import Lines
from engine.data.journal.pieces import Pieces
from engine.data.sources import Limits, PackedSource, Source, open_source
from engine.data.sources.copies import sweep_copies
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.workspace import Workspace

ROWS = [
    {"instruction": 'say "hi" \\ {[', "input": "", "output": "a, b] }\n\u2028é 😀"},
    {"instruction": "\\", "input": '\\\\"', "output": "x" * 3000},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "[1, 2]"}]},
    {"n": 1.5e10, "deep": {"er": [[], {}, [{}]]}, "null": None},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "indexes"
    path.mkdir()
    return path


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Source]]:
    found: list[Source] = []

    def open_(path: Path, limits: Limits | None = None) -> Source:
        source = open_source(path, folder, path.name, limits=limits)
        found.append(source)
        return source

    yield open_
    for source in found:
        source.close()


def contents(source: Source) -> list[bytes]:
    source.grow()
    lines = Lines(source.index, Pieces())
    return [lines.content(row) for row in range(len(source.index))]


def saved(source: Source, pieces: Pieces, path: Path) -> tuple[int, bytes]:
    source.grow()
    with path.open("wb+") as out:
        written = source.compose(out.fileno(), Lines(source.index, pieces))
    return written, path.read_bytes()


def packed(data: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])
    return zstandard.ZstdCompressor().compress(data) if how == "zst" else data


def unpacked(data: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompress(data) if how == "zst" else data


STYLES: dict[str, Callable[[list[object]], str]] = {
    "one line": json.dumps,
    "tight": lambda rows: json.dumps(rows, separators=(",", ":"), ensure_ascii=False) + "\n",
    "pretty": lambda rows: json.dumps(rows, indent=2, ensure_ascii=False),
    "tabs": lambda rows: json.dumps(rows, indent="\t") + "\n",
    "windows": lambda rows: json.dumps(rows, indent=4).replace("\n", "\r\n"),
    "bom": lambda rows: "\ufeff" + json.dumps(rows, indent=0),
    "a row a line": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n",
}


@pytest.mark.parametrize("how", ["", "gz", "zst"])
@pytest.mark.parametrize("style", STYLES)
def test_an_array_reads_as_rows_and_is_spliced(
    opened: Callable[..., Source], tmp_path: Path, style: str, how: str
) -> None:
    rows: list[object] = [*ROWS, 7, 'text, [with] "all"', *ROWS, [], None]
    data = STYLES[style](rows).encode()
    file = tmp_path / f"a.json{'.' * bool(how)}{how}"
    file.write_bytes(packed(data, how))
    source = opened(file)
    found = contents(source)
    assert (source.format, source.compression) == ("json", {"gz": "gzip", "zst": "zstd"}.get(how))
    assert [json.loads(row) for row in found] == rows
    assert source.trouble is None
    assert not source.wrongs

    written, same = saved(source, Pieces(), tmp_path / "same")
    assert (written, unpacked(same, how)) == (len(rows), data)

    pieces = Pieces()
    pieces.replace(2, found[2].replace(b'"q"', b'"Q"'))
    written, edited = saved(source, pieces, tmp_path / "edited")
    assert written == len(rows)
    if style != "bom":
        # Only what was edited is another, inside a pretty-printed element too.
        assert unpacked(edited, how) == data.replace(b'"q"', b'"Q"', 1)

    pieces.delete(0)
    pieces.insert(3, b'{"new": 1}\n')
    pieces.delete(len(rows) - 1)
    written, edited = saved(source, pieces, tmp_path / "edited")
    after = json.loads(unpacked(edited, how).decode("utf-8-sig"))
    expected = json.loads(json.dumps(rows).replace('"q"', '"Q"', 1))[1:-1]
    expected.insert(3, {"new": 1})
    assert after == expected
    file.write_bytes(edited)
    assert [json.loads(row) for row in contents(opened(file))] == expected


def test_an_array_emptied_and_filled(opened: Callable[..., Source], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for data in (b"[]", b"[\n]\n", b' [ {"a": 1} ] '):
        file.write_bytes(data)
        source = opened(file)
        pieces = Pieces()
        if contents(source):
            pieces.delete(0)
            assert json.loads(saved(source, pieces, tmp_path / "out")[1]) == []
        pieces.insert(0, b"{}\n")
        pieces.insert(1, b"2\n")
        assert json.loads(saved(source, pieces, tmp_path / "out")[1]) == [{}, 2]


def test_an_array_split_anywhere_reads_the_same(folder: Path) -> None:
    """The state between two pieces: backslashes, strings, brackets, gaps."""
    from engine.data.sources.array import ArrayRows
    from engine.data.sources.out import Out

    data = json.dumps([*ROWS[:1], 's\\"', 1, *ROWS[2:]], indent=1).encode()
    results = set()
    for size in (1, 2, 3, 5, 7, len(data)):
        copy = os.open(folder / "copy", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        spans = os.open(folder / "spans", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        out = Out(copy, spans, len(data))
        rows = ArrayRows(out)
        for start in range(0, len(data), size):
            rows.take(data[start : start + size], start)
        assert rows.finish() is None
        results.add(((folder / "copy").read_bytes(), (folder / "spans").read_bytes()))
        os.close(copy)
        os.close(spans)
    assert len(results) == 1


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


TABLE = 'id,text,"note ""x"""\r\n1,"two\r\nlines, ""quoted""",é\r\n2,plain,\r\n3,"last",z'


@pytest.mark.parametrize("how", ["", "gz"])
@pytest.mark.parametrize("ending", ["", "\r\n"])
def test_a_table_reads_as_objects_and_is_spliced(
    opened: Callable[..., Source], tmp_path: Path, how: str, ending: str
) -> None:
    data = (TABLE + ending).encode()
    file = tmp_path / f"a.csv{'.' * bool(how)}{how}"
    file.write_bytes(packed(data, how))
    source = opened(file)
    found = contents(source)
    expected = list(csv.DictReader(io.StringIO(TABLE, newline="")))
    assert [json.loads(row) for row in found] == expected
    assert source.format == "csv"
    assert unpacked(saved(source, Pieces(), tmp_path / "same")[1], how) == data

    new = source.accept(b'{"text": "a\\"b\\r,", "id": 9}')
    assert json.loads(new) == {"id": "9", "text": 'a"b\r,', 'note "x"': ""}
    pieces = Pieces()
    pieces.replace(1, new)
    written, edited = saved(source, pieces, tmp_path / "edited")
    assert written == 3
    assert unpacked(edited, how) == data.replace(b"2,plain,", b'9,"a""b\r,",')
    pieces.delete(0)
    pieces.insert(2, new + b"\n")
    pieces.insert(0, new + b"\n")
    file.write_bytes(saved(source, pieces, tmp_path / "edited")[1])
    assert contents(opened(file)) == [new, new, found[2], new]
    with pytest.raises(BadInput, match="key `other`: the table has no such column") as wrong:
        source.accept(b'{"other": ""}')
    assert "JSONL" in wrong.value.hint
    with pytest.raises(BadInput, match="key `text`: a list"):
        source.accept(b'{"text": []}')


def test_a_table_of_tabs_and_bad_records(opened: Callable[..., Source], tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(
        b'\xef\xbb\xbfa\tb\n1\t2\n\nonly\n1\t2\t3\n\xff\t2\n5\t"open '
        + (b"x" * 999 + b"\n") * 5000
        + b"z\tz\n"
    )
    source = opened(file)
    found = contents(source)
    assert json.loads(found[0]) == {"a": "1", "b": "2"}
    assert found[1:4] == [b"only", b"1\t2\t3", b"\xff\t2"]
    assert source.wrongs[1].startswith("1 fields; the header names 2 (at byte ")
    assert source.wrongs[2].startswith("3 fields; the header names 2")
    assert source.wrongs[3].startswith("not UTF-8")
    assert source.wrongs[4].startswith("a quote is opened here and never closed")
    assert json.loads(found[-1]) == {"a": "z", "b": "z"}
    assert saved(source, Pieces(), tmp_path / "same")[1] == file.read_bytes()


def test_parquet_keeps_types_and_groups(opened: Callable[..., Source], tmp_path: Path) -> None:
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            pa.field("n", pa.int32(), nullable=False),
            ("when", pa.timestamp("us")),
            ("raw", pa.binary()),
            ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ],
        metadata={"made": "by hand"},
    )
    rows = [
        {
            "n": n,
            "when": datetime.datetime(2026, 1, 2, 3, 4, 5, n),
            "raw": bytes([n % 256]),
            "messages": [{"role": "user", "content": f"q{n}"}],
        }
        for n in range(1000)
    ]
    file = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, file, row_group_size=300, compression="zstd")
    source = opened(file)
    found = [json.loads(row) for row in contents(source)]
    assert (source.format, len(found)) == ("parquet", 1000)
    assert found[7]["messages"] == rows[7]["messages"]
    assert found[7]["when"].startswith("2026-01-02T03:04:05")
    assert found[7]["raw"] == "Bw=="

    pieces = Pieces()
    found[7]["n"] = 70
    pieces.replace(7, source.accept(json.dumps(found[7]).encode()))
    pieces.delete(500)
    assert saved(source, pieces, tmp_path / "out.parquet")[0] == 999
    rows[7]["n"] = 70
    del rows[500]
    after = pq.ParquetFile(tmp_path / "out.parquet")
    assert after.read().to_pylist() == rows
    assert after.schema_arrow.equals(pq.ParquetFile(file).schema_arrow, check_metadata=True)
    groups = [after.metadata.row_group(n) for n in range(after.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [300, 299, 300, 100]
    assert groups[0].column(0).compression == "ZSTD"
    for row, what in (
        (b'{"n": 1, "more": 2}', "key `more`"),
        (b'{"n": "one"}', "key `n`: expected int32"),
        (b'{"n": 1, "messages": [{"rule": ""}]}', "key `messages`"),
        (b'{"when": null}', "key `n`: missing"),
    ):
        with pytest.raises(BadInput, match=what):
            source.accept(row)
    pieces.insert(0, b'{"n": 1, "more": 2}\n')
    with pytest.raises(BadInput, match="line 1: key `more`"):
        saved(source, pieces, tmp_path / "out.parquet")


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


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", "\ufeff{}".encode("utf-16-le"), "UTF-16LE text; expected UTF-8"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16-le"), "UTF-16LE text"),
        ("a.jsonl", b"PK\x03\x04rest", "a ZIP archive"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00", "end early"),
        ("a.jsonl.gz", b"\x1f\x8bnonsense", "damaged"),
        ("a.jsonl.gz", b"\0\1\2\3", "named as compressed"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfdgarbage", "Zstandard"),
        ("a.parquet", b"PAR1 but no footer", "cannot be read as Parquet"),
        ("a.parquet", b"PARE", "an encrypted Parquet file"),
        ("a.parquet", b"hello", "does not begin as Parquet does"),
        ("a.json", b'{\n  "data": [\n]}', "one JSON object over several lines"),
        ("a.csv", b"\xff,b\n1,2\n", "the header is not UTF-8"),
    ],
)
def test_what_cannot_be_read_says_what_it_is(
    opened: Callable[..., Source], tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(BadInput, match=message) as wrong:
        opened(file).grow()
    assert str(file) in wrong.value.message
    assert wrong.value.hint


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("a.jsonl", b"", 0),
        ("a.json", b"", 0),
        ("a.csv", b"", 0),
        ("a.csv", b"a,b", 0),
        ("a.csv", b'{"a": 1}\n', 1),
        ("a.jsonl", b'["a"]\n["b"]\n', 2),
        ("a.jsonl", b'[{"a": 1},\n {"a": 2}]\n', 2),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), 0),
        ("a", gzip.compress(b"{}\n{}", mtime=0), 2),
        ("a.gz", b"{}\n", 1),
    ],
)
def test_content_decides_before_the_name(
    opened: Callable[..., Source], tmp_path: Path, name: str, data: bytes, rows: int
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    assert len(contents(opened(file))) == rows
    with pytest.raises(NotFound):
        opened(tmp_path / "gone.json")
    with pytest.raises(BadInput, match=r"a directory; expected") as wrong:
        opened(tmp_path)
    assert "*.jsonl" in wrong.value.hint


# As documents: edited, saved, taken back


def text_files(folder: Path) -> dict[str, Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": f"row {n}", "more": "é"} for n in range(5)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    pretty = json.dumps(rows, indent=2, ensure_ascii=False).encode()
    # Of a record that was away only its values come back, not quotes that it did not need.
    table = b"text,more\r\n" + b"".join(b"row %d,\xc3\xa9\r\n" % n for n in range(5))
    files = {
        "pretty.json": pretty,
        "line.json.zst": packed(json.dumps(rows).encode(), "zst"),
        "table.csv": table,
        "table.csv.gz": packed(table, "gz"),
        "lines.jsonl.gz": packed(lines, "gz"),
        "lines.jsonl.zst": packed(lines, "zst"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    [
        "pretty.json",
        "line.json.zst",
        "table.csv",
        "table.csv.gz",
        "lines.jsonl.gz",
        "lines.jsonl.zst",
        "rows.parquet",
    ],
)
def test_edits_of_any_format_are_saved_and_taken_back(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = text_files(home)[name]
    original = file.read_bytes()

    def texts(document: Document) -> list[str]:
        document.grow()
        return [json.loads(document.raw(n))["text"] for n in range(1, document.count + 1)]

    before = [f"row {n}" for n in range(5)]
    with Catalogue.open(Workspace(tmp_path / "ws")) as cat:
        with Document.open(cat, file) as document:
            document.set(2, "text", 'new "text",\nof two lines')
            document.delete(1)
            document.insert(3, json.dumps({"text": "added", "more": ""}).encode())
            document.move(5, 1)
            after = texts(document)
            assert after == ["row 4", 'new "text",\nof two lines', "row 2", "added", "row 3"]
            report = document.save()
            assert (report.rows, document.unsaved) == (5, 0)
            assert texts(document) == after
        with Document.open(cat, file) as document:
            assert texts(document) == after
            for _ in range(4):
                assert document.undo() is not None
            assert texts(document) == before
            assert document.unsaved
            document.save()
            assert texts(document) == before
        if document.compression is None and name != "rows.parquet":
            assert file.read_bytes() == original
        assert sorted(path.name for path in home.iterdir() if path.name.startswith(".")) == []


def test_a_bad_row_is_refused_where_its_format_has_no_place(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    files = text_files(home)
    with Catalogue.open(Workspace(tmp_path / "ws")) as cat:
        for name, row, what in (
            ("pretty.json", b"{broken", "not JSON"),
            ("pretty.json", b'{"text": "\xff"}', "not JSON"),
            ("table.csv", b'{"text": "\xff"}', "not JSON"),
            ("rows.parquet", b'{"text": "\xff"}', "not JSON"),
            ("table.csv", b'{"text": "a", "new": "b"}', "key `new`"),
            ("rows.parquet", b'{"text": 1}', "key `text`: expected string"),
        ):
            with Document.open(cat, files[name]) as document:
                with pytest.raises(BadInput, match=what) as wrong:
                    document.replace(1, row)
                assert "JSONL" in wrong.value.hint
                assert document.unsaved == 0
