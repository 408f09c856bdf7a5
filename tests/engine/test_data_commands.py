"""The `data` commands, from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from store.errors import BadInput, Conflict, NotFound, WorkbenchError
from workbench.commands.data import app

ROWS = (
    b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}\n'
    b'{"messages":[{"role":"user","content":"A"},{"role":"assistant","content":"B"}]}\r\n'
    b"{broken"
)


class Data:
    """Runs commands on one file in one workspace."""

    def __init__(self, folder: Path) -> None:
        self.file, self.workspace = folder / "a.jsonl", folder / "workspace"
        self.file.write_bytes(ROWS)

    def __call__(self, command: str, *options: str) -> dict[str, Any]:
        words = [command, str(self.file), *options, "--workspace", str(self.workspace), "--json"]
        output = self.run(words)
        assert output.count("\n") == 1
        return dict(json.loads(output))

    def run(self, words: list[str]) -> str:
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, WorkbenchError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_look_edit_save_and_go_back(data: Data) -> None:
    info = data("info")
    assert (info["rows"], info["bad_rows"], info["shapes"]) == (3, 1, {"messages": 2})
    assert info["errors"][0]["error"].startswith("line 3: not JSON")
    row = data(
        "set", "--row", "2", "--set", "messages.1.content=Bé", "--set", "messages.0.content=x=y"
    )
    assert [turn["text"] for turn in row["turns"]] == ["x=y", "Bé"]
    assert data("show", "--row", "2")["edited"] is True
    assert data.file.read_bytes() == ROWS
    assert data("save")["edits"] == 1
    assert data.file.read_bytes() == ROWS.replace(b'"B"', '"Bé"'.encode()).replace(b'"A"', b'"x=y"')
    assert data("undo")["row"] == 2
    assert data("redo")["row"] == 2
    assert data("undo")["unsaved"] == 1
    data("save")
    assert data.file.read_bytes() == ROWS
    assert data("undo")["row"] is None


def test_preview_is_what_the_renderer_gives(data: Data) -> None:
    data("set", "--row", "1", "--set", "messages.1.content=Edited.")
    seen = data("preview", "--row", "1", "--model", "starter")
    assert len(seen["ids"]) == len(seen["mask"]) == len(seen["tokens"])
    assert seen["trained_tokens"] == sum(seen["mask"]) > 0
    learned = [t for t, m in zip(seen["tokens"], seen["mask"], strict=True) if m]
    assert "".join(learned).startswith("Edited.")
    with pytest.raises(BadInput, match=r"a\.jsonl: line 3: not JSON"):
        data("preview", "--row", "3", "--model", "starter")


def test_bad_input_is_named(data: Data) -> None:
    with pytest.raises(NotFound, match="no row 9; it has 3"):
        data("show", "--row", "9")
    with pytest.raises(BadInput, match="expected KEY=TEXT"):
        data("set", "--row", "1", "--set", "messages")
    with pytest.raises(BadInput, match=r"line 1: cannot set `messages.7.content`"):
        data("set", "--row", "1", "--set", "messages.0.content=x", "--set", "messages.7.content=x")
    assert data("info")["unsaved"] == 0
    data.file.write_bytes(b"plain text\n")
    with pytest.raises(BadInput, match="not one row can be read; line 1"):
        data("info")
    data.file.unlink()
    with pytest.raises(NotFound, match="no such file"):
        data("info")


def test_a_conflict_has_two_ways_out(data: Data) -> None:
    data("set", "--row", "1", "--set", "messages.0.content=mine")
    data.file.write_bytes(ROWS.replace(b"Hi", b"theirs"))
    with pytest.raises(Conflict, match="line 1"):
        data("save")
    assert data("save", "--force")["edits"] == 1
    assert data.file.read_bytes() == ROWS.replace(b"Hi", b"mine")
    data("set", "--row", "1", "--set", "messages.0.content=again")
    data.file.write_bytes(b"")
    with pytest.raises(Conflict):
        data("info")
    assert data("discard")["discarded"] == 1
    assert data("info")["rows"] == 0
