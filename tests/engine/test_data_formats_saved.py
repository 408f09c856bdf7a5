"""Documents of any format: edited, saved, taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.data.document import Document
from store.catalogue import Catalogue
from store.errors import BadInput
from store.workspace import Workspace
from tests.engine.source_files import packed


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
