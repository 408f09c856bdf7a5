"""Sources: every format as rows, and written back as it was."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.data.journal.pieces import Pieces
from engine.data.sources import Source
from store.errors import BadInput, NotFound
from tests.engine.source_files import contents, opening, packed, saved, unpacked

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
    with opening(folder) as open_:
        yield open_


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
