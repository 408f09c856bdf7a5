"""One turn object of a row, edited as text: its role, its text, what of it is trained.

Knows the keys of a turn and that `train_detail` counts characters of the text. Does not know
where in the row the turn is.
"""

from __future__ import annotations

import json

from engine.data.row.box import Box, open_box
from engine.data.row.splice import respell
from engine.data.shapes.turn import CALLING, keys_of
from store.errors import BadInput

CALLS = ("tool_calls", "function_call")
FLAGS = ("train", "weight")


def keys(box: Box) -> tuple[str, str]:
    """The names of role and text in this turn."""
    return keys_of(dict.fromkeys(box.names))


def name_of(box: Box) -> str:
    """The role as the turn spells it; empty if it has none."""
    role = keys(box)[0]
    value = json.loads(box.get(role)) if box.has(role) else ""
    return value if isinstance(value, str) else ""


def text_of(box: Box) -> str:
    """The text; that of content parts is joined."""
    return "".join(text for _, text in _pieces(box))


def is_call(box: Box) -> bool:
    """Is its text a call, written as JSON?"""
    return name_of(box) in CALLING


def set_role(box: Box, name: str, ascii_only: bool) -> None:
    """Set the role, spelt as `name`."""
    box.put(keys(box)[0], json.dumps(name, ensure_ascii=ascii_only), first=True)


def set_text(box: Box, text: str, ascii_only: bool) -> None:
    """Set the text; of content parts, the one that holds all that changes.

    Raises:
        BadInput: the change spans parts.
    """
    old = text_of(box)
    _shift(box, old, text)
    key = keys(box)[1]
    if not box.has(key) or not box.get(key).startswith("["):
        spelt = box.get(key) if box.has(key) else ""
        new = respell(spelt, text, ascii_only) if spelt[:1] == '"' else _json(text, ascii_only)
        box.put(key, new)
        return
    parts = open_box(box.get(key))
    index, inner = _inner(_pieces(box), old, text)
    if parts.values[index].startswith('"'):
        parts.values[index] = respell(parts.values[index], inner, ascii_only)
    else:
        part = open_box(parts.values[index])
        part.put("text", respell(part.get("text"), inner, ascii_only))
        parts.values[index] = part.text()
    box.put(key, parts.text())


def set_train(box: Box, train: bool | None, key: str) -> None:
    """Write whether the turn is trained, under the key it has, else under `key`; None: no word."""
    there = next((name for name in FLAGS if box.has(name)), None)
    if train is None:
        if there is not None:
            box.remove(box.names.index(there))
        return
    name = there or key
    box.put(name, str(int(train)) if name == "weight" else str(train).lower())


def split(box: Box, at: int, ascii_only: bool) -> tuple[Box, Box]:
    """The turn as two, cut before character `at`; a call stays behind the text, so in the second.

    Raises:
        BadInput: there is nothing on one side, or the text is in parts.
    """
    text = text_of(box)
    if not 0 < at < len(text):
        raise BadInput(
            f"cannot split a turn of {len(text)} characters at {at}",
            f"name a character from 1 to {max(len(text) - 1, 1)}; it begins the second turn",
        )
    _no_parts(box, "split")
    detail = _detail(box)
    second = open_box(box.text())
    role, key = keys(box)
    for name in [n for n in second.names if n not in (role, key, *FLAGS, *CALLS)]:
        second.remove(second.names.index(name))
    for name in CALLS:
        if box.has(name):
            box.remove(box.names.index(name))
    literal = box.get(key)
    box.put(key, respell(literal, text[:at], ascii_only))
    second.put(key, respell(literal, text[at:], ascii_only))
    if detail is not None:
        _put_detail(box, [(b, min(e, at), on) for b, e, on in detail if b < at])
        rest = [(max(b, at) - at, e - at, on) for b, e, on in detail if e > at]
        if rest:
            _put_detail(second, rest)
    return box, second


def merge(box: Box, other: Box, between: str | None, ascii_only: bool) -> None:
    """Put the text of `other` behind that of `box`; what only `other` has comes along.

    Raises:
        BadInput: both call tools, or a text is in parts.
    """
    for one in (box, other):
        _no_parts(one, "merge")
    called = [name for name in CALLS if box.has(name) and other.has(name)]
    if called:
        raise BadInput(
            "cannot merge: both turns call tools", "join their `tool_calls` in the raw row"
        )
    head, tail = text_of(box), text_of(other)
    if between is None:
        apart = not head or not tail or head[-1].isspace() or tail[0].isspace()
        between = "" if apart else "\n\n"
    ranges = (_detail(box) or []) + [
        (b + len(head + between), e + len(head + between), on) for b, e, on in _detail(other) or []
    ]
    key = keys(box)[1]
    joined = head + between + tail
    literal = box.get(key) if box.has(key) else "null"
    spelt = (
        respell(literal, joined, ascii_only) if literal[:1] == '"' else _json(joined, ascii_only)
    )
    box.put(key, spelt)
    skipped = (*keys(other), *FLAGS, "train_detail")
    for name, head_of, value in zip(other.names, other.heads, other.values, strict=True):
        if name not in skipped and not box.has(name):
            box.insert(len(box.values), value, head_of, name)
    if ranges:
        _put_detail(box, ranges)


# Parts of a text


def _pieces(box: Box) -> list[tuple[int, str]]:
    """(position of the part, its text); one piece (0, text) where the text is not in parts."""
    key = keys(box)[1]
    value = json.loads(box.get(key)) if box.has(key) else None
    if isinstance(value, str):
        return [(0, value)]
    pieces = []
    for index, part in enumerate(value if isinstance(value, list) else []):
        if isinstance(part, str):
            pieces.append((index, part))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            pieces.append((index, part["text"]))
    return pieces


def _inner(pieces: list[tuple[int, str]], old: str, new: str) -> tuple[int, str]:
    """Which part holds the whole change, and what its text becomes."""
    start, end = _changed(old, new)
    at = 0
    for index, text in pieces:
        if at <= start and end <= at + len(text):
            return index, text[: start - at] + new[start : len(new) - (len(old) - end)] + text[
                end - at :
            ]
        at += len(text)
    raise BadInput(
        f"the text is in {len(pieces)} parts and the change spans more than one",
        "change one part at a time, or edit the raw row",
    )


def _changed(old: str, new: str) -> tuple[int, int]:
    """The range of `old` outside which `new` is the same."""
    most = min(len(old), len(new))
    start = next((n for n in range(most) if old[n] != new[n]), most)
    tail = next((n for n in range(most - start) if old[-1 - n] != new[-1 - n]), most - start)
    return start, len(old) - tail


def _no_parts(box: Box, doing: str) -> None:
    key = keys(box)[1]
    if box.has(key) and box.get(key).startswith("["):
        raise BadInput(f"cannot {doing} a turn whose text is in parts", "edit the raw row instead")
    if is_call(box):
        raise BadInput(
            f"cannot {doing} a turn that is a call written as JSON", "edit its text instead"
        )


# Trained ranges (Axolotl's train_detail, whose end is the last character)


def _detail(box: Box) -> list[tuple[int, int, bool]] | None:
    if not box.has("train_detail") or not box.get("train_detail").startswith("["):
        return None
    items = json.loads(box.get("train_detail"))
    return [(item["begin_offset"], item["end_offset"] + 1, item["train"]) for item in items]


def _put_detail(box: Box, ranges: list[tuple[int, int, bool]]) -> None:
    items = [{"begin_offset": b, "end_offset": e - 1, "train": on} for b, e, on in ranges if b < e]
    box.put("train_detail", json.dumps(items))


def _shift(box: Box, old: str, new: str) -> None:
    """Keep the ranges on the text they were on; a range whose text is gone goes too."""
    ranges = _detail(box)
    if not ranges or old == new:
        return
    start, end = _changed(old, new)
    by = len(new) - len(old)
    moved = []
    for b, e, on in ranges:
        begin = b + by if b >= end else min(b, start)
        stop = e + by if e >= end else min(e, start)
        moved.append((begin, stop, on))
    _put_detail(box, moved)


def _json(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)
