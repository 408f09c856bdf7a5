"""`workbench recipe`: every key with its docstring, default and bounds."""

from __future__ import annotations

import json

import pytest

from engine.train.recipe import RECIPE_FIELDS, names
from workbench.cli import app


def test_every_key_is_printed_with_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    app(["recipe"], standalone_mode=False)
    printed = capsys.readouterr().out
    flat = " ".join(printed.split())
    for field in RECIPE_FIELDS:
        assert f"  {field.name} = " in printed
        assert field.help in flat
        assert field.expected in flat
    assert all(name in printed for name, _ in names())
    assert max(map(len, printed.splitlines())) <= 120


def test_a_recipe_marks_what_it_sets(capsys: pytest.CaptureFixture[str]) -> None:
    app(["recipe", "qlora-7b"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "* r = 8   (default 16)" in printed
    assert "  seed = 42\n" in printed


def test_programs_get_types_bounds_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    app(["recipe", "habit", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    keys = {item["key"]: item for item in told["keys"]}
    assert keys["max_minutes"]["value"] == 90 and keys["max_minutes"]["default"] == 0
    assert keys["r"] | {"help": ""} == {
        "key": "r", "group": "LoRA", "type": "int", "default": 16, "value": 16, "help": "",
        "expected": "a whole number from 1 to 1024", "low": 1, "high": 1024, "choices": [],
    }  # fmt: skip
    assert told["recipes"].keys() == dict(names()).keys()


def test_one_key_is_explained_alone(capsys: pytest.CaptureFixture[str]) -> None:
    app(["recipe", "learning_rate"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert printed.startswith("  learning_rate = 0\n") and "lora_alpha" not in printed
    app(["recipe", "r", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["expected"] == "a whole number from 1 to 1024"
