"""Rows: every shape is read, every broken line is named, an edit changes what it must."""

from __future__ import annotations

import json

import pytest

from engine.data.rows import MAX_ROW_BYTES, Turn, parse_row, set_value
from store.errors import BadInput


def turns_of(value: object) -> tuple[Turn, ...]:
    row = parse_row(1, json.dumps(value).encode())
    assert row.error is None
    return row.turns


def test_every_shape_becomes_turns() -> None:
    question, answer = Turn("user", "q"), Turn("assistant", "a")
    system = Turn("system", "s")
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    sharegpt = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert turns_of({"messages": messages}) == (question, answer)
    assert turns_of({"conversations": sharegpt, "system": "s"}) == (system, question, answer)
    assert turns_of({"prompt": "q", "completion": "a"}) == (
        Turn("user", "q", False),
        Turn("assistant", "a", True),
    )
    assert turns_of({"instruction": "q", "input": "i", "output": "a", "history": [["h", "b"]]}) == (
        Turn("user", "h"),
        Turn("assistant", "b"),
        Turn("user", "q\ni"),
        answer,
    )
    parts = [{"type": "text", "text": "q"}, {"type": "text", "text": "!"}]
    assert turns_of({"messages": [{"role": "user", "content": parts}]}) == (Turn("user", "q!"),)
    text = parse_row(1, b'{"text": "plain"}\r')
    assert (text.shape, text.text, text.turns, text.error) == ("text", "plain", (), None)


def test_a_turn_says_whether_it_is_learned() -> None:
    messages = [
        {"role": "assistant", "content": "a", "weight": 0},
        {"role": "assistant", "content": "b", "train": True},
    ]
    assert [turn.train for turn in turns_of({"messages": messages})] == [False, True]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "line 7: blank; expected one JSON object"),
        (b"[1]", "line 7: expected one JSON object, found a list"),
        (b'{"messages": []}', "line 7: messages: expected at least one turn, found an empty list"),
        (
            b'{"messages": [{"role": "user", "content": 3}]}',
            "line 7: messages.0.content: expected text, found a number",
        ),
        (
            b'{"messages": [{"content": "a"}]}',
            "line 7: messages.0.role: missing; expected text (found `content`)",
        ),
        (
            b'{"text": "x", "m": [1, NaN]}',
            "line 7: m.1: NaN is not JSON; expected a number or null (column 24)",
        ),
        (b'{"text": 1, "text": 2}', "line 7: key `text` is there more than once; expected it once"),
        (b'{"n": ' + b"9" * 5000 + b"}", "line 7: n: a number of 5,000 digits; expected one that"),
        (b'{"n": [' + b"9" * 400 + b"]}", "line 7: n.0: a number of 400 digits; expected one that"),
        (
            b'{"text": "a"',
            "line 7: not JSON at column 13 (the row ends there, too early); expected",
        ),
        (b'{"n": -1e999}', "line 7: n: -1e999 is too big for a number"),
        (b'{"n": Infinity}', "line 7: n: Infinity is not JSON; expected a number or null"),
        (b'{"n": -Infinity}', "n: -Infinity is not JSON; expected a number or null (column 7)"),
        (b'{"text": "\x00"}', "line 7: a NUL character at column 11; expected none"),
        ('{"text": "ää\t"}'.encode(), "line 7: not JSON at column 13 (invalid control"),
        (b'{"a":\n {"b": 1,}}', "not JSON at column 10 of its line 2 (expecting property name"),
        (b"[" * 10_000 + b"]" * 10_000, "line 7: nested too deep to read (column 501); expected"),
        (
            b'{"text": "a", "m": {"b": 1, "b" : 2}}',
            "m: key `b` is there more than once",
        ),
        (b'{"n": 1e999}', "line 7: n: 1e999 is too big for a number (column 7)"),
        (b"[" * 200_000, "line 7: nested too deep to read (column 501); expected"),
        (b'{"text": "\\ud800"}', "line 7: text: half a surrogate pair (column 10); expected"),
        (b'{"text": "\xff"}', "line 7: not UTF-8 at byte 11; expected UTF-8 text"),
        (
            b'\xef\xbb\xbf{"text": "a"}',
            "line 7: begins with a byte order mark (column 1)",
        ),
        (b'{"text": "a', "line 7: not JSON at column 10 ("),
        (b'{"text": "' + b"a" * MAX_ROW_BYTES + b'"}', "line 7: 4,194,316 bytes long; expected"),
        (b'{"chosen": "a"}', "line 7: expected `messages`, `conversations`, `prompt`"),
        (b'{"\\u001b[2J": 1}', "found `\u241b[2J`"),
    ],
)
def test_a_broken_line_is_a_row_with_a_reason(raw: bytes, error: str) -> None:
    row = parse_row(7, raw)
    assert row.error is not None
    assert error in row.error
    assert row.number == 7


def test_an_edit_changes_only_what_it_must() -> None:
    raw = rb'{"b" : 1,"messages":[{"role":"user","content":"caf\u00e9 \/ one \ud83d\ude00 x"}]}'
    assert set_value(raw, "messages.0.content", "café / two 😀 x") == raw.replace(b"one", b"two")
    assert set_value(raw, "messages.0.content", "café / öne 😀 x") == raw.replace(
        b"one", rb"\u00f6ne"
    )
    plain = '{"text": "naïve \u2028 word"}'.encode()
    assert set_value(plain, "text", "naïve \u2028 wörd") == plain.replace(b"word", "wörd".encode())
    assert json.loads(set_value(plain, "text", 'a "b" \\ \n c'))["text"] == 'a "b" \\ \n c'


def test_a_row_is_repaired_one_value_at_a_time() -> None:
    """What makes a row bad need not stand in the way of an edit elsewhere in it."""
    long = b'{"n": ' + b"9" * 5000 + b', "t": "a", "x": NaN}'
    assert set_value(long, "t", "b") == long.replace(b'"a"', b'"b"')
    assert set_value(b'{"t": "a", "t": "b"}', "t", "c") == b'{"t": "a", "t": "c"}'


def test_an_edit_keeps_the_kind_of_value() -> None:
    raw = b'{"a.b": "x", "n": 1, "t": true, "z": null}'
    assert set_value(raw, "a.b", "1") == raw.replace(b'"x"', b'"1"')
    assert set_value(raw, "n", "2.5") == raw.replace(b"1", b"2.5")
    assert set_value(raw, "t", "false") == raw.replace(b"true", b"false")
    assert set_value(raw, "z", "text") == raw.replace(b"null", b'"text"')
    for key, value in (("n", "two"), ("t", "1"), ("n", "NaN")):
        with pytest.raises(BadInput, match=f"`{key}`: expected"):
            set_value(raw, key, value)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("messages.2.content", "there is no `2` in `messages`; it has `0`"),
        ("nothing", "there is no `nothing` in the row; it has `messages`"),
        ("messages", "it holds more than one value; name one of `0`"),
        ("messages.0.role.x", "`messages.0.role` has nothing below it"),
    ],
)
def test_a_key_that_is_not_there_is_named(key: str, reason: str) -> None:
    raw = b'{"messages": [{"role": "user", "content": "a"}]}'
    with pytest.raises(BadInput) as caught:
        set_value(raw, key, "x")
    assert key in caught.value.message
    assert reason in caught.value.message
