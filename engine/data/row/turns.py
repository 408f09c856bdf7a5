"""A row edited as turns: text, role, order, number and training, in the row's own dialect.

Every function takes the bytes of a row and returns new ones, in which all that was not meant
(numbers, key order, spaces, spellings, keys that nobody knows) is byte for byte what it was. Turns
count from 0: those of the conversation with the chosen answer, then those of a rejected one.
Does not know documents or undo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from engine.data.row import turnbox
from engine.data.row.box import Box, edit, open_box
from engine.data.row.splice import respell
from engine.data.row.turnrow import TurnRow, open_turns
from engine.data.shapes.places import Part, Path, Spot
from engine.data.shapes.turn import ROLES
from store.errors import BadInput
from store.visible import visible

_SHAREGPT = {"user": "human", "assistant": "gpt", "tool": "observation"}


class TurnView(msgspec.Struct, frozen=True):
    """One turn as it can be edited.

    Attributes:
        index: what the functions of this module call it.
        role: as chat templates know it; `name` is how the row spells it.
        text: as the row has it: of a ShareGPT call that is JSON.
        train: what the row says about learning it; None where it says nothing.
        part: of a preference: `prompt`, `answer` or `rejected`; else `prompt`.
        listed: it stands in a list, where turns can be added, moved, split and merged.
        extra, flags: as in `Turn`.
    """

    index: int
    role: str
    name: str
    text: str
    train: bool | None
    part: Part
    listed: bool
    extra: Mapping[str, object]
    flags: tuple[tuple[int, int, bool], ...]


def turns(raw: bytes) -> list[TurnView]:
    """The turns of a row as they can be edited.

    Raises:
        BadInput: the row cannot be read, or has no turns that can be told apart.
    """
    row = open_turns(raw)
    views = []
    for index, (turn, spot) in enumerate(zip(row.turns, row.spots, strict=True)):
        box = row.box(spot)
        called = box is not None and turnbox.is_call(box)
        views.append(
            TurnView(
                index=index,
                role=turn.role,
                name=turnbox.name_of(box) if box is not None else turn.role,
                text=turnbox.text_of(box) if box is not None and called else turn.text,
                train=turn.train,
                part=spot.part,
                listed=spot.held == "list",
                extra=turn.extra,
                flags=turn.flags,
            )
        )
    return views


def set_text(raw: bytes, index: int, text: str) -> bytes:
    """Replace the text of a turn. Raises BadInput."""
    _check(text)
    row = open_turns(raw)
    spot = row.spot(index)
    if spot.held in ("list", "object"):
        return row.changed(spot, lambda box: turnbox.set_text(box, text, row.ascii_only))
    texts = {spot.path: text}
    if spot.held == "joined":
        texts = _apart([(path, _text(row, path)) for path in spot.paths], text)
    out = row.text
    for path, new in texts.items():
        out = edit(out, path, lambda old, new=new: respell(old, new, row.ascii_only))  # type: ignore[misc]
    return out.encode()


def set_role(raw: bytes, index: int, role: str) -> bytes:
    """Give a turn another role, spelt as the row spells roles. Raises BadInput."""
    row = open_turns(raw)
    spot = row.spot(index)
    if spot.held not in ("list", "object"):
        raise row.no_place(f"change the role of turn {index}")
    name = _named(row, spot, role)
    return row.changed(spot, lambda box: turnbox.set_role(box, name, row.ascii_only))


def add(raw: bytes, index: int, role: str, text: str) -> bytes:
    """Put a new turn before turn `index` (after the last where `index` is their number).

    Raises:
        BadInput: the shape has no place for another turn there.
    """
    _check(text)
    row = open_turns(raw)
    if not 0 <= index <= len(row.spots):
        row.spot(index)
    before = row.spots[index - 1] if index else None
    after = row.spots[index] if index < len(row.spots) else None
    system = next((key for key in ("system", "system_prompt") if _has_place(row, key)), None)
    if role == "system" and index == 0 and system and (after is None or after.held != "list"):
        return _with_system(row, system, text)
    # Between a prompt and its answer, only what an assistant says belongs to the answer.
    beside = [after, before] if role == "assistant" or before is None else [before, after]
    spot = next((s for s in beside if s is not None and s.held == "list"), None)
    if spot is None:
        raise row.no_place(f"add a turn at {index}")
    name = _named(row, spot, role)
    new = _new_turn(row, spot, name, text)
    behind = spot is before
    return row.relisted(spot, lambda box, at: box.insert(at + behind, new))


def delete(raw: bytes, index: int) -> bytes:
    """Take a turn out. Raises BadInput: the shape needs it."""
    row = open_turns(raw)
    spot = row.spot(index)
    if spot.held == "text" and spot.role == "system" and len(spot.path) == 1:
        return row.at([()], lambda value: _without(value, str(spot.path[0])))
    spot = row.listed(index, f"delete turn {index}")
    siblings = [s for s in row.spots if s.held == "list" and s.path[:-1] == spot.path[:-1]]
    if len(siblings) == 1:
        raise BadInput(
            f"cannot delete turn {index}: nothing would be left of `{spot.path[-2]}`",
            "delete the row instead",
        )
    return row.relisted(spot, lambda box, at: box.remove(at))


def move(raw: bytes, index: int, to: int) -> bytes:
    """Put a turn where turn `to` is; the ones between move up or down. Raises BadInput."""
    row = open_turns(raw)
    spot, target = row.spot(index), row.spot(to)
    together = spot.path[:-1] == target.path[:-1] and (spot.twin is None) == (target.twin is None)
    if spot.held != "list" or target.held != "list" or not together:
        raise row.no_place(f"move turn {index} to {to}")
    by = to - index
    return row.relisted(spot, lambda box, at: box.move(at, at + by))


def split(raw: bytes, index: int, at: int, role: str | None = None) -> bytes:
    """Cut a turn in two before character `at`; the second has `role`, or the same.

    Raises:
        BadInput: the shape has no place for it, or nothing would be on one side.
    """
    row = open_turns(raw)
    spot = row.listed(index, f"split turn {index}")
    name = None if role is None else _named(row, spot, role)

    def cut(box: Box, place: int) -> None:
        first, second = turnbox.split(open_box(box.values[place]), at, row.ascii_only)
        if name is not None:
            turnbox.set_role(second, name, row.ascii_only)
        box.values[place] = first.text()
        box.insert(place + 1, second.text())

    return row.relisted(spot, cut)


def merge(raw: bytes, index: int, between: str | None = None) -> bytes:
    """Join a turn with the next one, under the first one's role.

    `between` is put between the texts; by default an empty line, unless white space is there.

    Raises:
        BadInput: there is no next turn in the same list, or the two cannot be one.
    """
    row = open_turns(raw)
    spot = row.listed(index, f"merge turn {index}")
    after = row.spots[index + 1] if index + 1 < len(row.spots) else None
    if after is None or after.path[:-1] != spot.path[:-1] or after.part != spot.part:
        raise BadInput(
            f"cannot merge turn {index}: no turn of the same list follows", "merge the one before"
        )

    def join(box: Box, place: int) -> None:
        first = open_box(box.values[place])
        turnbox.merge(first, open_box(box.values[place + 1]), between, row.ascii_only)
        box.values[place] = first.text()
        box.remove(place + 1)

    return row.relisted(spot, join)


def set_train(raw: bytes, index: int, train: bool) -> bytes:
    """Say whether a turn is learned. Raises BadInput: the shape has no place for it.

    The key of the row's other turns is used (`train` or `weight`); where none of them says so and
    it goes without saying (an assistant turn is learned, others are not), the key goes too.
    """
    row = open_turns(raw)
    spot = row.spot(index)
    fixed = row.dialect.shape == "prompt_completion" and spot.path[0] == "prompt"
    if row.dialect.purpose != "sft" or spot.held not in ("list", "object") or fixed:
        raise row.no_place(f"choose whether turn {index} is learned")
    said = [
        next((key for key in turnbox.FLAGS if box.has(key)), None)
        for other, box in ((s, row.box(s)) for s in row.spots)
        if box is not None and other is not spot
    ]
    key = next((name for name in said if name is not None), None)
    usual = train == (row.turns[index].role == "assistant")
    value = None if key is None and usual else train
    return row.changed(spot, lambda box: turnbox.set_train(box, value, key or "train"))


def toggle_train(raw: bytes, index: int) -> bytes:
    """Learn a turn that is not learned, and the other way round. Raises BadInput."""
    row = open_turns(raw)
    row.spot(index)
    turn = row.turns[index]
    learned = turn.role == "assistant" if turn.train is None else turn.train
    return set_train(raw, index, not learned)


# What lies below


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(
            "the new text is not valid Unicode", "type it without half a surrogate pair"
        ) from None


def _text(row: TurnRow, path: Path) -> str:
    value = row.value[str(path[0])]
    assert isinstance(value, str)
    return value


def _apart(texts: list[tuple[Path, str]], new: str) -> dict[Path, str]:
    """Share a new text among the keys that make it, changing as few of them as can be.

    The last keys keep what the text still ends in, the first ones what it still begins with; a
    key that is left without a text of its own becomes empty.
    """
    if len(texts) == 1:
        return {texts[0][0]: new}
    (first, old), *rest = texts
    tail = "\n".join(text for _, text in rest)
    if new.endswith("\n" + tail):
        return {first: new[: -len(tail) - 1]}
    if new.startswith(old + "\n") and len(new) > len(old) + 1:
        return _apart(rest, new[len(old) + 1 :])
    return {first: new, **{path: "" for path, _ in rest}}


def _named(row: TurnRow, spot: Spot, role: str) -> str:
    """The role as this row's list spells it."""
    if role not in ROLES:
        raise BadInput(
            visible(f"there is no role `{role[:40]}`"),
            "expected system, developer, user, assistant or tool",
        )
    if role not in ROLES.values():
        return role
    names, keys = set(), set()
    for other in row.spots:
        box = row.box(other) if other.path[:-1] == spot.path[:-1] or other is spot else None
        if box is not None:
            names.add(turnbox.name_of(box))
            keys.add(turnbox.keys(box)[0])
    if role in names:
        return role
    foreign = names & set(_SHAREGPT.values()) or (
        "from" in keys and not names & {"user", "assistant"}
    )
    return _SHAREGPT.get(role, role) if foreign else role


def _new_turn(row: TurnRow, spot: Spot, name: str, text: str) -> str:
    """A turn object spelt as its neighbour: the same two keys, set apart in the same way."""
    model = row.box(spot)
    assert model is not None
    role, content = turnbox.keys(model)
    for member in [n for n in model.names if n not in (role, content)]:
        model.remove(model.names.index(member))
    model.put(role, json.dumps(name, ensure_ascii=row.ascii_only), first=True)
    model.put(content, json.dumps(text, ensure_ascii=row.ascii_only))
    return model.text()


def _has_place(row: TurnRow, key: str) -> bool:
    """Does the dialect read a system text at `key`, and is there none?"""
    return key in row.dialect.known() and not row.value.get(key)


def _with_system(row: TurnRow, key: str, text: str) -> bytes:
    def added(value: str) -> str:
        box = open_box(value)
        box.put(key, json.dumps(text, ensure_ascii=row.ascii_only), first=True)
        return box.text()

    return row.at([()], added)


def _without(value: str, key: str) -> str:
    box = open_box(value)
    box.remove(box.names.index(key))
    return box.text()
