"""lm-evaluation-harness: what is said without it, comparisons, and a task of our own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine.checks.harness import client
from engine.checks.harness.client import Metric, Told
from store.catalogue import Catalogue
from store.errors import Unsupported, WorkbenchError

TASK = """
task: ours
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 12}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
installed = importlib.util.find_spec("lm_eval") is not None


def test_without_it_the_way_to_install_it_is_named(
    cat: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unsupported, match="not installed") as told:
        client.run(cat, ["starter"], ["gsm8k"])
    assert "pip install 'workbench-llm[lm-eval]'" in told.value.hint


def metric(value: float, outcomes: list[int]) -> Told:
    return Told(metrics=(Metric("t", "acc", value, 0.1, True, dict(enumerate(outcomes))),))


def test_models_are_compared_question_by_question() -> None:
    base, worse = [1] * 90 + [0] * 10, [0] * 12 + [1] * 78 + [0] * 10
    found = client.compare([("a", metric(0.9, base)), ("b", metric(0.78, worse))])
    (change,) = found
    assert (change.pairs, change.flipped_up, change.flipped_down) == (100, 0, 12)
    assert change.p == pytest.approx(2 / 2**12)
    assert change.detectable_drop is not None and change.detectable_drop < 0.12
    assert client.compare([("a", metric(0.9, base))]) == []
    low, high = metric(0.0, [0] * 10).metrics[0].interval or (1, 1)
    assert low == 0 and high == pytest.approx(0.2775, abs=1e-3)  # never "0 – 0"
    plain = Metric("t", "perplexity", 3.0, 0.5, False, {})
    assert plain.interval == pytest.approx((2.02, 3.98), abs=0.01)


@pytest.mark.skipif(not installed, reason="lm-eval is an extra")
def test_a_task_is_asked_and_unsafe_ones_are_not(cat: Catalogue, tmp_path: Path) -> None:
    rows = [{"q": "What colour is the fox?", "a": "The fox is red."}] * 2
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = TASK.replace("FILE", str(tmp_path / "rows.jsonl"))
    (tmp_path / "ours.yaml").write_text(text)
    (tmp_path / "bold.yaml").write_text(text.replace("task: ours", "task: bold\nunsafe_code: true"))
    ((ref, told),) = client.run(cat, ["starter"], ["ours"], folder=tmp_path)
    assert (ref, told.metrics[0].value, told.metrics[0].outcomes) == ("starter", 1.0, {0: 1, 1: 1})
    with pytest.raises(WorkbenchError, match="marked as unsafe"):
        client.run(cat, ["starter"], ["bold"], folder=tmp_path)
