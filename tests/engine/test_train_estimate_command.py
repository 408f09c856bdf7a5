"""`workbench estimate`: for a model at hand, and for one of which only the config is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import assets
from store.catalogue import Catalogue
from store.errors import BadInput
from tests.engine.test_train_fit import LLAMA_8B
from workbench.cli import app

DATA = str(assets.path("datasets", "habit.jsonl"))


def told(cat: Catalogue, *words: str) -> dict[str, Any]:
    arguments = ["estimate", DATA, "--workspace", str(cat.workspace.root), "--json", *words]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_starter_fits_and_nothing_is_left_behind(cat: Catalogue) -> None:
    found = told(cat, "--set", "max_steps=7")
    assert (found["fits"], found["steps"], found["lengths_guessed"]) == (True, 7, False)
    assert sum(found["parts"].values()) == found["peak_bytes"]
    assert "auto" not in map(str, found["recipe"].values())
    snapshots = cat.workspace.root / "snapshots"
    assert not snapshots.exists() or list(snapshots.iterdir()) == []


def test_a_7b_of_which_only_the_config_is_there(cat: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    model = ["--model", str(tmp_path)]
    nf4 = told(cat, *model, "--recipe", "qlora-7b", "--gpu", "RTX 4090:24")
    assert (nf4["device"], nf4["fits"], nf4["lengths_guessed"]) == ("cuda", True, True)
    dense = told(cat, *model, "--gpu", "RTX 4090:24", "--set", "load_in_4bit=false")
    assert nf4["peak_bytes"] < dense["peak_bytes"]
    small = told(cat, *model, "--gpu", "RTX 4090:12", "--set", "load_in_4bit=false")
    assert not small["fits"]


def test_a_gpu_that_is_no_gpu_is_named(cat: Catalogue) -> None:
    done = CliRunner().invoke(app, ["estimate", DATA, "--gpu", "big"])
    assert isinstance(done.exception, BadInput)
    assert "NAME:GB" in done.exception.message
    with pytest.raises(BadInput):
        raise done.exception
