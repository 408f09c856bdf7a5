"""What is said of TRL and HF datasets, held against the installed ones.

They are imported in one process of their own, which trains nothing: it loads each file and lets
SFTTrainer prepare it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import assets
from engine.data.trainers import Summary, survey
from engine.data.trainers import arrow as arrow_rules
from tests.engine import trl_truth

CHUNK = 16 << 10
PAD = "word " * 220


def chat(answer: Any = "a", **turn: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "q"},
                         {"role": "assistant", "content": answer, **turn}]}  # fmt: skip


PAIR = {"prompt": "p", "completion": " c"}
TALK = [{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]
LONG = [chat(PAD) for _ in range(24)]
"""More than a chunk, so that what comes after it does not decide the columns."""

STOPS: dict[str, list[object]] = {
    "prompt, then text": [PAIR, {"text": "t"}],
    "text, then prompt": [{"text": "t"}, PAIR],
    "prompt, then turns": [PAIR, chat()],
    "turns, then prompt": [chat(), PAIR],
    "text, then turns": [{"text": "t"}, chat()],
    "empty turns": [chat(), {"messages": []}],
    "empty turns first": [{"messages": []}, chat()],
    "empty conversations": [{"conversations": TALK}, {"conversations": []}],
    "human and gpt": [
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    ],
    "conversations with roles": [{"conversations": chat()["messages"]}],
    "alpaca": [{"instruction": "i", "output": "o"}],
    "prompt alone": [{"prompt": "p"}],
    "preference": [{"prompt": "p", "chosen": "c", "rejected": "r"}],
    "turns and text": [{"prompt": [{"role": "user", "content": "q"}], "completion": "c"}],
    "null text": [{"text": "a"}, {"text": None}],
    "broken line": [chat(), "{broken"],
    "a list": [chat(), "[1, 2]"],
    "half a surrogate": ['{"text": "a\\ud800"}'],
    "key twice": ['{"text": "a", "text": "b"}'],
    "late column": [*LONG, {**chat(), "tools": "x"}],
    "late key": [*LONG, chat(name="x")],
    "late value": [*({**row, "id": None} for row in LONG), {**chat(), "id": "x"}],
    "late type": [*({**row, "id": 1} for row in LONG), {**chat(), "id": "x"}],
}
KEEPS: dict[str, list[object]] = {
    "turns": [chat(), chat("b")],
    "prompts": [PAIR, PAIR],
    "texts": [{"text": "a"}, {"text": ""}],
    "ids": [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}],
    "user and assistant": [{"conversations": TALK}],
    "a blank line": [chat(), "", chat("b")],
    "not a number": ['{"text": "a", "x": NaN}', '{"text": "b", "x": 1}'],
    "early column": [chat(), {**chat("b"), "tools": "[]"}],
    "mixed types": [{"text": "a", "id": 1}, {"text": "b", "id": "x"}],
    "late number": [*({**row, "id": "x"} for row in LONG), {**chat(), "id": 1}],
    "late list": [*LONG, chat([{"type": "text", "text": "x"}])],
    "flags": [chat(train=False), chat("b", weight=0)],
    "system column": [{"system": "S", **chat()}],
    "turns, then text": [chat(), {"text": "t"}],
    "turns as text": [{"messages": "[]"}],
}


class Held:
    """Lines in memory, read as a dataset is."""

    format = "jsonl"

    def __init__(self, rows: list[object]) -> None:
        self.lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]

    @property
    def count(self) -> int:
        return len(self.lines)

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        return ((n, line.encode()) for n, line in enumerate(self.lines, start=1))


def said(rows: list[object], trainer: str = "trl") -> Summary:
    work = survey(Held(rows), [trainer])
    while True:
        try:
            next(work)
        except StopIteration as end:
            [summary] = end.value
            return summary  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    cases = {name: Held(rows).lines for name, rows in (STOPS | KEEPS).items()}
    asked = {"base": str(assets.path("starter")), "chunk": CHUNK, "cases": cases}
    done = subprocess.run(
        [sys.executable, trl_truth.__file__],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.data.trainers.CHUNK", CHUNK)
    assert arrow_rules.CHUNK == 10 << 20


def test_what_stops_trl_is_said_to_stop_it(truth: dict[str, Any]) -> None:
    for name, rows in STOPS.items():
        assert truth[name]["error"], f"{name}: TRL takes it"
        assert said(rows).stops, f"{name}: {truth[name]['error']}"


def test_what_trl_takes_is_said_to_be_taken(truth: dict[str, Any]) -> None:
    for name, rows in KEEPS.items():
        summary = said(rows)
        assert truth[name]["error"] is None, f"{name}: {truth[name]['error']}"
        assert not summary.stops, f"{name}: {summary}"
        left = summary.counts["keep"] + summary.counts["altered"]
        assert len(truth[name]["ids"]) == left, name


def test_what_is_said_to_be_altered_is(truth: dict[str, Any]) -> None:
    plain, flags = truth["turns"], truth["flags"]
    assert flags["ids"] == plain["ids"]
    assert flags["labels"] == plain["labels"] == plain["ids"]
    assert [one.rule for one in said(KEEPS["flags"]).reasons] == ["flags_ignored"]
    assert any(one.rule == "mask" for one in said(KEEPS["turns"]).file)
    assert truth["system column"]["ids"] == plain["ids"][:1]
    assert said(KEEPS["system column"]).reasons[0].rule == "system_ignored"
    assert truth["prompts"]["labels"][0][0] == -100
    end = truth["texts"]["ids"][1]
    assert len(end) == 1
    assert truth["turns, then text"]["ids"][1][-1:] != end
    assert said(KEEPS["turns, then text"]).reasons[0].rule == "no_end"


def test_columns_are_read_as_is_said(truth: dict[str, Any]) -> None:
    def rules(name: str) -> set[str]:
        return {one.rule for one in said((STOPS | KEEPS)[name]).file} - {"mask"}

    assert rules("late list") == {"late_nested"}
    turns = truth["late list"]["rows"][1]["messages"]
    assert turns[0]["content"] == '"q"'
    assert turns[1]["content"] == '[{"type":"text","text":"x"}]'
    assert rules("late number") == {"late_number"}
    assert truth["late number"]["rows"][1]["id"] == "1"
    assert rules("mixed types") == {"mixed_types"}
    assert rules("early column") == set()
    for name in ("late column", "late key", "late value", "late type"):
        assert len(rules(name)) == 1
        assert not truth[name]["loads"]
