"""No row is so odd that reading, editing or converting it fails in other words than our own."""

from __future__ import annotations

import json
import random

import pytest

from engine.data.convert.rows import TARGETS, convert
from engine.data.row import turns as edits
from engine.data.rows import parse_row
from engine.data.shapes.chat import LISTS
from engine.data.shapes.table import TABLE
from store.errors import BadInput

KEYS = sorted({key for dialect in TABLE for key in dialect.known()} | {"x", "images", "kto_tag"})
INNER = ["role", "content", "from", "value", "train", "weight", "train_detail", "tool_calls"]
INNER += ["function_call", "human", "assistant", "rank", "answer", "label", "text", "name", "type"]
ROLES = ["user", "assistant", "system", "human", "gpt", "tool", "function_call", "cat"]


def some_value(dice: random.Random, depth: int) -> object:
    """A value that looks like what a shape may hold, more or less."""
    if depth > 3:
        return dice.choice(["t", 1, None, True, 1.5])
    match dice.randrange(9):
        case 0 | 1:
            return [some_turn(dice, depth) for _ in range(dice.randrange(4))]
        case 2:
            return some_turn(dice, depth)
        case 3:
            return [dice.choice([1, -1, "a", True, None, ["q", "a"]]) for _ in range(3)]
        case 4:
            return {key: some_value(dice, depth + 1) for key in dice.sample(INNER, 3)}
        case 5:
            return dice.choice([None, True, False, 0, 1, 2.5, {}, []])
        case 6:
            return dice.choice(['{"name": "f", "arguments": {}}', "[]", "{", '[{"type": 1}]'])
        case _:
            return dice.choice(["q", "", "a b", "é\n"])


def some_turn(dice: random.Random, depth: int) -> object:
    role, text = dice.choice([("role", "content"), ("from", "value"), ("role", "value")])
    turn: dict[str, object] = {role: dice.choice(ROLES), text: dice.choice(["q", "", "é"])}
    for key in dice.sample(INNER, dice.choice([0, 0, 0, 1, 2])):
        turn[key] = some_value(dice, depth + 1)
    return turn


def likely(key: str, dice: random.Random) -> object:
    """What the key holds more often than not."""
    if key in ("label", "kto_tag"):
        return dice.choice([True, False])
    if key in ("labels", "input_ids", "completion_mask"):
        return [1, 0]
    turns = [{"role": role, "content": "q"} for role in ("user", "assistant")]
    if key in LISTS or "output" in key or key == "rejected_messages":
        return turns[dice.randrange(2) :] + turns[: dice.randrange(3)]
    if key in ("chosen", "rejected", "prompt", "completion"):
        return dice.choice(["a b", "a c", turns, turns[1:], turns[1]])
    if key == "input" and dice.random() < 0.5:
        return {"messages": turns[:1]}
    if key in ("tools", "history"):
        return dice.choice([[], [["q", "a"]], [{"name": "f"}], "[]"])
    return dice.choice(["q", "", "a"])


def edit(raw: bytes, at: int, dice: random.Random) -> bytes:
    match dice.randrange(5):
        case 0:
            return edits.set_text(raw, at, "new")
        case 1:
            return edits.add(raw, at, dice.choice(["user", "system"]), "new")
        case 2:
            return edits.move(raw, at, 0)
        case 3:
            return edits.split(raw, at, 1)
    return dice.choice([edits.delete, edits.merge, edits.toggle_train])(raw, at)


def some_row(dice: random.Random) -> bytes:
    """A row that nearly has a shape: the keys of a dialect, and a few of any."""
    keys = list(dice.choice(TABLE).keys) + dice.sample(KEYS, dice.randrange(3))
    row = {key: likely(key, dice) if dice.random() < 0.8 else some_value(dice, 0) for key in keys}
    return json.dumps(row, ensure_ascii=dice.random() < 0.5).encode()


@pytest.mark.parametrize("seed", range(4))
def test_any_row_is_read_edited_and_converted_or_refused(seed: int) -> None:
    dice = random.Random(seed)
    fine = edited = converted = 0
    for _ in range(1200):
        raw = some_row(dice)
        row = parse_row(1, raw)
        fine += row.error is None
        try:
            views = edits.turns(raw)
            if row.error is None:
                assert len(views) == len(row.turns) + len(row.rejected)
            new = edit(raw, dice.randrange(len(views)), dice)
            assert row.error is not None or parse_row(1, new).shape != "unknown"
            edited += 1
        except BadInput as wrong:
            assert wrong.hint
        for to in TARGETS:
            try:
                found = convert(row, to)
            except BadInput as wrong:
                assert wrong.message.startswith("line 1: ") and wrong.hint
                continue
            for made in (found.raw, *found.more):
                assert parse_row(1, made).error is None
            converted += 1
    assert min(fine, edited, converted) > 100
