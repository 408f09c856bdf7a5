"""What is wrong with a row is named by line and key, with what was expected there."""

from __future__ import annotations

import json

import pytest

from engine.data.rows import parse_row

USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "a"}
BAD = {"role": "assistant", "content": "b"}
HUMAN = {"from": "human", "value": "q"}

WRONG = [
    (
        {"messages": [USER, {"role": "wizard", "content": "a"}]},
        "messages.1.role: expected one of system, developer, user, assistant, tool, found `wizard`",
    ),
    (
        {"conversations": [{"from": "cat", "value": "q"}]},
        "conversations.0.from: expected one of system, human, gpt, function_call, observation",
    ),
    ({"conversations": [{"from": "human"}]}, "conversations.0.value: missing; expected text"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages.1.content: expected"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]},
        "messages.0.tool_calls.0.function.name: missing; expected text",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{x"}]}]},
        "messages.0.tool_calls.0.arguments: not JSON at column 2 (expecting property name "
        "enclosed in double quotes); expected an object, as JSON text",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}]},
        "messages.0.tool_calls.0.arguments: expected an object, found a list",
    ),
    ({"messages": [{**GOOD, "train": 1}]}, "messages.0.train: expected true or false, found a num"),
    ({"messages": [{**GOOD, "weight": 2}]}, "messages.0.weight: expected 0 or 1, found a number"),
    (
        {
            "messages": [
                {**GOOD, "train_detail": [{"begin_offset": 0, "end_offset": 1, "train": True}]}
            ]
        },
        "messages.0.train_detail.0.end_offset: expected a character from 0 to 0, found 1",
    ),
    (
        {"conversations": [HUMAN, {"from": "function_call", "value": "f(1)"}]},
        "conversations.1.value: not JSON at column 1",
    ),
    ({"conversations": [HUMAN], "tools": "{"}, "tools: not JSON at column 2"),
    ({"messages": [USER], "tools": {"a": 1}}, "tools: expected a list of tools, found an object"),
    ({"instruction": "q", "output": 3}, "output: expected text, found a number"),
    (
        {"instruction": "q", "output": "a", "history": [["q"]]},
        "history.0: expected [question, answer], found a list",
    ),
    ({"prompt": 1, "completion": "a"}, "prompt: expected text or a list of turns, found a number"),
    (
        {"prompt": "q", "completion": "a", "label": "good"},
        "label: expected true or false, found text",
    ),
    ({"prompt": "q", "chosen": "a", "rejected": 1}, "rejected: expected text or a list of turns"),
    (
        {"input": {}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        "input.messages: missing",
    ),
    (
        {"prompt": "q", "answers": [{"answer": "a", "rank": "1"}, {"answer": "b", "rank": 2}]},
        "answers.0.rank: expected a number, found text",
    ),
    (
        {"prompt": "q", "completions": ["a"], "labels": []},
        "labels: 0 of them; expected 1, one for each step",
    ),
    ({"input_ids": [1, 2.5]}, "input_ids.1: expected a whole number, found a number"),
    ({"input_ids": [1, -1]}, "input_ids.1: expected 0 or more, found -1"),
    ({"input_ids": [1], "labels": []}, "labels: 0 values; expected 1, one for each id"),
    ({"segments": [{"label": 1, "text": "a"}]}, "segments.0.label: expected true or false"),
    ({"conversation": [{"human": 1}]}, "conversation.0.human: expected text, found a number"),
    ({"rows": 1}, "expected `messages`, `conversations`, `prompt` and `completion`"),
]


@pytest.mark.parametrize(("value", "error"), WRONG)
def test_what_is_wrong_is_named(value: object, error: str) -> None:
    row = parse_row(1, json.dumps(value).encode())
    assert row.error is not None
    assert row.error.startswith(f"line 1: {error}")
    assert row.turns == ()
