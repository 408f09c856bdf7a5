"""`data convert` and `data turn`, from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from store.errors import BadInput, Conflict, WorkbenchError
from workbench.commands.data import app

ROWS = (
    b'{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a b"}],"n":1.50}\n'
    b'{"instruction": "q", "input": "", "output": "a"}\n'
)


class Data:
    """Runs commands on one file in one workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "a.jsonl"
        self.file.write_bytes(ROWS)

    def __call__(self, command: str, *options: str) -> dict[str, Any]:
        return dict(json.loads(self.said(command, *options, "--json")))

    def said(self, command: str, *options: str) -> str:
        workspace = str(self.folder / "workspace")
        words = [command, str(self.file), *options, "--workspace", workspace]
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, WorkbenchError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_turns_of_a_row_are_edited_and_undone(data: Data) -> None:
    turns = data("turn", "--row", "1")["turns"]
    assert [(t["turn"], t["role"], t["name"], t["text"]) for t in turns] == [
        (0, "user", "human", "q"),
        (1, "assistant", "gpt", "a b"),
    ]
    data("turn", "split", "--row", "1", "--turn", "1", "--at", "2")
    data("turn", "set-role", "--row", "1", "--turn", "2", "--role", "user")
    data("turn", "set-text", "--row", "1", "--turn", "0", "--text", "Q")
    data("turn", "add", "--row", "1", "--turn", "3", "--role", "assistant", "--text", "c")
    data("turn", "train", "--off", "--row", "1", "--turn", "1")
    found = data("turn", "move", "--row", "1", "--turn", "3", "--to", "1")
    assert found["raw"] == (
        '{"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"c"},'
        '{"from":"gpt","value":"a ","train":false},{"from":"human","value":"b"}],"n":1.50}'
    )
    assert found["unsaved"] >= 1
    data("turn", "delete", "--row", "1", "--turn", "1")
    data("turn", "merge", "--row", "1", "--turn", "1", "--text", "+")
    merged = data("turn", "train", "--row", "1", "--turn", "1")
    assert [(t["text"], t["train"]) for t in merged["turns"]] == [("Q", None), ("a +b", None)]
    assert "gpt" in data.said("turn", "list", "--row", "1")
    for _ in range(9):
        data("undo")
    assert data("turn", "--row", "1")["raw"].encode() == ROWS.splitlines()[0]
    assert data.file.read_bytes() == ROWS


def test_what_a_turn_command_lacks_is_said(data: Data) -> None:
    for words, message in (
        (("split",), "split: --at is missing"),
        (("move",), "move: --to is missing"),
        (("add",), "add: --role is missing"),
        (("set-text",), "set-text: --text is missing"),
        (("dance",), "there is no action `dance`"),
        (("delete", "--turn", "9"), "there is no turn 9; the row has 2"),
    ):
        with pytest.raises(BadInput, match=message):
            data("turn", *words, "--row", "1")
    with pytest.raises(BadInput, match="a row of Alpaca: instruction, output has no place for it"):
        data("turn", "add", "--row", "2", "--role", "user", "--turn", "2")


def test_a_dataset_is_converted(data: Data) -> None:
    out = data.folder / "out.jsonl"
    done = data("convert", "--to", "messages", "--out", str(out))
    assert (done["rows"], done["written"], done["unchanged"], done["lost"]) == (2, 2, 0, {})
    assert [json.loads(line) for line in out.read_bytes().splitlines()] == [
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "a b"},
            ],
            "n": 1.5,
        },
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    ]
    with pytest.raises(Conflict, match="is there already"):
        data("convert", "--to", "messages", "--out", str(out))
    data("convert", "--to", "prompt_completion", "--out", str(out), "--force")
    words = data.said("convert", "--to", "text", "--out", str(out), "--force", "--leave-out")
    assert "2 left out" in words and "up to a chat template" in words
    assert out.read_bytes() == b""
    with pytest.raises(BadInput, match="2 of 2 rows cannot become preference"):
        data("convert", "--to", "preference", "--in-place")
    with pytest.raises(BadInput, match="either --out FILE or --in-place"):
        data("convert", "--to", "messages")
    with pytest.raises(BadInput, match="--to xml: there is no such shape"):
        data("convert", "--to", "xml", "--in-place")
    data("convert", "--to", "alpaca", "--in-place")
    assert data("turn", "--row", "1")["raw"].startswith('{"instruction": "q"')
    data("undo")
    assert data("turn", "--row", "1")["raw"].encode() == ROWS.splitlines()[0]
