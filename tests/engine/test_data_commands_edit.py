"""The `data` commands that edit and save, from the outside."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from store.errors import BadInput, Conflict, NotFound, WorkbenchError
from workbench.commands.data import app


def line(text: object) -> bytes:
    return json.dumps({"text": str(text)}).encode() + b"\n"


class Data:
    """Runs commands on the files of one folder in one workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workspace = folder, folder / "workspace"
        self.where = self.write("a.jsonl", "abcdefghij")

    def write(self, name: str, texts: str) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(line(text) for text in texts))
        return str(path)

    def __call__(self, command: str, *options: str, stdin: str = "") -> dict[str, Any]:
        output = self.text(command, *options, "--json", stdin=stdin)
        assert output.count("\n") == 1
        return dict(json.loads(output))

    def text(self, command: str, *options: str, stdin: str = "") -> str:
        words = [command, self.where, *options, "--workspace", str(self.workspace)]
        result = CliRunner().invoke(app, words, input=stdin)
        if isinstance(result.exception, WorkbenchError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def texts(self) -> str:
        rows = self("rows", "--count", "99")["rows"]
        return "".join(row["text"] for row in rows)

    def on_disk(self) -> bytes:
        return Path(self.where).read_bytes()


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_rows_are_changed_in_every_way(data: Data) -> None:
    assert data("set", "--row", "2", "--raw", '{"text": "B"}')["text"] == "B"
    assert data("delete", "--row", "3,5-7", "--row", "10")["rows"] == [3, 5, 6, 7, 10]
    assert data.texts() == "aBdhi"
    assert data("duplicate", "--row", "1")["row"] == 2
    assert data("move", "--row", "6", "--to", "1")["text"] == "i"
    assert data("insert", "--raw", "-", stdin='{\n "text": "z"\n}\n')["row"] == 7
    assert data("insert", "--raw", '{"text": "y"}', "--before", "1")["raw"] == '{"text": "y"}'
    assert data.texts() == "yiaaBdhz"
    status = data("status")
    # Beside what was meant: a row that moved is gone in one place and new in another.
    assert (status["edited"], status["added"], status["deleted"]) == (1, 4, 6)
    assert (status["undo"], status["redo"]) == ("add row 1", None)
    assert data("undo", "--steps", "3")["steps"] == ["add row 1", "add row 7", "move row 6 to 1"]
    assert data("redo")["row"] == 1
    steps = [(step["label"], step["done"]) for step in data("history")["steps"]]
    assert steps[:2] == [("add row 1", False), ("add row 7", False)]
    assert data("undo", "--steps", "99")["unsaved"] == 0
    assert data("diff")["changes"] == []
    assert data.text("diff") == "nothing has changed\n"
    assert data.text("undo") == "nothing to be undone\n"


def test_the_difference_is_shown_by_line(data: Data) -> None:
    data("set", "--row", "2", "--set", "text=B")
    data("delete", "--row", "4")
    data("insert", "--raw", '{"text": "new"}')
    assert data.text("diff").splitlines() == [
        "@ row 2",
        '- {"text": "b"}',
        '+ {"text": "B"}',
        "@ line 4 of the file",
        '- {"text": "d"}',
        "@ row 10",
        '+ {"text": "new"}',
    ]
    found = data("diff", "--limit", "2")
    assert (found["total"], [change["kind"] for change in found["changes"]]) == (
        3,
        ["edited", "deleted"],
    )


def test_versions_are_listed_and_come_back_to_the_byte(data: Data) -> None:
    original = data.on_disk()
    for text in "BC":
        data("set", "--row", "2", "--set", f"text={text}")
        data("save")
    versions = data("versions")["versions"]
    assert [version["current"] for version in versions] == [True, False, False]
    first = versions[-1]
    assert first["sha256"] == hashlib.sha256(original).hexdigest()
    assert data("restore", "--version", str(first["id"]))["unsaved"] == 2
    assert data.texts() == "abcdefghij"
    data("undo")
    assert data("restore", "--version", str(first["id"]), "--save")["same_bytes"] is True
    assert data.on_disk() == original
    with pytest.raises(NotFound, match="no version 77"):
        data("restore", "--version", "77")


def test_a_changed_file_leaves_three_ways(data: Data) -> None:
    def begin() -> None:
        data("discard")
        data.write("a.jsonl", "abcdefghij")
        data("info")
        data("set", "--row", "2", "--set", "text=B")
        data("set", "--row", "5", "--set", "text=E")
        data.write("a.jsonl", "xabcd")
        with pytest.raises(Conflict, match="line 2") as conflict:
            data("status")
        assert "--merge" in conflict.value.hint

    begin()
    saved = data("save", "--merge")
    assert [change["after"] for change in saved["unplaced"]] == ['{"text": "E"}']
    assert data.on_disk() == b"".join(map(line, "xaBcd"))
    assert data("status")["unplaced"] == saved["unplaced"]
    assert "found no place" in data.text("status")
    begin()
    assert data("save", "--mine")["unplaced"] == []
    assert data.on_disk() == b"".join(map(line, "xBbcE"))
    begin()
    assert data("save", "--theirs")["discarded"] == 2
    assert data.on_disk() == b"".join(map(line, "xabcd"))
    with pytest.raises(BadInput, match="exclude one another"):
        data("save", "--mine", "--merge")


def test_tags_and_notes(data: Data) -> None:
    assert data("tag", "--row", "2-4", "--add", "good", "--add", "short")["tags"] == {
        "good": 3,
        "short": 3,
    }
    data("tag", "--row", "3", "--remove", "short")
    data("note", "--row", "3", "--text", "look again")
    data("move", "--row", "3", "--to", "1")
    assert data("note", "--row", "1") == {
        "path": data.where,
        "row": 1,
        "note": "look again",
        "tags": ["good"],
    }
    assert data.text("tag").split() == ["3", "good", "2", "short"]
    with pytest.raises(BadInput, match="--row with --add"):
        data("tag", "--row", "1")


def test_several_files_are_edited_as_one(data: Data) -> None:
    data.write("b.jsonl", "xyz")
    data.where = str(data.folder / "?.jsonl")
    data("move", "--row", "1", "--to", "12")
    data("delete", "--row", "9,13")
    assert data.texts() == "bcdefghixya"
    assert data("save")["edits"] == 4
    assert (data.folder / "b.jsonl").read_bytes() == b"".join(map(line, "xya"))
    data("undo", "--steps", "2")
    assert data.texts() == "abcdefghijxyz"
    assert {version["path"] for version in data("versions")["versions"]} == {
        str(data.folder / "a.jsonl"),
        str(data.folder / "b.jsonl"),
    }
    assert data("discard")["discarded"] == 4


def test_what_cannot_be_is_said_plainly(data: Data) -> None:
    for rows, match in (
        ("0", "there is no row 0"),
        ("11", "there is no row 11; it has 10"),
        ("3-99", "there is no row 99"),
    ):
        with pytest.raises(NotFound, match=match):
            data("delete", "--row", rows)
    for rows, match in (("7-3", "ends before it begins"), ("x", "expected a number or a range")):
        with pytest.raises(BadInput, match=match):
            data("delete", "--row", rows)
    with pytest.raises(BadInput, match="the new row is not JSON"):
        data("set", "--row", "1", "--raw", "{broken")
    with pytest.raises(BadInput, match="either --set KEY=TEXT or --raw JSON"):
        data("set", "--row", "1")
    with pytest.raises(BadInput, match="no row to add"):
        data("insert")
    with pytest.raises(NotFound, match="there is no row 12"):
        data("insert", "--raw", "{}", "--before", "13")
    with pytest.raises(NotFound, match="there is no row 11"):
        data("move", "--row", "1", "--to", "11")
    with pytest.raises(BadInput, match="cannot be a tag"):
        data("tag", "--row", "1", "--add", "a,b")
    assert data("status")["unsaved"] == 0
