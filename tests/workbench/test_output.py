"""What commands print: one JSON object that no terminal obeys and every program reads."""

from __future__ import annotations

import json

import pytest

from store.visible import visible
from workbench.output import emit

HOSTILE = '\x1b]0;x\x07 \x9b2J \x7f \u202e \u2066 \u2028 \u200f \u061c é 日本 \U0001f98a \\ "'


def test_json_holds_no_byte_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"text": HOSTILE, HOSTILE: [HOSTILE]}, True)
    (line,) = capsys.readouterr().out.split("\n")[:-1]
    assert visible(line) == line
    assert json.loads(line) == {"text": HOSTILE, HOSTILE: [HOSTILE]}
    assert "日本" in line
