"""`data info`, `data rows` and `data show`, on files of every format."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.data import census as census_module
from engine.data.census import census
from engine.data.document import Document
from store.catalogue import Catalogue
from store.errors import Conflict, NotFound, WorkbenchError
from store.workspace import Workspace
from workbench.commands.data import app

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}
ALPACA = {"instruction": "Say", "input": "", "output": "Said"}


def data(folder: Path, command: str, file: Path, *options: str) -> dict[str, Any]:
    words = [command, str(file), *options, "--workspace", str(folder / "ws"), "--json"]
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, WorkbenchError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_info_tells_a_mixed_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(json.dumps([CHAT, ALPACA, CHAT, {"no": "shape"}]).encode()))
    info = data(tmp_path, "info", file)
    assert (info["format"], info["compression"], info["rows"]) == ("json", "gzip", 4)
    assert info["shapes"] == {"messages": 2, "alpaca": 1}
    assert info["mixed"] is True
    assert sum(info["dialects"].values()) == 3
    assert info["purposes"] == {"sft": 3}
    assert info["bad_rows"] == 1
    assert info["errors"][0]["row"] == 4
    assert info["errors"][0]["error"].startswith("line 4: ")
    assert (info["unsaved"], info["tags"], info["trouble"]) == (0, {}, None)
    words = ["info", str(file), "--workspace", str(tmp_path / "ws")]
    text = CliRunner().invoke(app, words).stdout
    assert "format   json, gzip" in text
    assert "rows     4 (2 messages, 1 alpaca)" in text


def test_info_counts_the_same_on_all_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.jsonl"
    rows = [json.dumps(CHAT if n % 3 else ALPACA).encode() for n in range(3000)]
    rows[100] = b"{broken"
    rows[2000] = b'{"text": "' + b"x" * (5 << 20) + b'"}'
    file.write_bytes(b"\r\n".join(rows))
    with Catalogue.open(Workspace(tmp_path / "ws")) as cat, Document.open(cat, file) as document:
        document.set(3, "messages.0.content", "edited")
        document.delete(200)
        document.replace(2500, b"[]")
        document.grow()
        alone = census(document)
        monkeypatch.setattr(census_module, "_PARALLEL_FROM", 0)
        monkeypatch.setattr(census_module, "_SHARE", 20_000)
        seen: list[int] = []
        together = census(document, seen.append)
        os.truncate(file, 50_000)
        with pytest.raises(Conflict, match="cut short while it was read"):
            census(document)
    assert alone.bad == [101, 2000, 2500]
    assert together == alone
    assert (together.rows, seen[-1]) == (2999, 2999)


def test_rows_from_a_line_or_a_share(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\n" + "".join(f"row {n}\n" for n in range(1, 102)))
    found = data(tmp_path, "rows", file, "--from", "100", "--count", "5")
    assert [row["row"] for row in found["rows"]] == [100, 101]
    assert [row["text"] for row in found["rows"]] == ["row 100", "row 101"]
    assert (found["from"], found["total"]) == (100, 101)
    found = data(tmp_path, "rows", file, "--percent", "50", "--count", "1")
    assert found["rows"][0]["row"] == 51
    assert data(tmp_path, "rows", file, "--percent", "100")["rows"][0]["row"] == 101
    with pytest.raises(NotFound, match="there is no row 500; it has 101"):
        data(tmp_path, "rows", file, "--from", "500")
    words = ["rows", str(file), "--count", "2", "--workspace", str(tmp_path / "ws")]
    assert CliRunner().invoke(app, words).stdout.split() == ["1", "row", "1", "2", "row", "2"]
    empty = tmp_path / "b.jsonl"
    empty.write_bytes(b"")
    assert data(tmp_path, "rows", empty)["rows"] == []
    assert data(tmp_path, "show", file, "--row", "7")["text"] == "row 7"
