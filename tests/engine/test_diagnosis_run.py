"""The diagnosis of real runs: warnings before step 1, the rows of a spike, the command."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import assets
from engine.diagnosis import Curves, diagnose
from engine.diagnosis.reading import StepRows, diagnosis, facts_of
from engine.train import client
from engine.train.batches import EpochSampler
from store.catalogue import Catalogue
from store.runs import Run
from tests.engine.train_fixtures import ended, small_recipe, wait
from workbench.cli import main

pytestmark = pytest.mark.long

ROWS, BATCH, SPOILT = 100, 4, 15
COMMON = (
    "test_size=0",
    "probe_tokens=0",
    "load_in_4bit=false",
    "save_steps=1000",
    "warmup_steps=0",
)


def rows_of(count: int) -> list[dict[str, object]]:
    lines = assets.path("datasets", "habit.jsonl").read_bytes().splitlines()[:count]
    return [json.loads(line) for line in lines]


def train(cat: Catalogue, folder: Path, rows: list[dict[str, object]], *sets: str) -> Run:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = client.start(cat, path, "starter", small_recipe(*COMMON, *sets))
    run = wait(cat, run.id, ended)
    assert run.status == "finished", run.reason
    return run


def test_story_one_is_told_before_step_one_and_after(cat: Catalogue, tmp_path: Path) -> None:
    sets = ("learning_rate=5e-6", "max_steps=5", "per_device_train_batch_size=8")
    run = train(cat, tmp_path, rows_of(8), *sets)
    with client.reader(cat, run.id) as run_db:
        events = run_db.events()
    kinds = [event.kind for event in events]
    told = [event.text for event in events if event.kind == "warning"]
    assert "20–60× under the usual 1e-4–3e-4" in told[0]
    assert any("8 examples are few" in text for text in told)
    assert any("no row is held out" in text for text in told)
    assert kinds.index("warning") < kinds.index("started")
    rules = {verdict.rule: verdict for verdict in diagnosis(cat, run)}
    assert rules["rate-too-low"].alarm and rules["rate-too-low"].knob == "learning_rate"
    assert not rules["overfitting"].known and not rules["trend"].known


def test_a_spike_names_the_very_rows_that_were_spoilt(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    rows = rows_of(ROWS)
    spoilt = list(EpochSampler([1] * ROWS, BATCH, 42, grouped=False))[SPOILT - 1]
    letters = random.Random(5)
    for place in spoilt:
        turns = rows[place]["messages"]
        assert isinstance(turns, list)
        turns[-1]["content"] = "".join(letters.choices("qxzjvkw!?#0123456789", k=60))
    run = train(
        cat, tmp_path, rows, "learning_rate=2e-3", "max_steps=25", "seed=42",
        f"per_device_train_batch_size={BATCH}", "train_sampling_strategy=random",
    )  # fmt: skip
    verdict = next(v for v in diagnosis(cat, run) if v.rule == "spike")
    assert verdict.step == SPOILT
    assert verdict.evidence["rows"] == sorted(place + 1 for place in spoilt)
    home = str(cat.workspace.root)
    words = ["workbench", "diagnose", f"run:{run.id}", "--workspace", home, "--preset", "habit"]
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    result = json.loads(capsys.readouterr().out)
    said = {item["rule"]: item for item in result["verdicts"]}
    assert said["spike"]["evidence"]["rows"] == verdict.evidence["rows"]
    assert said["no-held-out"]["severity"] == "warn" and said["no-held-out"]["knob"] == "test_size"
    assert all({"rule", "severity", "evidence", "advice"} <= item.keys() for item in said.values())
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        main()
    assert f"! spike: loss {verdict.text.split(' ')[1]} at step 15" in capsys.readouterr().out
    _names_the_rows_of_any_recipe(cat, run)
    _a_run_without_its_rows_is_diagnosed_all_the_same(cat, run)


def _names_the_rows_of_any_recipe(cat: Catalogue, run: Run) -> None:
    """Batches that are grouped by length and accumulated, in a later epoch."""
    recipe = {
        **run.recipe, "train_sampling_strategy": "group_by_length",
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 3,
    }  # fmt: skip
    folder = cat.workspace.run_dir(run.id)
    rows = StepRows(replace(run, recipe=recipe), folder)
    rows(1)
    sampler = EpochSampler(rows._lengths, 8, 42, grouped=True)
    sampler.set_epoch(1)
    batches = list(sampler)  # 13 batches make 5 steps of up to 3.
    for step, kept in ((6, batches[:3]), (10, batches[12:])):
        assert rows(step) == tuple(sorted(place + 1 for batch in kept for place in batch))
    assert StepRows(replace(run, recipe={**recipe, "packing": True}), folder)(6) == ()


def _a_run_without_its_rows_is_diagnosed_all_the_same(cat: Catalogue, run: Run) -> None:
    gone = cat.workspace.run_dir(run.id + 1000)
    known = facts_of(run, gone, rows_at=StepRows(run, gone))
    assert known.rows is None and known.hidden is None
    with client.reader(cat, run.id) as run_db:
        verdicts = diagnose(Curves.from_reader(run_db), known)
    spike = next(verdict for verdict in verdicts if verdict.rule == "spike")
    assert spike.step == SPOILT and spike.evidence["rows"] == []
