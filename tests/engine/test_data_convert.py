"""Rows in other shapes: there and back gives the same turns, and what is lost is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.data.convert.files import convert_dataset, convert_in_place
from engine.data.convert.rows import TARGETS, Converted, Target, convert
from engine.data.dataset import open_dataset
from engine.data.rows import Row, Turn, parse_row
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace

USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "a"}
BAD = {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "s"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"n": 1.5}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

PLAIN = {"messages": [SYSTEM, USER, GOOD, USER, BAD]}
TOOLS = {
    "messages": [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "2", "name": "f"},
        {**GOOD, "reasoning_content": "r", "train": False},
    ],
    "tools": [TOOL],
    "parallel_tool_calls": False,
    "id": 7,
}
PARTS = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "ab"},
                {"type": "text", "text": "cd", "train": True},
            ],
        },
    ]
}
PAIR = {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD], "tools": [TOOL]}
KTO = {"prompt": [USER], "completion": [GOOD], "label": False}
ALPACA = {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["h", "b"]]}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    "system": "s",
    "tools": json.dumps([TOOL]),
}
STRINGS = {"prompt": "q", "completion": "a", "score": 1.0}


def read(raw: bytes) -> Row:
    row = parse_row(1, raw)
    assert row.error is None, row.error
    return row


def row_of(value: object) -> Row:
    return read(json.dumps(value).encode())


def meaning(row: Row) -> object:
    """What a row says, however it is spelt: what is trained is told for every turn."""

    def said(turn: Turn) -> object:
        train = turn.role == "assistant" if turn.train is None else turn.train
        trained = row.purpose == "sft" and train
        return turn.role, turn.text, dict(turn.extra), turn.flags, trained

    turns = [said(turn) for turn in row.turns]
    border = row.prompt_turns if row.purpose != "sft" else 0
    return turns, border, [said(turn) for turn in row.rejected], row.tools, row.label, row.text


THERE_AND_BACK: list[tuple[object, Target, Target]] = [
    (PLAIN, "sharegpt", "messages"),
    (TOOLS, "sharegpt", "messages"),
    (PARTS, "sharegpt", "messages"),
    (SHAREGPT, "messages", "sharegpt"),
    (ALPACA, "messages", "alpaca"),
    (ALPACA, "sharegpt", "alpaca"),
    (STRINGS, "messages", "prompt_completion"),
    (STRINGS, "alpaca", "prompt_completion"),
    ({"messages": [USER, GOOD]}, "prompt_completion", "messages"),
    ({"messages": [SYSTEM, USER, GOOD]}, "prompt_completion_messages", "sharegpt"),
    ({"messages": [USER, GOOD], "text": "about it"}, "alpaca", "messages"),
    ({"context": "c", "question": "q", "answer": "a"}, "alpaca", "messages"),
    ({"prompt": [USER, BAD, USER], "completion": [GOOD]}, "messages", "prompt_completion_messages"),
    (PAIR, "openai_preference", "preference"),
    ({"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}, "preference", "preference"),
    ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "openai_preference", "preference"),
    ({"messages": [USER, GOOD], "rejected_message": BAD}, "preference", "openai_preference"),
    ({"chosen": "The a", "rejected": "The b"}, "preference", "openai_preference"),
    (KTO, "kto", "kto"),
    ({"messages": [USER, GOOD], "label": True}, "kto", "kto"),
    ({"instruction": "q", "output": "a", "kto_tag": True}, "kto", "kto"),
]


@pytest.mark.parametrize(("value", "to", "back"), THERE_AND_BACK)
def test_there_and_back(value: object, to: Target, back: Target) -> None:
    old = row_of(value)
    there = convert(old, to)
    assert (there.lost, there.more) == ((), ())
    new = read(there.raw)
    assert meaning(new) == meaning(old)
    again = convert(new, back)
    assert again.lost == ()
    assert meaning(read(again.raw)) == meaning(old)


def test_the_new_shapes_are_those_of_the_trainers() -> None:
    def made(value: object, to: Target) -> object:
        return json.loads(convert(row_of(value), to).raw)

    assert made(SHAREGPT, "messages") == {"messages": [SYSTEM, USER, GOOD], "tools": [TOOL]}
    assert made(PLAIN, "alpaca") == {
        "instruction": "q",
        "input": "",
        "output": "b",
        "system": "s",
        "history": [["q", "a"]],
    }
    assert made(PLAIN, "prompt_completion_messages") == {
        "prompt": [SYSTEM, USER, GOOD, USER],
        "completion": [BAD],
    }
    assert made(TOOLS, "sharegpt") == {
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": json.dumps(CALL["function"])},
            {"from": "observation", "value": "2", "name": "f"},
            {"from": "gpt", "value": "a", "reasoning_content": "r", "train": False},
        ],
        "tools": json.dumps([TOOL]),
        "parallel_tool_calls": False,
        "id": 7,
    }
    assert made({**PAIR, "parallel_tool_calls": True}, "openai_preference") == {
        "input": {"messages": [SYSTEM, USER], "tools": [TOOL], "parallel_tool_calls": True},
        "preferred_output": [GOOD],
        "non_preferred_output": [BAD],
    }
    assert made(STRINGS, "text") == {"text": "qa", "score": 1.0}


def test_a_pair_becomes_two_unpaired_answers() -> None:
    found = convert(row_of(PAIR), "kto")
    assert found.lost == ()
    rows = [json.loads(raw) for raw in (found.raw, *found.more)]
    prompt = {"prompt": [SYSTEM, USER], "tools": [TOOL]}
    assert rows == [
        prompt | {"completion": [GOOD], "label": True},
        prompt | {"completion": [BAD], "label": False},
    ]


LOST: list[tuple[object, Target, tuple[str, ...]]] = [
    (PAIR, "messages", ("the rejected answer",)),
    (KTO | {"label": True}, "messages", ("the label",)),
    (TOOLS, "prompt_completion_messages", ("whether a turn is trained",)),
    (PLAIN, "prompt_completion_messages", ("whether a turn is trained",)),
    ({"messages": [USER, {**GOOD, "id": 3}]}, "alpaca", ("key `id` of a turn",)),
    (
        {"messages": [USER, {**GOOD, "thinking": "t", "weight": 0}]},
        "alpaca",
        ("`thinking` of a turn", "whether a turn is trained"),
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{**CALL, "id": "c"}]}]},
        "sharegpt",
        ("the ids of tool calls",),
    ),
    ({"messages": [USER, GOOD], "prompt": "x"}, "prompt_completion", ("key `prompt`",)),
    ({"prompt": "q", "completion": "a"}, "text", ("what of it is trained",)),
    ({"segments": [{"label": True, "text": "x"}]}, "text", ("what of it is trained",)),
    (
        {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
        "messages",
        ("which steps are right",),
    ),
    (
        {"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]},
        "preference",
        ("ranks, and answers between the best and the worst",),
    ),
    ({"conversations": [USER, GOOD], "label": "x"}, "messages", ()),
    # A key that would make another shape of the new row has to go, and is named.
    ({"instruction": "q", "output": "a", "label": True}, "messages", ("key `label`",)),
]


@pytest.mark.parametrize(("value", "to", "lost"), LOST)
def test_what_is_lost_is_named(value: object, to: Target, lost: tuple[str, ...]) -> None:
    assert convert(row_of(value), to).lost == lost


def test_unknown_keys_and_numbers_come_along_as_they_are_spelt() -> None:
    raw = (
        b'{"n": 1.50e3, "conversations": [{"from": "human", "value": "caf\\u00e9 \\/", "k": 0.10},'
        b' {"from": "gpt", "value": "a"}], "big": 12345678901234567890123, "o": { "x" :1}}'
    )
    found = convert(read(raw), "messages")
    assert found.lost == ()
    assert found.raw == (
        b'{"messages": [{"role": "user", "content": "caf\\u00e9 \\/", "k": 0.10}, '
        b'{"role": "assistant", "content": "a"}], "n": 1.50e3, '
        b'"big": 12345678901234567890123, "o": { "x" :1}}'
    )
    # What has the shape already is not touched.
    assert convert(read(found.raw), "messages") == Converted(found.raw)


def test_what_cannot_be_is_said() -> None:
    cases: list[tuple[object, Target, str]] = [
        ({"text": "t"}, "messages", "line 1: cannot become messages: a row of text has no turns"),
        (
            TOOLS,
            "alpaca",
            "line 1: cannot become alpaca: its turns are user assistant tool assistant; expected",
        ),
        (PLAIN, "prompt_completion", "expected user and assistant (more turns fit"),
        (PLAIN, "preference", "it has no rejected answer"),
        (PLAIN, "kto", "nothing says whether its answer is good"),
        (KTO, "messages", "its answer is marked bad"),
        (PLAIN, "text", "is up to a chat template"),
        ({"prompt": "q"}, "prompt_completion_messages", "expected an answer at the end"),
        ({"messages": [USER]}, "alpaca", "its turns are user; expected"),
        ({"messages": [{**USER, "role": "cat"}]}, "sharegpt", "line 1: messages.0.role: expected"),
    ]
    for value, to, message in cases:
        with pytest.raises(BadInput) as wrong:
            convert(parse_row(1, json.dumps(value).encode()), to)
        assert message in wrong.value.message
    with pytest.raises(BadInput, match="there is no shape `xml`"):
        convert(row_of(PLAIN), "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("to", TARGETS)
def test_every_pair_of_shapes_converts_or_says_why(to: Target) -> None:
    for value in (PLAIN, TOOLS, PARTS, PAIR, KTO, ALPACA, SHAREGPT, STRINGS, {"text": "t"}):
        row = row_of(value)
        try:
            found = convert(row, to)
        except BadInput as wrong:
            assert wrong.message.startswith("line 1: ") and wrong.hint
            continue
        new = read(found.raw)
        if not found.lost and not found.more:
            assert meaning(new)[0] == meaning(row)[0] or to == "text"  # type: ignore[index]


# Whole files

MIXED = [PLAIN, ALPACA, {"messages": []}, SHAREGPT, {"text": "t"}, {"messages": [USER, GOOD]}]


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_converted_whole_or_not_at_all(tmp_path: Path, cat: Catalogue) -> None:
    source = write(tmp_path / "m.jsonl", MIXED)
    out = tmp_path / "out.jsonl"
    with open_dataset(cat, source) as data:
        with pytest.raises(BadInput, match="2 of 6 rows cannot become messages") as wrong:
            convert_dataset(data, "messages", out)
        assert "line 3: messages: expected at least one turn" in wrong.value.message
        assert "line 5: cannot become messages" in wrong.value.message
        assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["m.jsonl"]
        report = convert_dataset(data, "messages", out, leave_out=True)
        assert (report.rows, report.written, report.unchanged, report.left_out) == (6, 4, 2, 2)
        assert [item.line for item in report.omitted] == [3, 5]
        rows = [read(line) for line in out.read_bytes().splitlines()]
        assert [row.shape for row in rows] == ["messages"] * 4
        assert out.stat().st_mode & 0o777 == source.stat().st_mode & 0o777
        with pytest.raises(Conflict, match="is there already"):
            convert_dataset(data, "messages", out, leave_out=True)
        lost = convert_dataset(data, "alpaca", out, leave_out=True, force=True)
        assert (lost.left_out, lost.unchanged, lost.lost) == (2, 1, {})
        for wrong_place in (source, tmp_path / "x.csv", tmp_path, tmp_path / "no" / "x.jsonl"):
            with pytest.raises(BadInput):
                convert_dataset(data, "messages", wrong_place, leave_out=True, force=True)
        assert not list(tmp_path.glob(".*jsonl*"))


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path, cat: Catalogue) -> None:
    source = write(tmp_path / "m.jsonl", [PLAIN] * 2000)
    out = tmp_path / "out.jsonl"
    out.write_text("old")

    def full(_rows: int) -> None:
        raise OSError(28, os.strerror(28))

    with open_dataset(cat, source) as data, pytest.raises(NoSpace, match="no room for the new"):
        convert_dataset(data, "sharegpt", out, force=True, told=full)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["m.jsonl", "out.jsonl"]


def test_in_place_is_one_step_of_undo(tmp_path: Path, cat: Catalogue) -> None:
    source = write(tmp_path / "m.jsonl", [PAIR, {"text": "t"}, PAIR])
    before = source.read_bytes()
    with open_dataset(cat, source) as data:
        with pytest.raises(BadInput, match="1 of 3 rows cannot become kto"):
            convert_in_place(data, "kto")
        assert data.unsaved == 0
        report = convert_in_place(data, "kto", leave_out=True)
        assert (report.rows, report.written, report.left_out) == (3, 5, 1)
        assert [data.row(n).label for n in (1, 2, 4, 5)] == [True, False, True, False]
        assert data.row(3).text == "t"
        assert source.read_bytes() == before
        assert data.undo() is not None
        assert (data.count, data.row(1).rejected) == (3, (Turn("assistant", "b"),))
        assert data.undo() is None
