"""The rules of trainers that are not installed, by the sentences of their sources."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from engine.data.trainers import TRAINERS, glance, judge, survey
from engine.data.trainers.base import Facts, Rule
from store.errors import BadInput
from tests.engine.test_trainers_real import Held

U, A, S, T = "user", "assistant", "system", "tool"


def chat(*roles: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": role, "content": "x"} for role in roles], **more}


def gpt(*roles: str) -> dict[str, object]:
    return {"conversations": [{"from": role, "value": "x"} for role in roles]}


def flag(**more: object) -> dict[str, object]:
    row = chat(U, A)
    row["messages"][1].update(more)  # type: ignore[index]
    return row


ALPACA = {"instruction": "i", "input": "", "output": "o"}
PAIR = {"prompt": "p", "completion": "c"}

CASES: list[tuple[str, list[object], list[str]]] = [
    ("llama-factory", [chat(U, A), chat(S, U, A), chat(U, A, U, A)], ["keep"] * 3),
    ("llama-factory", [chat(U, A), chat(A, U)], ["keep", "drop invalid_role"]),
    ("llama-factory", [chat(U, A), chat(U, S, A)], ["keep", "drop invalid_role"]),
    ("llama-factory", [chat(U, A), chat(U, A, U)], ["keep", "drop invalid_count"]),
    ("llama-factory", [chat(U, A), chat(U, A, T, A)], ["keep", "drop invalid_role"]),
    ("llama-factory", [chat(U, A), chat(S)], ["keep", "drop invalid_count"]),
    ("llama-factory", [chat(U, A), ALPACA], ["keep", "error turns_missing"]),
    ("llama-factory", [flag(content=None)], ["error tags_missing"]),
    ("llama-factory", [flag(train=False)], ["altered flags_ignored"]),
    ("llama-factory", [chat(U, A, tools=[{}])], ["altered column_not_listed"]),
    ("llama-factory", [gpt("human", "gpt"), gpt("user", "gpt")], ["keep", "drop invalid_role"]),
    ("llama-factory", [gpt("human", "function_call", "observation", "gpt")], ["keep"]),
    ("llama-factory", [ALPACA, {"instruction": "i"}], ["keep", "drop no_response"]),
    ("llama-factory", [ALPACA, {"output": "o"}], ["keep", "altered no_instruction"]),
    ("llama-factory", [{**ALPACA, "history": [["q"]]}], ["error broken_history"]),
    ("llama-factory", [{**ALPACA, "system": "s"}], ["altered column_not_listed"]),
    ("axolotl", [chat(U, A), chat(S, U, A)], ["keep", "keep"]),
    ("axolotl", [chat(U, A), PAIR], ["keep", "error messages_null"]),
    ("axolotl", [chat(U, A), {"messages": []}], ["keep", "error messages_null"]),
    ("axolotl", [chat(U, A), chat(S, U)], ["keep", "drop nothing_to_train"]),
    ("axolotl", [chat(U, A, U)], ["altered last_not_trained"]),
    ("axolotl", [gpt("human", "gpt")], ["altered sharegpt"]),
    ("axolotl", [flag(train=False)], ["altered flags_ignored"]),
    ("axolotl", [flag(weight=0)], ["altered weight_ignored"]),
    ("axolotl", [chat(U, A, tools="[]")], ["error tools_format"]),
    (
        "axolotl",
        [flag(tool_calls=[{"function": {"name": "f", "arguments": "{"}}])],
        ["error broken_arguments"],
    ),
    ("axolotl", [{"segments": [{"label": False, "text": "t"}]}], ["drop no_segment"]),
    ("axolotl", [ALPACA, {"instruction": "i"}], ["keep", "error column_missing"]),
    ("axolotl", [PAIR], ["error no_type"]),
    ("mlx", [PAIR, chat(U, A)], ["keep", "error key_missing"]),
    ("mlx", [chat(U, A), PAIR], ["keep", "error key_missing"]),
    ("mlx", [ALPACA], ["error unsupported"]),
    ("mlx", [{"text": "t"}, {"text": ""}], ["keep", "error not_text"]),
    ("mlx", [chat(U, A), {"messages": []}], ["keep", "error no_turns"]),
    ("mlx", [chat(U, A), ""], ["keep", "error blank"]),
    ("mlx", [flag(weight=0)], ["altered flags_ignored"]),
    ("mlx", ['{"text": "a", "text": "b"}'], ["altered key_twice"]),
    ("together", [chat(U, A), chat(S, U, A), flag(weight=0)], ["keep"] * 3),
    ("together", [chat(U, A, text="t")], ["error two_formats"]),
    ("together", [chat(U, A, id=1)], ["error extra_column"]),
    ("together", [chat(U, A), PAIR], ["keep", "error another_format"]),
    ("together", [chat(U, U)], ["error wrong_turns"]),
    ("together", [chat(A, U)], ["error wrong_turns"]),
    ("together", [chat(U, "bot")], ["error wrong_turns"]),
    ("together", [ALPACA], ["error no_format"]),
    ("together", [{"prompt": "p", "completion": 1}], ["error not_text"]),
    (
        "together",
        [{"input": chat(U), "preferred_output": [], "non_preferred_output": []}],
        ["error wrong_preference"],
    ),
]


@pytest.mark.parametrize(("trainer", "rows", "expected"), CASES)
def test_rules(trainer: str, rows: list[object], expected: list[str]) -> None:
    verdicts = list(judge(Held(rows).iter_raw(), trainer))
    assert [f"{one.outcome} {one.rule}".strip() for one in verdicts] == expected
    for one in verdicts:
        assert one.outcome == "keep" or (one.reason and one.remedy)
    assert [one.line for one in verdicts] == list(range(1, len(rows) + 1))


def test_every_rule_names_its_source_and_is_tried() -> None:
    tried = {(trainer, word.split()[1]) for trainer, _, words in CASES for word in words
             if " " in word}  # fmt: skip
    for trainer in TRAINERS.values():
        for one in trainer.rules:
            assert isinstance(one, Rule)
            assert (
                trainer.source.split("@")[0].split(",")[0].split()[0].split("/")[-1] in (one.source)
                or "docs.together.ai" in one.source
            )
            assert trainer.name == "trl" or (trainer.name, one.name) in tried or (
                (trainer.name, one.name) in {("llama-factory", "calls_ignored"),
                                             ("mlx", "system_ignored")}
            ), one.name  # fmt: skip


def test_rows_of_one_form_are_judged_once_and_alike() -> None:
    """A remembered verdict is the verdict that the rules give."""
    chance = random.Random(3)
    rows: list[dict[str, object]] = []
    for _ in range(300):
        roles = [chance.choice((U, A, S, T, "bot")) for _ in range(chance.randrange(4))]
        flat = {key: chance.choice(("", "x")) for key in chance.sample(
            ["text", "prompt", "completion", "instruction", "output", "system"], 3)}  # fmt: skip
        rows.append(chance.choice((chat(*roles), flat, chat(*roles, id=1))))
    for name, trainer in TRAINERS.items():
        facts = Facts(first=rows[0])
        for verdict, row in zip(judge(Held(list(rows)).iter_raw(), name), rows, strict=True):
            facts.line = verdict.line
            assert verdict == trainer.judge(row, facts)


def test_a_survey_counts_what_the_judge_says() -> None:
    rows = Held([chat(U, A), chat(A, U), "", "{broken", flag(train=False), {"messages": []}])
    work = survey(rows, ["axolotl", "llama-factory"])
    assert list(itertools.islice(work, 0)) == []
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
    for summary in end.value.value:
        verdicts = list(judge(rows.iter_raw(), summary.trainer))
        assert summary.rows == len(verdicts) == 6
        for outcome, count in summary.counts.items():
            assert count == sum(one.outcome == outcome for one in verdicts)
        assert summary.stops
        assert summary.words.startswith("stops: ")
        assert sum(one.count for one in summary.reasons) == 6 - summary.counts["keep"]


def test_a_glance_at_one_row() -> None:
    first, row = (json.dumps(value).encode() for value in (chat(U, A), PAIR))
    found = glance(7, row, first)
    assert list(found) == list(TRAINERS)
    assert found["mlx"].outcome == "error"
    assert glance(7, row)["mlx"].outcome == "keep"
    with pytest.raises(BadInput, match="trainer 'keras'"):
        list(judge([], "keras"))
