"""One value of a row replaced, every other byte left as it was.

Knows where a value lies in a line of JSON and how the line spells its text. Does not know what
the value means.
"""

from __future__ import annotations

import json
import re

from engine.data.strict import BOM, STRICT, OddError, names
from store.errors import BadInput
from store.visible import visible

_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]",
    re.DOTALL,
)
_SPACE = re.compile(r"[ \t\n\r]*")


def set_value(raw: bytes, dotted: str, value: str) -> bytes:
    """Return the row with the value at `dotted` (as `messages.1.content`, from 0) replaced.

    Bytes that need not change do not, but for a byte order mark, which goes. Text stays text
    and null becomes text; a number or a truth value stays one and must be written as JSON.

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
        new = respell(old, value, escapes(text))
    elif old == "null":
        new = json.dumps(value, ensure_ascii=escapes(text))
    else:
        new = _same_kind(dotted, old, value)
    return (text[:start] + new + text[end:]).encode()


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
                f"it has {names(children)}",
            )
        done = f"{done}.{'.'.join(rest[:taken])}".lstrip(".")
        start, rest = children[".".join(rest[:taken])], rest[taken:]
    _, end = decoder.raw_decode(text, start)
    if text[start] in "{[":
        below = _children(text, start, decoder) or {}
        raise _cannot_set(dotted, f"it holds more than one value; name one of {names(below)}")
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


def escapes(text: str) -> bool:
    """Does this row write what is not ASCII as `\\uXXXX`?"""
    return text.isascii() and re.search(r"\\u(?!00[0-7])", text) is not None


def respell(literal: str, value: str, escape: bool) -> str:
    """Spell `value` as a JSON string, keeping the old spelling where the text is the same."""
    units = _UNIT.findall(literal[1:-1])
    old = [json.loads(f'"{unit}"') if len(unit) > 1 else unit for unit in units]
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
        new = STRICT.decode(value)
    except (ValueError, RecursionError, OddError):
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
