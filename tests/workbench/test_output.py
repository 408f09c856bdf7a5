"""What commands print: one JSON object that no terminal obeys and every program reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from store.visible import visible
from workbench.cli import app
from workbench.output import emit

HOSTILE = '\x1b]0;x\x07 \x9b2J \x7f \u202e \u2066 \u2028 \u200f \u061c é 日本 \U0001f98a \\ "'


def test_json_holds_no_byte_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"text": HOSTILE, HOSTILE: [HOSTILE]}, True)
    (line,) = capsys.readouterr().out.split("\n")[:-1]
    assert visible(line) == line
    assert json.loads(line) == {"text": HOSTILE, HOSTILE: [HOSTILE]}
    assert "日本" in line


def test_output_is_utf8_in_any_locale_and_a_reader_may_leave(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "hüllo"}\n' * 5000, encoding="utf-8")
    words = [sys.executable, "-m", "workbench", "data", "rows", str(file), "--count", "5000"]
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    environ = {**os.environ, **plain, "WORKBENCH_HOME": str(tmp_path / "ws")}
    with subprocess.Popen(
        words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "hüllo" in process.stdout.readline().decode()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_workspace_may_stand_before_the_command(tmp_path: Path) -> None:
    for words in (["--workspace", "HERE", "runs"], ["runs", "--workspace", "HERE"]):
        given = [str(tmp_path / "ws") if word == "HERE" else word for word in words]
        assert CliRunner().invoke(app, given).exit_code == 0
        assert (tmp_path / "ws" / "workbench.db").exists()
        shutil.rmtree(tmp_path / "ws")
