"""A row edited as turns: what is meant changes, every other byte stays."""

from __future__ import annotations

import json
import random

import pytest

from engine.data.row import turns as edits
from engine.data.rows import Row, Turn, parse_row
from store.errors import BadInput

# Odd spacing, a key nobody knows, an exponent, an escape that need not be one, keys in any order.
CHAT = (
    '{ "id":1.50e3, "messages" :[{"role" : "user", "content":"caf\\u00e9 \\/ q", "x": [ ]},'
    '  {"content": "a", "role": "assistant", "weight" :1} ] ,"n": 12345678901234567890 }'
)
SHAREGPT = (
    '{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "k": 0.10}'
)
ALPACA = '{"output": "a", "instruction": "do", "input": "this", "history": [["q", "b"]], "z": 1.0}'
PAIRS = '{"prompt":"q","completion":"a","n":1e2}'
DIALOGUES = (
    '{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], '
    '"rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}'
)


def read(raw: bytes) -> Row:
    row = parse_row(1, raw)
    assert row.error is None, row.error
    return row


def said(raw: bytes) -> list[tuple[str, str]]:
    row = read(raw)
    return [(turn.role, turn.text) for turn in (*row.turns, *row.rejected)]


def test_text_role_and_training_change_nothing_else() -> None:
    raw = CHAT.encode()
    assert edits.set_text(raw, 0, "café / q!").decode() == CHAT.replace("/ q", "/ q!")
    assert edits.set_text(raw, 0, "café / q") == raw
    assert edits.set_role(raw, 0, "system").decode() == CHAT.replace('"user"', '"system"')
    assert edits.toggle_train(raw, 1).decode() == CHAT.replace('"weight" :1', '"weight" :0')
    # The other turn says it with a weight, so this one does too.
    assert edits.toggle_train(raw, 0).decode() == CHAT.replace("[ ]}", '[ ], "weight" : 1}')
    off = edits.toggle_train(SHAREGPT.encode(), 1)
    assert off.decode() == SHAREGPT.replace('"a"', '"a", "train": false')
    assert edits.toggle_train(off, 1).decode() == SHAREGPT
    assert edits.toggle_train(SHAREGPT.encode(), 0).decode() == SHAREGPT.replace(
        '"q"', '"q", "train": true'
    )


def test_turns_are_added_deleted_and_moved() -> None:
    raw = CHAT.encode()
    assert edits.add(raw, 2, "user", "more").decode() == CHAT.replace(
        " ] ,", ',  {"content": "more", "role": "user"} ] ,'
    )
    assert edits.add(raw, 0, "system", "s").decode() == CHAT.replace(
        ':[{"role"', ':[{"role" : "system", "content":"s"},  {"role"'
    )
    assert edits.delete(edits.add(raw, 1, "user", "x"), 1) == raw
    assert edits.delete(raw, 0).decode() == CHAT.replace(
        CHAT[CHAT.index('{"role" :') : CHAT.index('{"content"')], ""
    )
    there = edits.move(raw, 0, 1)
    assert said(there) == [("assistant", "a"), ("user", "café / q")]
    assert edits.move(there, 1, 0) == raw
    # New turns are spelt as the row spells turns.
    added = edits.add(SHAREGPT.encode(), 2, "user", "é").decode()
    assert added == SHAREGPT.replace('"a"}', '"a"}, {"from": "human", "value": "é"}')
    called = edits.set_role(SHAREGPT.encode(), 0, "tool").decode()
    assert called == SHAREGPT.replace("human", "observation")


def test_split_and_merge() -> None:
    raw = SHAREGPT.replace('"q"', '"one two"').encode()
    cut = edits.split(raw, 0, 4)
    assert said(cut)[:2] == [("user", "one "), ("user", "two")]
    assert edits.merge(cut, 0) == raw
    assert said(edits.split(raw, 0, 3, "assistant"))[:2] == [("user", "one"), ("assistant", " two")]
    assert said(edits.merge(raw, 0)) == [("user", "one two\n\na")]
    assert said(edits.merge(raw, 0, " - ")) == [("user", "one two - a")]
    for at in (0, 7, -1):
        with pytest.raises(BadInput, match="cannot split a turn of 7 characters"):
            edits.split(raw, 0, at)
    with pytest.raises(BadInput, match="no turn of the same list follows"):
        edits.merge(raw, 1)
    # A call is behind the text of its turn; what else the turn had stays with the first half.
    call = '"tool_calls": [{"name": "f", "arguments": {"n": 1.0}}]'
    called = (
        '{"messages": [{"role": "assistant", "content": "ab", ' + call + ', "id": 7}]}'
    ).encode()
    assert edits.split(called, 0, 1).decode() == (
        '{"messages": [{"role": "assistant", "content": "a", "id": 7}, '
        '{"role": "assistant", "content": "b", ' + call + "}]}"
    )


def test_trained_ranges_follow_their_text() -> None:
    def flagged(*ranges: tuple[int, int, bool]) -> bytes:
        detail = [{"begin_offset": b, "end_offset": e - 1, "train": t} for b, e, t in ranges]
        turn = {"from": "gpt", "value": "one two three", "train_detail": detail}
        return json.dumps({"conversations": [turn]}).encode()

    raw = flagged((0, 4, False), (4, 8, True), (8, 13, False))

    def pieces(raw: bytes) -> list[list[tuple[str, bool]]]:
        return [[(t.text[b:e], on) for b, e, on in t.flags] for t in read(raw).turns]

    longer = edits.set_text(raw, 0, "one and two three")
    assert pieces(longer) == [[("one and ", False), ("two ", True), ("three", False)]]
    gone = edits.set_text(raw, 0, "one /hree")
    assert pieces(gone) == [[("one ", False), ("/hree", False)]]
    cut = edits.split(raw, 0, 6)
    assert pieces(cut) == [[("one ", False), ("tw", True)], [("o ", True), ("three", False)]]
    joined = edits.merge(cut, 0, "")
    assert "".join(text for text, _ in pieces(joined)[0]) == "one two three"


def test_alpaca_keeps_its_two_keys() -> None:
    raw = ALPACA.encode()
    assert [(v.role, v.text, v.listed) for v in edits.turns(raw)] == [
        ("user", "q", False),
        ("assistant", "b", False),
        ("user", "do\nthis", False),
        ("assistant", "a", False),
    ]
    assert edits.set_text(raw, 3, "A").decode() == ALPACA.replace('"a"', '"A"')
    assert edits.set_text(raw, 1, "B").decode() == ALPACA.replace('"b"', '"B"')
    assert edits.set_text(raw, 2, "DO\nthis").decode() == ALPACA.replace('"do"', '"DO"')
    assert edits.set_text(raw, 2, "do\nthat").decode() == ALPACA.replace("this", "that")
    assert said(edits.set_text(raw, 2, "new"))[2] == ("user", "new")
    system = edits.add(raw, 0, "system", "s")
    assert system.decode() == ALPACA.replace('{"output"', '{"system": "s", "output"')
    assert edits.delete(system, 0) == raw
    for refused in (
        lambda: edits.add(raw, 4, "user", "x"),
        lambda: edits.delete(raw, 2),
        lambda: edits.move(raw, 0, 2),
        lambda: edits.split(raw, 2, 1),
        lambda: edits.merge(raw, 0),
        lambda: edits.set_role(raw, 2, "system"),
        lambda: edits.toggle_train(raw, 3),
    ):
        with pytest.raises(BadInput) as wrong:
            refused()
        assert "a row of Alpaca: instruction, output has no place for it" in wrong.value.message
        assert "data convert" in wrong.value.hint


def test_prompts_completions_and_preferences() -> None:
    raw = PAIRS.encode()
    assert edits.set_text(raw, 1, "A").decode() == PAIRS.replace('"a"', '"A"')
    with pytest.raises(BadInput, match="no place"):
        edits.add(raw, 2, "user", "x")
    raw = DIALOGUES.encode()
    assert [(v.part, v.text) for v in edits.turns(raw)] == [
        ("prompt", "q"),
        ("answer", "a"),
        ("rejected", "b"),
    ]
    # The prompt of two whole dialogues is in both of them, and stays the same in both.
    assert edits.set_text(raw, 0, "Q").decode() == DIALOGUES.replace('"q"', '"Q"')
    assert edits.set_text(raw, 2, "B").decode() == DIALOGUES.replace('"b"', '"B"')
    asked = edits.add(raw, 1, "user", "and?")
    row = read(asked)
    assert (row.prompt_turns, [t.text for t in row.turns]) == (2, ["q", "and?", "a"])
    assert row.rejected == (Turn("assistant", "b"),)
    assert edits.merge(asked, 0) == edits.set_text(raw, 0, "q\n\nand?")
    assert edits.delete(asked, 1) == raw
    with pytest.raises(BadInput, match="no place"):
        edits.toggle_train(raw, 1)
    with pytest.raises(BadInput, match="nothing would be left of `preferred_output`"):
        edits.delete(
            b'{"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": '
            b'[{"role": "assistant", "content": "a"}], "non_preferred_output": '
            b'[{"role": "assistant", "content": "b"}]}',
            1,
        )
    ranked = b'{"prompt": "q", "answers": [{"rank": 2, "answer": "b"}, {"rank": 1, "answer": "a"}]}'
    assert edits.set_text(ranked, 2, "B") == ranked.replace(b'"b"', b'"B"')


def test_parts_and_calls() -> None:
    parts = '[{"type": "text", "text": "ab"}, "cd", {"type": "text", "text": "ef", "train": false}]'
    text = '{"messages": [{"role": "assistant", "content": ' + parts + "}]}"
    assert edits.set_text(text.encode(), 0, "abcdEf").decode() == text.replace("ef", "Ef")
    assert edits.set_text(text.encode(), 0, "abXcdef").decode() == text.replace('"ab"', '"abX"')
    with pytest.raises(BadInput, match="3 parts and the change spans more than one"):
        edits.set_text(text.encode(), 0, "aXXXf")
    with pytest.raises(BadInput, match="in parts"):
        edits.split(text.encode(), 0, 2)
    call = '{"name": "f", "arguments": {}}'
    row = {
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": call},
        ]
    }
    raw = json.dumps(row).encode()
    view = edits.turns(raw)[1]
    assert (view.role, view.name, view.text) == ("assistant", "function_call", call)
    new = edits.set_text(raw, 1, call.replace('"f"', '"g"'))
    assert read(new).turns[1].extra["tool_calls"] == [
        {"type": "function", "function": {"name": "g", "arguments": {}}}
    ]


def test_what_cannot_be_edited_is_refused_in_words() -> None:
    cases = [
        (b"{", "not JSON at column 2"),
        (b'{"messages": [{"role": "cat", "content": ""}]}', "expected one of system"),
        (b'{"text": "t"}', "has no turns that can be edited"),
        (b'{"chosen": "The a", "rejected": "The b"}', "has no turns that can be edited"),
    ]
    for raw, message in cases:
        with pytest.raises(BadInput, match=message):
            edits.turns(raw)
    raw = CHAT.encode()
    with pytest.raises(BadInput, match="there is no turn 2; the row has 2"):
        edits.set_text(raw, 2, "x")
    with pytest.raises(BadInput, match="there is no role `wizard`"):
        edits.set_role(raw, 0, "wizard")
    with pytest.raises(BadInput, match="not valid Unicode"):
        edits.set_text(raw, 0, "\ud800")


@pytest.mark.parametrize("text", [CHAT, SHAREGPT, DIALOGUES])
@pytest.mark.parametrize("seed", range(3))
def test_any_edits_keep_the_row_whole(text: str, seed: int) -> None:
    """After any edits the row reads as the turns they make, and unknown keys are as they were."""
    dice = random.Random(seed)
    raw = text.encode()
    for _ in range(60):
        before = said(raw)
        count = len(before)
        at, to = dice.randrange(count), dice.randrange(count)
        word = dice.choice(["é", "x y", '"\\', "\u2028", ""])
        expected = list(before)
        try:
            match dice.randrange(6):
                case 0:
                    raw = edits.set_text(raw, at, word)
                    expected[at] = (before[at][0], word)
                case 1:
                    raw = edits.add(raw, at, "user", word)
                    expected.insert(at, ("user", word))
                case 2:
                    raw = edits.delete(raw, at)
                    del expected[at]
                case 3:
                    raw = edits.move(raw, at, to)
                    expected.insert(to, expected.pop(at))
                case 4:
                    cut = len(before[at][1]) // 2
                    raw = edits.split(raw, at, cut)
                    role, whole = before[at]
                    expected[at : at + 1] = [(role, whole[:cut]), (role, whole[cut:])]
                case _:
                    raw = edits.toggle_train(raw, at)
        except BadInput:
            continue
        if "chosen" not in text:
            assert said(raw) == expected
        row = json.loads(raw)
        was = json.loads(text)
        assert {k: row[k] for k in was if not isinstance(was[k], list)} == {
            k: was[k] for k in was if not isinstance(was[k], list)
        }
    if text is CHAT:
        assert raw.startswith(b'{ "id":1.50e3, "messages" :[')
        assert raw.endswith(b' ] ,"n": 12345678901234567890 }')
