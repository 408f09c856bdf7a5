"""Reading fast is reading strictly: on any bytes both give the same value or the same complaint."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from engine.data.row.strict import WrongError, load, load_strictly

KEYS = ["a", "b", "role", "content", "a:b", 'q"', "\\", "é", "", ":", "\u2028", "text"]
TEXTS = ["", "a", ":", '":', "é:", "\\", '\\":', "\n", "\0", "a\u2028b", "😀", "u003a", "<:>", "//"]
NUMBERS = ["0", "-0", "-0.0", "1e5", "1E-9", "12345678901234567890", "0.1", "-1.5e300", "7"]
ODD = ["NaN", "-Infinity", "1e999", "9" * 400, "9" * 308, "9" * 30, '"\\ud800"', '"\\udc00\\ud83d"']
SPACE = ["", "", "", " ", "\t", "\r\n", "  "]


def outcome(read: Callable[[bytes], object], raw: bytes) -> str:
    try:
        return repr(read(raw))
    except WrongError as wrong:
        return f"wrong: {wrong}"


def spell(text: str, dice: random.Random) -> str:
    """The same text as JSON, some characters escaped though they need not be."""
    units = []
    for char in text:
        plain = json.dumps(char, ensure_ascii=dice.random() < 0.3)[1:-1]
        escaped = len(plain) == 1 and dice.random() < 0.2 and ord(char) < 0x10000
        form = dice.choice(["\\u%04x", "\\u%04X"])
        units.append(form % ord(char) if escaped else plain)
    return '"' + "".join(units) + '"'


def some_json(dice: random.Random, depth: int = 0) -> str:
    """JSON text with doubled keys, odd numbers and odd spellings now and then."""
    gap = lambda: dice.choice(SPACE)  # noqa: E731
    choice = dice.random()
    if depth == 0 or (choice < 0.4 and depth < 4):
        keys = [dice.choice(KEYS) for _ in range(dice.randrange(5))]
        if dice.random() < 0.6:
            keys = list(dict.fromkeys(keys))
        members = [
            f"{gap()}{spell(key, dice)}{gap()}:{gap()}{some_json(dice, depth + 1)}" for key in keys
        ]
        return "{" + ",".join(members) + gap() + "}"
    if choice < 0.55 and depth < 4:
        items = [gap() + some_json(dice, depth + 1) for _ in range(dice.randrange(4))]
        return "[" + ",".join(items) + gap() + "]"
    if choice < 0.8:
        return spell(dice.choice(TEXTS), dice)
    return dice.choice(["true", "false", "null", dice.choice(ODD), *NUMBERS])


def damaged(raw: bytes, dice: random.Random) -> bytes:
    """The bytes with one of them gone, doubled or replaced."""
    at = dice.randrange(len(raw))
    put = dice.choice(
        [b"", raw[at : at + 1] * 2, b"\0", b"\xff", b"\xed\xa0\x80", b"\\", b'"', b":"]
    )
    return raw[:at] + put + raw[at + 1 :]


@pytest.mark.parametrize("seed", range(4))
def test_fast_reading_is_strict_reading(seed: int) -> None:
    dice = random.Random(seed)
    fine = doubled = 0
    for _ in range(4000):
        raw = some_json(dice).encode()
        if dice.random() < 0.3:
            raw = damaged(raw, dice)
        expected = outcome(load_strictly, raw)
        assert outcome(load, raw) == expected, raw
        fine += not expected.startswith("wrong")
        doubled += "more than once" in expected
    assert fine > 500 and doubled > 300


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": ":", "b": 1, "a": ""}',
        b'{"a": "\\u003a", "b": 1, "b": 2}',
        b'{"a": "\\u003A\\u003a", "b": 1, "b" : 2, "b"\t:3}',
        b'{"a\\u003a": 1, "a:": 2}',
        b'{"\\u0061": 1, "a": 2}',
        b'[{"a": {"a": 1, "a": {"x": ":"}}, "c": "\\\\u003a"}]',
        b'{"a": ' + b"[" * 900 + b"]" * 900 + b', "b": 1, "b": 2}',
        b'{"a": 18446744073709551616, "b": 1, "b": 2}',
    ],
)
def test_a_doubled_key_cannot_hide(raw: bytes) -> None:
    assert outcome(load, raw) == outcome(load_strictly, raw)
    assert ("more than once" in outcome(load, raw)) == (b'"c"' not in raw or b'"a": 1, "a"' in raw)
