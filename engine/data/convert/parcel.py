"""A row unpacked for another shape: its turns, tools and unknown keys, as the row spells them.

Knows where a dialect keeps things; numbers, escapes and keys that nobody knows are carried as
text. Does not know what a target looks like.
"""

from __future__ import annotations

import json
from functools import lru_cache

import msgspec

from engine.data.row.box import Box, Path, open_box
from engine.data.row.splice import escapes
from engine.data.row.strict import load
from engine.data.row.turnbox import CALLS, FLAGS
from engine.data.rows import Row, Turn
from engine.data.shapes.dialect import Dialect
from engine.data.shapes.places import Spot
from engine.data.shapes.table import recognise, without_nulls
from engine.data.shapes.turn import CALLING, keys_of

Member = tuple[str, str]
"""A key and the JSON text of its value."""


class Item(msgspec.Struct, frozen=True):
    """One turn on its way into another shape.

    `content` is the JSON text of what is said (null where there is nothing), `members` are the
    other keys of the turn, `text` is what is said as a JSON string.
    """

    turn: Turn
    content: str
    text: str
    members: tuple[Member, ...] = ()

    def message(self) -> str:
        """The turn as OpenAI spells it."""
        members = [("role", quoted(self.turn.role)), ("content", self.content), *self.members]
        return build(members)

    def sharegpt(self) -> str:
        """The turn as ShareGPT spells it; a call that says nothing becomes its text."""
        turn, members = self.turn, list(self.members)
        name = {"user": "human", "assistant": "gpt", "tool": "observation"}.get(
            turn.role, turn.role
        )
        value = self.text
        calls = turn.extra.get("tool_calls")
        if calls and not turn.text:
            assert isinstance(calls, list)
            called = [call.get("function", call) for call in calls]
            value = quoted(json.dumps(called if len(called) > 1 else called[0], ensure_ascii=False))
            name = "function_call"
            members = [member for member in members if member[0] not in CALLS]
        if turn.flags and not any(key == "train_detail" for key, _ in members):
            detail = [
                {"begin_offset": b, "end_offset": e - 1, "train": on} for b, e, on in turn.flags
            ]
            members.append(("train_detail", json.dumps(detail)))
        return build([("from", quoted(name)), ("value", value), *members])


class Parcel(msgspec.Struct, frozen=True):
    """A row unpacked.

    Attributes:
        row: the row.
        items: the turns of the row; those of a preference up to the chosen answer.
        rejected: the rejected answer's turns.
        tools: the JSON text of the list of tools; empty if there is none.
        extras: the keys that the row's dialect does not know, in their order.
    """

    row: Row
    items: tuple[Item, ...]
    rejected: tuple[Item, ...]
    tools: str
    extras: tuple[Member, ...]


def unpack(row: Row) -> Parcel:
    """Take a row apart that can be read."""
    text = row.raw.decode()
    value = load(row.raw)
    assert isinstance(value, dict)
    present = without_nulls(value)
    dialect = recognise(present)
    assert dialect is not None
    top = open_box(text, len(text) - len(text.lstrip()))
    boxes: dict[Path, Box] = {(): top}
    ascii_only = escapes(text)
    found = (*row.turns, *row.rejected)
    spots: list[Spot | None] = list(dialect.spots(present))
    if len(spots) != len(found):
        spots = [None] * len(found)
    items = [_item(boxes, turn, spot, ascii_only) for turn, spot in zip(found, spots, strict=True)]
    return Parcel(
        row,
        tuple(items[: len(row.turns)]),
        tuple(items[len(row.turns) :]),
        _tools(boxes, dialect),
        _extras(top, dialect, {spot.path[0] for spot in spots if spot is not None}),
    )


def build(members: list[Member]) -> str:
    """A JSON object of keys and the texts of their values."""
    return "{" + ", ".join(f"{_key(key)}: {value}" for key, value in members) + "}"


def listed(values: list[str]) -> str:
    """A JSON list of the texts of its values."""
    return "[" + ", ".join(values) + "]"


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    return quoted(name)


def quoted(text: str, ascii_only: bool = False) -> str:
    """A JSON string."""
    return json.dumps(text, ensure_ascii=ascii_only)


def _item(boxes: dict[Path, Box], turn: Turn, spot: Spot | None, ascii_only: bool) -> Item:
    text = quoted(turn.text, ascii_only)
    if spot is None or spot.held not in ("list", "object"):
        if spot is not None and spot.held == "text":
            text = _literal(boxes, spot.path)
        return Item(turn, text, text, _trained(turn, []))
    box = open_box(_literal(boxes, spot.path))
    role, key = keys_of(dict.fromkeys(box.names))
    content = box.get(key) if box.has(key) else "null"
    members = [
        (name, value)
        for name, value in zip(box.names, box.values, strict=True)
        if name not in (role, key)
    ]
    if content.startswith('"') and json.loads(box.get(role)) in CALLING:
        calls = turn.extra["tool_calls"]
        content = "null"
        members.append(("tool_calls", json.dumps(calls, ensure_ascii=ascii_only)))
    elif content.startswith('"'):
        text = content
    return Item(turn, content, text, _trained(turn, members))


def _trained(turn: Turn, members: list[Member]) -> tuple[Member, ...]:
    """The members of a turn, saying whether it is trained where that does not go without it."""
    said = next(((key, value) for key, value in members if key in FLAGS), None)
    usual = turn.role == "assistant"
    if turn.train is None or (said is None and turn.train == usual):
        return tuple(members)
    if said is not None and (said[1] in ("true", "1")) == turn.train:
        return tuple(members)
    rest = [member for member in members if member[0] not in FLAGS]
    return (*rest, ("train", "true" if turn.train else "false"))


def _literal(boxes: dict[Path, Box], path: Path) -> str:
    """The text of the value at a path; boxes on the way are opened once."""
    if path[:-1] not in boxes:
        boxes[path[:-1]] = open_box(_literal(boxes, path[:-1]))
    return boxes[path[:-1]].get(str(path[-1]))


def _tools(boxes: dict[Path, Box], dialect: Dialect) -> str:
    path = dialect.tools
    holder = boxes[()]
    if len(path) == 2 and holder.has(path[0]):
        holder = open_box(holder.get(path[0]))
    if not path or not holder.has(path[-1]):
        return ""
    value = holder.get(path[-1])
    if value.startswith('"'):
        inner = json.loads(value).strip()
        return inner if isinstance(inner, str) else ""
    return "" if value == "null" else value


def _extras(top: Box, dialect: Dialect, read: set[str | int]) -> tuple[Member, ...]:
    """The keys that the dialect does not know; a system text that it passed over is one."""
    known = dialect.known() - {"parallel_tool_calls"}
    if read:
        known -= {"system"} - read
    found = list(zip(top.names, top.values, strict=True))
    if len(dialect.tools) == 2:
        inner = open_box(top.get(dialect.tools[0]))
        found += [
            (name, value)
            for name, value in zip(inner.names, inner.values, strict=True)
            if name not in ("messages", "tools")
        ]
    passed = [(name, value) for name, value in found if name not in known]
    return tuple((name, value) for name, value in passed if (name, value) != ("system", '""'))
