"""`workbench data search, filter, frequency, sort, replace`, for people and for programs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from store.errors import BadInput, WorkbenchError
from workbench.commands.data import app

ROWS = [
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Poodle"}]},
    {"text": "a poodle caf\u00e9", "source": "web"},
    {"text": "plain", "source": "book"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(tmp_path: Path, *arguments: object) -> str:
    command = [str(argument) for argument in arguments]
    done = CliRunner().invoke(app, [*command, "--workspace", str(tmp_path / "ws")])
    if isinstance(done.exception, WorkbenchError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(tmp_path: Path, *arguments: object) -> Any:
    return json.loads(run(tmp_path, *arguments, "--json"))


def test_search(tmp_path: Path, file: Path) -> None:
    found = answer(tmp_path, "search", file, "poodle")
    assert (found["count"], found["rows"]) == (1, [2])
    hit = found["hits"][0]
    assert (hit["row"], hit["match"], hit["matches"]) == (2, "poodle", 1)
    assert answer(tmp_path, "search", file, "poodle", "-i", "--count")["count"] == 2
    assert answer(tmp_path, "search", file, "p.o+dle", "--regex", "-S")["rows"] == [1, 2]
    assert answer(tmp_path, "search", file, "café")["hits"][0]["match"] == "caf\\u00e9"
    assert run(tmp_path, "search", file, "poodle", "--count") == "1\n"
    assert "⟦poodle⟧" in run(tmp_path, "search", file, "poodle")
    with pytest.raises(BadInput, match="character 1"):
        run(tmp_path, "search", file, "(", "--regex")


def test_filter_frequency_and_sort(tmp_path: Path, file: Path) -> None:
    assert answer(tmp_path, "filter", file, "source = web or turns > 1")["rows"] == [1, 2]
    assert run(tmp_path, "filter", file, "tokens > 0", "--count", "--model", "starter") == "3\n"
    assert "2  text" in run(tmp_path, "filter", file, "source = web")
    with pytest.raises(BadInput, match="column 9"):
        run(tmp_path, "filter", file, "turns > x")
    assert "chars:ROLE" in run(tmp_path, "filter", "--language")
    found = answer(tmp_path, "frequency", file, "source")
    assert [(each["value"], each["count"]) for each in found["values"]][1:] == [
        ("web", 1), ("book", 1),
    ]  # fmt: skip
    assert found["exact"]
    assert "different values in 3 rows" in run(tmp_path, "frequency", file, "shape")
    assert answer(tmp_path, "sort", file, "bytes")["rows"] == [3, 2, 1]
    assert answer(tmp_path, "sort", file, "bytes", "--reverse")["rows"] == [1, 2, 3]
    assert "3 rows" in run(tmp_path, "sort", file, "tokens")


def test_replace_shows_first_and_then_does(tmp_path: Path, file: Path) -> None:
    before = file.read_bytes()
    shown = run(tmp_path, "replace", file, "poodle", "cat", "-i")
    assert "⟦Poodle⟧" in shown
    assert "2 places in 2 rows would change" in shown
    found = answer(tmp_path, "replace", file, "poodle", "cat", "-i", "--where", "source = web")
    assert (found["rows_changed"], found["applied"], found["unsaved"]) == (1, False, 0)
    assert found["changes"][0]["edits"][0]["after"] == "a cat caf\u00e9"
    done = answer(
        tmp_path, "replace", file, "(p)oo", "$1uu", "-e", "-i", "--rows", "1-2", "--apply"
    )
    assert (done["rows_changed"], done["unsaved"]) == (2, 2)
    assert file.read_bytes() == before
    assert answer(tmp_path, "search", file, "puudle", "-i")["rows"] == [1, 2]
    run(tmp_path, "undo", file)
    assert answer(tmp_path, "search", file, "puudle", "-i")["rows"] == []


def test_packed_and_several_files_are_searched_alike(tmp_path: Path, file: Path) -> None:
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    table = tmp_path / "c.csv"
    table.write_text("text,source\nno,web\na poodle,book\n")
    assert answer(tmp_path, "search", packed, "poodle")["rows"] == [2]
    assert answer(tmp_path, "search", table, "poodle")["rows"] == [2]
    assert answer(tmp_path, "filter", table, "source = book")["rows"] == [2]
    several = f"{file},{packed}"
    assert answer(tmp_path, "search", several, "poodle")["rows"] == [2, 5]
    assert answer(tmp_path, "filter", several, "source = web")["rows"] == [2, 5]
    assert answer(tmp_path, "sort", several, "bytes")["rows"] == [3, 6, 2, 5, 1, 4]
    assert answer(tmp_path, "frequency", several, "source")["rows"] == 6


def test_a_file_with_no_rows(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    assert answer(tmp_path, "search", empty, "a")["rows"] == []
    assert answer(tmp_path, "filter", empty, "turns")["rows"] == []
    assert answer(tmp_path, "frequency", empty, "text")["values"] == []
    for key in ("bytes", "text"):
        assert answer(tmp_path, "sort", empty, key)["rows"] == []
