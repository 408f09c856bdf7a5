"""The check suites on an exported file: what is asked, the verdict, what is not asked twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.checks import suite as shipped
from engine.checks.judging import ModelResult, judged, result
from engine.checks.kinds import Answer
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.proof import suite
from engine.export.stages import Stage
from engine.models.refs import Model, resolve
from engine.train import suites
from engine.train.recipe.files import from_dict
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict
from store.workspace import Workspace
from tests.engine.export_models import STARTER, source_of
from tests.engine.hostile_gguf import rewritten


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with Catalogue.open(Workspace(tmp_path_factory.mktemp("suite") / "ws")) as opened:
        opened.workspace.create()
        yield opened


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("good") / "starter.gguf"
    merged = Merged(source_of(STARTER))
    write_gguf(merged, STARTER, "f16", file, notes={}, on_progress=lambda *_: None)
    return file


def test_a_good_file_passes_and_a_broken_one_fails(
    cat: Catalogue, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "MOST", 12)
    told: list[Stage] = []

    stage = suite.ask(cat, "starter", good, "f16", on_event=told.append)

    assert stage is not None and stage == told[-1] and stage.of == "f16"
    assert stage.state == "pass" and stage.numbers["prompts"] == 12
    assert stage.numbers["down"] == 0 and "smallest drop it could see" in stage.text
    running = [s for s in told if s.state == "running" and "total" in s.numbers]
    assert {s.text.split(":")[0] for s in running} == {
        "asking the trained model",
        "asking the file",
    }

    def tensors(name: str, data: Any) -> Any:
        return np.zeros_like(data) if name.endswith("attn_output.weight") else data

    broken = rewritten(good, tmp_path / "broken.gguf", {}, tensors)
    told.clear()
    stage = suite.ask(cat, "starter", broken, "f16", on_event=told.append)

    assert stage is not None and stage.state == "fail" and stage.numbers["p"] < 0.01
    assert stage.text.endswith("take a larger type, or export again")
    # What the trained model says is known by now.
    first = next(s for s in told if "total" in s.numbers)
    assert first.numbers == {"done": 12, "total": 12}


def test_cancelling_it(cat: Catalogue, good: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Conflict, match="cancelled"):
        suite.ask(cat, "starter", good, "f16", cancel=cancel)


def results(answers: str) -> ModelResult:
    """The retention suite where `+` is a right answer and `-` a wrong one."""
    asked = suite.few(shipped.load("retention"), len(answers))
    told = [
        Answer(str(prompt.expect) if one == "+" else "no idea", "turn end", 5)
        for one, (_, prompt) in zip(answers, asked.asked, strict=True)
    ]
    return result(asked, "m", "m", judged(asked, [told])[0])


@pytest.mark.parametrize(
    ("trained", "export", "state"),
    [
        ("++++++++++--", "++++++++++--", "pass"),
        ("++++++++++--", "+++++++++---", "pass"),  # one may be chance
        ("++++++++++--", "++++++++----", "warn"),  # 16 points may be, too, but are worth a look
        ("++++++++++--", "+++---------", "fail"),  # p = 0.016
        ("+++---------", "++++++++++--", "pass"),  # better
    ],
)
def test_the_rule(trained: str, export: str, state: str) -> None:
    asked = suite.few(shipped.load("retention"), len(trained))
    stage = suite.judge([asked], [results(trained)], [results(export)], "q4_0")
    assert (stage.state, stage.of, stage.name) == (state, "q4_0", "suite")
    assert stage.numbers["passed_trained"] == trained.count("+")
    assert stage.numbers["down"] - stage.numbers["up"] == trained.count("+") - export.count("+")


def test_which_suites_and_how_much_of_them(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shipped.load("general")
    some = suite.few(whole, 10)
    assert some.size == 10 and {g.name for g in some.groups} <= {g.name for g in whole.groups}
    assert suite.few(some, 99) is some
    assert [s.name for s in suite.suites_of(cat, resolve(cat, "starter"))] == ["retention"]

    recipe = {"suites": ["habit"], "retention_suite": "general"}
    run = runs.create(cat, model="starter", dataset="d.jsonl", recipe=recipe, seed=1, name="n")
    suites.keep(suites.load(from_dict(recipe)), cat.workspace.run_dir(run.id))
    model = Model("run:1@2", "n", STARTER, "starter", run_id=run.id)
    found = suite.suites_of(cat, model)
    assert [s.name for s in found] == ["habit", "general"]
    assert all(cat.workspace.run_dir(run.id) in s.path.parents for s in found)  # as it was frozen

    # Gone by now: no fault of the file, and nothing is loaded.
    for kept in cat.workspace.run_dir(run.id).rglob("*.toml"):
        kept.write_text("no suite")
    monkeypatch.setattr(suite, "resolve", lambda *_: model)
    stage = suite.ask(cat, "run:1", tmp_path / "any.gguf", "f16")
    assert stage is not None and stage.state == "warn" and "no suite" not in stage.text

    foreign = Model(str(tmp_path), "m", tmp_path, str(tmp_path))
    assert suite.suites_of(cat, foreign) == []
