"""One value of a row replaced, every other byte left as it was.

Knows where a value lies in a line of JSON and how the line spells its text. Does not know what
the value means.
"""

from __future__ import annotations

import json
import re

from engine.data.row.box import Path, edit, open_box
from engine.data.row.strict import BOM, STRICT, OddError, names
from store.errors import BadInput
from store.visible import visible

_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]",
    re.DOTALL,
)

_EXISTS = "name a key that exists, as messages.1.content (turns count from 0)"
_WHOLE = "give the whole row anew: --raw JSON"


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
        json.loads(text, parse_int=str)
        path = _path(text, dotted)
    except UnicodeDecodeError as wrong:
        why = f"the row is not UTF-8 at byte {wrong.start + 1}"
        raise _cannot_set(dotted, why, _WHOLE) from None
    except UnicodeEncodeError:
        why = "the new value is not valid Unicode text"
        raise _cannot_set(dotted, why, "write the value in UTF-8") from None
    except (RecursionError, ValueError) as wrong:
        raise _cannot_set(dotted, f"the row is not JSON ({wrong})", _WHOLE) from None

    def spelt(old: str) -> str:
        if old.startswith('"'):
            return respell(old, value, escapes(text))
        if old == "null":
            return json.dumps(value, ensure_ascii=escapes(text))
        return _same_kind(dotted, old, value)

    return edit(text, path, spelt).encode()


def _path(text: str, dotted: str) -> Path:
    """The keys that `dotted` stands for: a key may itself hold dots, the longest that fits wins."""
    here, done = text.strip(), ""
    path: list[str] = []
    rest = dotted.split(".")
    while rest:
        if here[:1] not in ("{", "["):
            raise _cannot_set(dotted, f"`{done or 'the row'}` has nothing below it")
        box = open_box(here)
        taken = next((n for n in range(len(rest), 0, -1) if box.has(".".join(rest[:n]))), 0)
        if not taken:
            raise _cannot_set(
                dotted,
                f"there is no `{rest[0]}` in {f'`{done}`' if done else 'the row'}; "
                f"it has {names(dict.fromkeys(box.names))}",
            )
        name, rest = ".".join(rest[:taken]), rest[taken:]
        path.append(name)
        done, here = ".".join(path), box.get(name)
    if here[:1] in ("{", "["):
        below = dict.fromkeys(open_box(here).names)
        raise _cannot_set(dotted, f"it holds more than one value; name one of {names(below)}")
    return tuple(path)


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


def _cannot_set(dotted: str, why: str, hint: str = _EXISTS) -> BadInput:
    return BadInput(visible(f"cannot set `{dotted[:80]}`: {why}"), hint)
