"""One row of a JSONL file: its turns, or what is wrong with it, and edits that change one value.

Knows JSON and the shapes that trainers read. Does not know files, line endings or templates.

A row is never refused: what cannot be read becomes a `Row` whose `error` names the line, the key
and what was expected. `set_value` splices the new text into the old bytes, so that a one-word
edit is a one-word diff whatever the separators, escapes and key order of the file are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from store.errors import BadInput
from store.visible import visible

Shape = Literal["messages", "sharegpt", "prompt_completion", "alpaca", "text", "unknown"]

MAX_ROW_BYTES = 4 << 20
"""A longer row is shown by its head and not parsed: it would stall a screen, and no model reads
a million tokens in one example."""
HEAD_BYTES = 64 << 10
"""How much of a row that is too long is kept."""
MAX_DIGITS = 4300
"""Python refuses to read longer integers (a guard against quadratic time)."""

BOM = b"\xef\xbb\xbf"
_SHAPES = (
    "expected `messages`, `conversations`, `prompt` and `completion`, "
    "`instruction` and `output`, or `text`"
)
_ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_SHAREGPT_ROLES = {
    **_ROLES,
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]",
    re.DOTALL,
)
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    `train` is what the file says about learning this turn: None leaves it to the renderer
    (assistant turns are learned, others are not).
    """

    role: str
    text: str
    train: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file.

    `number` counts lines from 1. `raw` is the line without its line ending (only the first
    `HEAD_BYTES` of a row over `MAX_ROW_BYTES`). `turns` is empty for shape `text`, whose text is
    in `text`. `error` is None for a row that can be trained on.
    """

    number: int
    raw: bytes
    shape: Shape
    turns: tuple[Turn, ...]
    error: str | None
    text: str = ""


class _WrongError(Exception):
    """Internal: this row is not what was expected; becomes `Row.error`."""


class _OddError(Exception):
    """Internal: JSON of a kind that Python would read silently and differently than others."""


def parse_row(number: int, raw: bytes) -> Row:
    """Read one line (without its ending). Never raises: see `Row.error`."""
    if len(raw) > MAX_ROW_BYTES:
        return oversized(number, raw[:HEAD_BYTES], len(raw))
    shape: Shape = "unknown"
    turns: tuple[Turn, ...] = ()
    text = ""
    error: str | None = None
    try:
        value = _load(raw)
        if not isinstance(value, dict):
            raise _WrongError(f"expected one JSON object, found {_kind(value)}")
        shape = _shape(value)
        if shape == "text":
            text = _text(value, "text", "")
        else:
            turns = _TURNS[shape](value)
        if raw.startswith(BOM):
            raise _WrongError("begins with a byte order mark; expected `{`: save it as plain UTF-8")
    except _WrongError as wrong:
        error = visible(f"line {number}: {wrong}")
    return Row(number, raw, shape, turns, error, text)


def oversized(number: int, head: bytes, size: int) -> Row:
    """The row that stands for a line of `size` bytes which is too long to parse."""
    error = f"line {number}: {size:,} bytes long; expected at most {MAX_ROW_BYTES:,}"
    return Row(number, head, "unknown", (), error)


def set_value(raw: bytes, dotted: str, value: str) -> bytes:
    """Return the row with the value at `dotted` (as `messages.1.content`, from 0) replaced.

    Bytes that need not change do not. A text stays text; null becomes text; a number or a truth
    value stays one and must be written as JSON.

    Raises:
        BadInput: the row is not JSON, the key does not exist, or the value does not fit it.
    """
    try:
        text = raw.removeprefix(BOM).decode()
        value.encode()
        start, end = _locate(text, dotted)
    except UnicodeDecodeError as wrong:
        raise _cannot_set(dotted, f"the row is not UTF-8 at byte {wrong.start}") from None
    except UnicodeEncodeError:
        raise _cannot_set(dotted, "the new value is not valid Unicode text") from None
    except (RecursionError, ValueError) as wrong:
        raise _cannot_set(dotted, f"the row is not JSON ({wrong})") from None
    old = text[start:end]
    if old.startswith('"'):
        new = _respell(old, value, _escapes(text))
    elif old == "null":
        new = json.dumps(value, ensure_ascii=_escapes(text))
    else:
        new = _same_kind(dotted, old, value)
    return (text[:start] + new + text[end:]).encode()


# Reading JSON strictly


def _load(raw: bytes) -> object:
    if not raw.strip():
        raise _WrongError("blank; expected one JSON object")
    try:
        text = raw.removeprefix(BOM).decode()
    except UnicodeDecodeError as wrong:
        raise _WrongError(f"not UTF-8 at byte {wrong.start + 1}; expected UTF-8 text") from None
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as wrong:
        raise _WrongError(
            f"not JSON at character {wrong.pos + 1} ({_lower(wrong.msg)}); expected one JSON object"
        ) from None
    except RecursionError:
        raise _WrongError(
            "nested too deep to read; expected a JSON object of a few levels"
        ) from None
    except _OddError:
        raise _name_the_odd(text) from None
    if _SURROGATE.search(text):
        for path, leaf in _leaves(value):
            if isinstance(leaf, str) and not _encodes(leaf):
                raise _WrongError(
                    f"{path or 'the row'}: half a surrogate pair; expected Unicode text"
                )
    return value


def _decoder(mark: Callable[[str], object]) -> json.JSONDecoder:
    """A decoder that calls `mark` where plain `json` would be silent or fail without a place."""

    def pairs(items: list[tuple[str, object]]) -> object:
        found = dict(items)
        if len(found) == len(items):
            return found
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        return mark(f"key `{twice}` is there more than once; expected it once")

    def integer(digits: str) -> object:
        if len(digits) > MAX_DIGITS:
            return mark(f"a number of {len(digits):,} digits; expected {MAX_DIGITS:,} at most")
        return int(digits)

    def real(digits: str) -> object:
        number = float(digits)
        return number if math.isfinite(number) else mark(f"{digits[:20]} is too big for a number")

    def constant(name: str) -> object:
        return mark(f"{name} is not JSON; expected a number or null")

    return json.JSONDecoder(
        object_pairs_hook=pairs, parse_int=integer, parse_float=real, parse_constant=constant
    )


def _refuse(reason: str) -> object:
    raise _OddError(reason)


_STRICT = _decoder(_refuse)


def _name_the_odd(text: str) -> _WrongError:
    """Decode once more, leaving marks instead of stopping, to name the key of the first one."""
    for path, leaf in _leaves(_decoder(_OddError).decode(text)):
        if isinstance(leaf, _OddError):
            return _WrongError(f"{path}: {leaf}" if path else str(leaf))
    return _WrongError("not JSON that every reader reads alike")


def _leaves(value: object) -> Iterator[tuple[str, object]]:
    """Every (dotted path, leaf) below `value`, keys included as leaves; no recursion."""
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        path, item = stack.pop()
        below: list[tuple[str, object]] = []
        if isinstance(item, dict):
            yield from ((path, key) for key in item)
            below = [(str(key), child) for key, child in item.items()]
        elif isinstance(item, list):
            below = [(str(index), child) for index, child in enumerate(item)]
        else:
            yield path, item
        stack += [(f"{path}.{key}" if path else key, child) for key, child in reversed(below)]


# Shapes


def _shape(row: Mapping[str, object]) -> Shape:
    if "messages" in row:
        return "messages"
    if "conversations" in row:
        return "sharegpt"
    if "prompt" in row and "completion" in row:
        return "prompt_completion"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if "text" in row:
        return "text"
    raise _WrongError(f"{_SHAPES}; found {_names(row)}")


def _from_messages(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return _turns(row["messages"], "messages", _ROLES)


def _from_sharegpt(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return _system(row) + _turns(row["conversations"], "conversations", _SHAREGPT_ROLES)


def _from_prompt(row: Mapping[str, object]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for key, role, train in (("prompt", "user", False), ("completion", "assistant", True)):
        if isinstance(row[key], list):
            found = _turns(row[key], key, _ROLES)
        else:
            found = (Turn(role, _text(row, key, "")),)
        # TRL's meaning: the completion is learned, nothing of the prompt is.
        turns += [Turn(t.role, t.text, train and t.role == "assistant") for t in found]
    return tuple(turns)


def _from_alpaca(row: Mapping[str, object]) -> tuple[Turn, ...]:
    turns = list(_system(row))
    history = row.get("history") or []
    if not isinstance(history, list):
        raise _WrongError(f"history: expected a list of [question, answer], found {_kind(history)}")
    for number, pair in enumerate(history):
        if not (isinstance(pair, list) and len(pair) == 2):
            raise _WrongError(f"history.{number}: expected [question, answer], found {_kind(pair)}")
        for place, role in enumerate(("user", "assistant")):
            if not isinstance(pair[place], str):
                raise _WrongError(
                    f"history.{number}.{place}: expected text, found {_kind(pair[place])}"
                )
            turns.append(Turn(role, pair[place]))
    question = _text(row, "instruction", "")
    if row.get("input"):
        question += "\n" + _text(row, "input", "")
    return (*turns, Turn("user", question), Turn("assistant", _text(row, "output", "")))


_TURNS: dict[str, Callable[[Mapping[str, object]], tuple[Turn, ...]]] = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "prompt_completion": _from_prompt,
    "alpaca": _from_alpaca,
}


def _system(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return (Turn("system", _text(row, "system", "")),) if row.get("system") else ()


def _turns(value: object, key: str, roles: Mapping[str, str]) -> tuple[Turn, ...]:
    if not isinstance(value, list):
        raise _WrongError(f"{key}: expected a list of turns, found {_kind(value)}")
    if not value:
        raise _WrongError(f"{key}: expected at least one turn, found an empty list")
    return tuple(_turn(item, f"{key}.{index}", roles) for index, item in enumerate(value))


def _turn(item: object, path: str, roles: Mapping[str, str]) -> Turn:
    if not isinstance(item, dict):
        raise _WrongError(
            f"{path}: expected an object with a role and a content, found {_kind(item)}"
        )
    role_key, text_key = ("from", "value") if "from" in item else ("role", "content")
    if text_key == "value":
        roles = _SHAREGPT_ROLES
    role = _text(item, role_key, path)
    if role not in roles:
        raise _WrongError(
            f"{path}.{role_key}: expected one of {', '.join(roles)}, found `{role[:40]}`"
        )
    for call in ("tool_calls", "function_call"):
        if item.get(call):
            raise _WrongError(f"{path}.{call}: tool calls are not read; expected the call as text")
    if isinstance(item.get(text_key), list):
        text = _parts(item[text_key], f"{path}.{text_key}")
    else:
        text = _text(item, text_key, path)
    return Turn(roles[role], text, _train(item, path))


def _parts(parts: Sequence[object], path: str) -> str:
    texts = []
    for index, part in enumerate(parts):
        if not (isinstance(part, dict) and part.get("type") == "text"):
            raise _WrongError(
                f"{path}.{index}: expected a part of type `text`, as no other is read"
            )
        texts.append(_text(part, "text", f"{path}.{index}"))
    return "".join(texts)


def _train(item: Mapping[str, object], path: str) -> bool | None:
    """Axolotl's `train` and OpenAI's `weight`, where the turn has one."""
    flag = item.get("train")
    if flag is not None:
        if not isinstance(flag, bool):
            raise _WrongError(f"{path}.train: expected true or false, found {_kind(flag)}")
        return flag
    weight = item.get("weight")
    if weight is not None and weight not in (0, 1):
        raise _WrongError(f"{path}.weight: expected 0 or 1, found {_kind(weight)}")
    return None if weight is None else bool(weight)


def _text(row: Mapping[str, object], key: str, path: str) -> str:
    where = f"{path}.{key}" if path else key
    if key not in row:
        raise _WrongError(f"{where}: missing; expected text (found {_names(row)})")
    value = row[key]
    if not isinstance(value, str):
        raise _WrongError(f"{where}: expected text, found {_kind(value)}")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return kinds.get(type(value), "something else")


def _names(row: Mapping[str, object]) -> str:
    names = [f"`{key[:40]}`" for key in list(row)[:8]]
    if not names:
        return "no keys"
    return ", ".join(names) + (f" and {len(row) - 8} more" if len(row) > 8 else "")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Splicing one value


def _locate(text: str, dotted: str) -> tuple[int, int]:
    """Where the value at `dotted` lies in `text`, as character offsets [start, end)."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    start = _skip(text, 0)
    rest, done = dotted.split("."), ""
    decoder.raw_decode(text, start)
    while rest:
        children = _children(text, start, decoder)
        if children is None:
            raise _cannot_set(dotted, f"`{done or 'the row'}` has nothing below it")
        # A key may itself hold dots: the longest that fits wins.
        taken = next(
            (n for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in children),
            0,
        )
        if not taken:
            raise _cannot_set(
                dotted,
                f"there is no `{rest[0]}` in {f'`{done}`' if done else 'the row'}; "
                f"it has {_names(children)}",
            )
        done = f"{done}.{'.'.join(rest[:taken])}".lstrip(".")
        start, rest = children[".".join(rest[:taken])], rest[taken:]
    _, end = decoder.raw_decode(text, start)
    if text[start] in "{[":
        below = _children(text, start, decoder) or {}
        raise _cannot_set(dotted, f"it holds more than one value; name one of {_names(below)}")
    return start, end


def _children(text: str, start: int, decoder: json.JSONDecoder) -> dict[str, int] | None:
    """Key (or index) -> where its value starts; None where `start` is no object or list."""
    if text[start] not in "{[":
        return None
    found: dict[str, int] = {}
    at = _skip(text, start + 1)
    while text[at] not in "}]":
        key = str(len(found))
        if text[start] == "{":
            key, at = decoder.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        found[key] = at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _escapes(text: str) -> bool:
    """Does this row write what is not ASCII as `\\uXXXX`?"""
    return text.isascii() and re.search(r"\\u(?!00[0-7])", text) is not None


def _respell(literal: str, value: str, escape: bool) -> str:
    """Spell `value` as a JSON string, keeping the old spelling where the text is the same."""
    units = _UNIT.findall(literal[1:-1])
    old = [json.loads(f'"{unit}"', strict=False) for unit in units]
    new = list(value)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle = json.dumps("".join(new[head : len(new) - tail]), ensure_ascii=escape)[1:-1]
    return '"' + "".join(units[:head]) + middle + "".join(units[len(units) - tail :]) + '"'


def _same_kind(dotted: str, old: str, value: str) -> str:
    expected = "true or false" if old in ("true", "false") else "a number"
    try:
        new = _STRICT.decode(value)
    except (ValueError, RecursionError, _OddError):
        new = None
    fits = isinstance(new, bool) if old in ("true", "false") else type(new) in (int, float)
    if not fits:
        raise _cannot_set(dotted, f"expected {expected}, as it is now, and got `{value[:40]}`")
    return value.strip()


def _cannot_set(dotted: str, why: str) -> BadInput:
    return BadInput(
        visible(f"cannot set `{dotted[:80]}`: {why}"),
        "name a key that exists, as messages.1.content (turns count from 0)",
    )
