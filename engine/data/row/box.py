"""An object or a list of a row taken apart, so that it can be changed and put together again.

Knows where members lie in JSON text and how they are set apart; what is not changed comes out as
it went in, spaces and spellings included. Does not know what a member means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.data.row.strict import names

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(slots=True)
class Box:
    """The members of one object or list, as text.

    `heads` holds what stands before each value of an object (its key and colon), `names` the keys
    themselves (the positions of a list); `gaps` what stands before, between and after members.
    """

    opens: str
    names: list[str]
    heads: list[str]
    values: list[str]
    gaps: list[str]

    def text(self) -> str:
        """The box as JSON."""
        inner = "".join(
            gap + head + value
            for gap, head, value in zip(self.gaps, self.heads, self.values, strict=False)
        )
        return self.opens + inner + self.gaps[-1] + ("}" if self.opens == "{" else "]")

    def has(self, name: str) -> bool:
        """Is there a member of this name?"""
        return name in self.names

    def find(self, name: str) -> int:
        """The position of a member: of two with the same name the last, which readers take."""
        return len(self.names) - 1 - self.names[::-1].index(name)

    def get(self, name: str) -> str:
        """The text of the member's value."""
        return self.values[self.find(name)]

    def put(self, name: str, value: str, *, first: bool = False) -> None:
        """Set a member of an object; a new one goes to the end, or to the beginning."""
        if name in self.names:
            self.values[self.find(name)] = value
            return
        colon = self.heads[0][self._colon(self.heads[0]) :] if self.heads else ": "
        self.insert(0 if first else len(self.values), value, json.dumps(name) + colon, name)

    def insert(self, at: int, value: str, head: str = "", name: str = "") -> None:
        """Put a member before position `at`, set apart as the others are."""
        if not self.values:
            self.gaps = ["", self.gaps[0]]
        else:
            self.gaps.insert(max(at, 1), self._between())
        self.names.insert(at, name)
        self.heads.insert(at, head)
        self.values.insert(at, value)

    def remove(self, at: int) -> None:
        """Take a member out."""
        gone = [self.names, self.heads, self.values]
        for part in gone:
            del part[at]
        if not self.values:
            self.gaps = [self.gaps[0] + self.gaps[-1]]
        elif at == 0:
            del self.gaps[1]
        else:
            del self.gaps[at]

    def move(self, at: int, to: int) -> None:
        """Put the member at `at` where it is the one at `to`; what sets them apart stays."""
        for part in (self.names, self.heads, self.values):
            part.insert(to, part.pop(at))

    def _between(self) -> str:
        if len(self.values) > 1:
            return self.gaps[1]
        if "\n" in self.gaps[0]:
            return "," + self.gaps[0]
        spaced = not self.heads[0] or self.heads[0].endswith(" ")
        return ", " if spaced else ","

    @staticmethod
    def _colon(head: str) -> int:
        return _DECODER.raw_decode(head)[1]


def open_box(text: str, start: int = 0) -> Box:
    """Take the object or list at `start` apart.

    Raises:
        ValueError: there is neither; JSON that is not well-formed.
    """
    opens = text[start : start + 1]
    if opens not in ("{", "["):
        raise ValueError(f"expected an object or a list at character {start + 1}")
    box = Box(opens, [], [], [], [])
    keyed = opens == "{"
    closes = "}" if keyed else "]"
    decode = _DECODER.raw_decode
    at = mark = start + 1
    while True:
        # A space or none is what nearly always comes; everything else is left to `skip`.
        if text[at] in " \t\n\r":
            at = skip(text, at)
        box.gaps.append(text[mark:at])
        if text[at] == closes:
            return box
        head = at
        name = str(len(box.values))
        if keyed:
            name, at = decode(text, at)
            at = skip(text, at) + 1 if text[at] != ":" else at + 1
            at = skip(text, at)
        _, end = decode(text, at)
        box.names.append(name)
        box.heads.append(text[head:at])
        box.values.append(text[at:end])
        mark = at = end
        if text[at] != ",":
            at = skip(text, at)
        if text[at] == ",":
            at += 1


def edit(text: str, path: Path, change: Callable[[str], str]) -> str:
    """The JSON text with the value at `path` replaced by what `change` makes of its text.

    Raises:
        KeyError: there is no such value; its message names what there is instead.
        ValueError: JSON that is not well-formed.
    """
    start = skip(text, 0)
    _, end = _DECODER.raw_decode(text, start)
    return text[:start] + _edit(text[start:end], path, change) + text[end:]


def find(text: str, path: Path) -> str:
    """The text of the value at `path`; raises as `edit` does."""
    found: list[str] = []

    def keep(value: str) -> str:
        found.append(value)
        return value

    edit(text, path, keep)
    return found[0]


def _edit(value: str, path: Path, change: Callable[[str], str]) -> str:
    if not path:
        return change(value)
    box = open_box(value)
    name = str(path[0])
    if name not in box.names:
        raise KeyError(f"there is no `{name}`; there is {names(dict.fromkeys(box.names))}")
    box.put(name, _edit(box.get(name), path[1:], change))
    return box.text()


def skip(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    space = _SPACE.match(text, at)
    return space.end() if space else at
