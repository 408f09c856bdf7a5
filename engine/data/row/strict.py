"""JSON read strictly: what other readers would refuse or read differently is named, not swallowed.

Knows the traps of JSON Lines: NaN, infinities, duplicate keys, integers beyond a float, depth
bombs, half surrogate pairs, NUL, bytes that are not UTF-8, byte order marks. Knows no shapes of
rows. Rows in which nothing odd can hide are read by a fast reader, all others by a strict one
that can name what is wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec
import orjson

MAX_DIGITS = 309
"""An integer of more digits is beyond the largest float, 1.8e308."""
BOM = b"\xef\xbb\xbf"

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:\d[\d.eE+-]*|Infinity)|NaN|[{}\[\],:]')
_DEEP = 500
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class WrongError(Exception):
    """A row is not what was expected: the text names key and expectation."""


class OddError(Exception):
    """Internal: JSON of a kind that Python would read silently and differently than others."""


_decode = msgspec.json.Decoder().decode


def load(raw: bytes) -> object:
    """The JSON value of one line.

    Raises:
        WrongError: it is not UTF-8, not JSON, or JSON that not every reader reads alike.
    """
    try:
        value = _decode(raw)
        # The fast reader refuses all that the strict one does, but for keys that are there twice
        # and integers beyond a float. The writer knows no integers beyond 64 bits. Every key has
        # a colon of its own; so has none that was dropped: the colons of the row and of what was
        # read from it are as many only if no key is missing, unless one within a text is escaped.
        colons = orjson.dumps(value).count(b":")
        if colons == raw.count(b":") and (b"\\" not in raw or b"\\u003" not in raw):
            return value
    except (msgspec.DecodeError, orjson.JSONEncodeError, UnicodeDecodeError, RecursionError):
        pass
    return load_strictly(raw)


def load_strictly(raw: bytes) -> object:
    """What `load` does, slowly and always: it can name what is wrong."""
    if not raw.strip():
        raise WrongError("blank; expected one JSON object")
    try:
        text = raw.removeprefix(BOM).decode()
    except UnicodeDecodeError as wrong:
        raise WrongError(f"not UTF-8 at byte {wrong.start + 1}; expected UTF-8 text") from None
    try:
        value = STRICT.decode(text)
    except json.JSONDecodeError as wrong:
        raise _not_json(text, wrong) from None
    except RecursionError:
        raise _too_deep(text) from None
    except OddError:
        raise _name_the_odd(text) from None
    if _SURROGATE.search(text):
        for path, leaf in _leaves(value):
            if isinstance(leaf, str) and not _encodes(leaf):
                place = _column(text, "half")
                raise WrongError(
                    f"{path or 'the row'}: half a surrogate pair{place}; expected Unicode text"
                )
    return value


def _not_json(text: str, wrong: json.JSONDecodeError) -> WrongError:
    # Only an element of a JSON array can have lines of its own.
    place = f"column {wrong.colno}" + (f" of its line {wrong.lineno}" if wrong.lineno > 1 else "")
    if text[wrong.pos : wrong.pos + 1] == "\0":
        return WrongError(f"a NUL character at {place}; expected none (text may hold \\u0000)")
    reason = _lower(wrong.msg)
    if wrong.pos >= len(text.rstrip()) > 0:
        reason = "the row ends there, too early"
    return WrongError(f"not JSON at {place} ({reason}); expected one JSON object")


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
        if len(digits) >= MAX_DIGITS and math.isinf(float(digits)):
            return mark(f"a number of {len(digits):,} digits; expected one that fits a float")
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
    raise OddError(reason)


STRICT = _decoder(_refuse)
"""Refuses with `OddError` what `json` would let pass."""


def _name_the_odd(text: str) -> WrongError:
    """Decode once more, leaving marks instead of stopping, to name the key of the first one."""
    try:
        value = _decoder(OddError).decode(text)
    except json.JSONDecodeError as wrong:
        return _not_json(text, wrong)
    except RecursionError:
        return _too_deep(text)
    for path, leaf in _leaves(value):
        if isinstance(leaf, OddError):
            what = str(leaf)
            odd = "twice" if "more than once" in what else "number"
            place = _column(text, "constant" if "not JSON" in what else odd)
            return WrongError(f"{path}: {what}{place}" if path else f"{what}{place}")
    return WrongError("not JSON that every reader reads alike")


def _too_deep(text: str) -> WrongError:
    place = _column(text, "deep")
    return WrongError(f"nested too deep to read{place}; expected a JSON object of a few levels")


def _column(text: str, odd: str) -> str:
    """Where the first oddity of a kind stands, in words; empty where it is not found."""
    open_: list[set[str] | None] = []  # the keys of each object that is open; None for a list
    before = ""
    for token in _TOKEN.finditer(text):
        word = token[0]
        found = False
        if word in "{[":
            open_.append(set() if word == "{" else None)
            found = odd == "deep" and len(open_) > _DEEP
        elif word in "}]":
            del open_[-1:]
        elif word[0] == '"' and odd in ("half", "twice"):
            said = json.loads(word, strict=False)
            found = odd == "half" and not _encodes(said)
            keys = open_[-1] if open_ and before in ("{", ",") else None
            if keys is not None:
                found |= odd == "twice" and said in keys
                keys.add(said)
        elif odd == "constant":
            found = word in ("NaN", "Infinity", "-Infinity")
        elif odd == "number" and word.lstrip("-")[0].isdigit():
            found = len(word) >= MAX_DIGITS or math.isinf(float(word))
        if found:
            return f" (column {token.start() + 1})"
        before = word
    return ""


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


def kind(value: object) -> str:
    """What a value is, in words for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    words = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return words.get(type(value), "something else")


def names(row: Mapping[str, object]) -> str:
    """The keys of an object, in words for a message."""
    listed = [f"`{key[:40]}`" for key in list(row)[:8]]
    if not listed:
        return "no keys"
    return ", ".join(listed) + (f" and {len(row) - 8} more" if len(row) > 8 else "")


def _lower(message: str) -> str:
    return (message[:1].lower() + message[1:]).removesuffix(" at").removesuffix(" starting")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
