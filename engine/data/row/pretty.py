"""A row spread over lines for editing, and folded back into one line in the row's own style.

Only the white space between values changes on the way; keys, texts and numbers stay spelled as
they are. What a person did not touch comes back byte for byte. Knows JSON. Knows no shapes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from engine.data.row.strict import BOM

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_SCALARS = re.compile(r'\[[^\[\]{}"]*\]')
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ESCAPED = re.compile(r"\\u(?!00[0-7])")
_COMPARED = 1_000_000
"""Tokens times tokens that are compared to find which of them stayed."""
_LOOK = 400
"""Tokens that are looked at to learn the style of a row."""
_EXPECTED = {
    "Expecting value": "expected a value (text in quotes, a number, true, false, null, { or [)",
    "Expecting property name enclosed in double quotes": "expected a key in double quotes, or }",
    "Expecting ':' delimiter": "expected `:` after the key",
    "Expecting ',' delimiter": "expected `,` or the closing bracket",
    "Unterminated string starting at": "this text never ends; expected a closing quote",
    "Invalid control character at": "a line break or control byte inside text; expected it "
    "written as \\n, \\t or \\u00XX",
    "Invalid \\escape": 'expected one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX',
    "Invalid \\uXXXX escape": "expected four hexadecimal digits after \\u",
    "Extra data": "expected nothing after the row",
    "Illegal trailing comma before end of object": "expected no comma before }",
    "Illegal trailing comma before end of array": "expected no comma before ]",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Where a text stops being JSON, and what was expected there.

    `at`: characters before it; `line` and `column` count from 1.
    """

    at: int
    line: int
    column: int
    expected: str

    @property
    def words(self) -> str:
        """One line for a person."""
        return f"line {self.line}, column {self.column}: {self.expected}"


def decoded(raw: bytes) -> str:
    """The characters of a row; bytes that are not UTF-8 become half surrogates, one each."""
    return raw.removeprefix(BOM).decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """The bytes behind `decoded`."""
    return text.encode("utf-8", "surrogateescape")


def problem(text: str) -> Problem | None:
    """Where a text is not JSON; None where it is, whatever it holds."""
    if not text.strip():
        return Problem(0, 1, 1, "expected one JSON object, found nothing")
    try:
        json.loads(text)
    except json.JSONDecodeError as wrong:
        expected = _EXPECTED.get(wrong.msg, f"not JSON ({wrong.msg})")
        return Problem(wrong.pos, wrong.lineno, wrong.colno, expected)
    except ValueError:  # an integer of more digits than Python reads: JSON all the same
        return None
    except RecursionError:
        return Problem(0, 1, 1, "nested too deep to read; expected a few levels")
    bad = next((n for n, c in enumerate(text) if "\ud800" <= c <= "\udfff"), None) if (
        not text.isascii() and not _encodes(text)
    ) else None  # fmt: skip
    if bad is None:
        return None
    line = text.count("\n", 0, bad) + 1
    return Problem(bad, line, bad - text.rfind("\n", 0, bad), "not UTF-8; expected UTF-8 text")


def spread(raw: bytes) -> str:
    """A row over several lines; one that is not JSON as it is.

    A list of numbers stays in one line, and so does what is empty.
    """
    text = decoded(raw)
    if problem(text) is not None:
        return text
    inline = {match.start(): match.end() for match in _SCALARS.finditer(text)}
    parts: list[str] = []
    depth = 0
    skip_to = -1
    opened = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match.start() < skip_to:
            parts.append(", " if token == "," else token)
            continue
        if token in "}]":
            depth -= 1
            parts.append("" if opened else f"\n{'  ' * depth}")
        elif opened:
            parts.append(f"\n{'  ' * depth}")
        opened = False
        parts.append(token)
        if token == "[" and inline.get(match.start(), 0) > match.start() + 2:
            skip_to = inline[match.start()]
        elif token in "{[":
            depth += 1
            opened = True
        elif token == ",":
            parts.append(f"\n{'  ' * depth}")
        elif token == ":":
            parts.append(" ")
    return "".join(parts)


def fold(text: str, original: bytes) -> bytes:
    """An edited text as one line in the style of the row it came from.

    A text that is not JSON is returned as it is, line breaks as spaces.
    """
    if problem(text) is not None:
        return encoded(text.replace("\n", " ") if "\n" in text else text)
    was = decoded(original)
    old = [(match.start(), match.end()) for match in _TOKEN.finditer(was)]
    if problem(was) is not None:
        old = []
    words = [was[start:end] for start, end in old]
    new = _TOKEN.findall(text)
    if new == words:
        return original
    usual = _Gaps(was, old)
    escape = was.isascii() and _ESCAPED.search(was) is not None
    parts = [was[: old[0][0]] if old else ""]
    before = -1
    for place, (token, stood) in enumerate(zip(new, _standing(words, new), strict=True)):
        if place:
            neighbours = stood is not None and stood and before == stood - 1
            parts.append(
                was[old[before][1] : old[stood][0]]
                if neighbours and stood is not None
                else usual(new[place - 1], token)
            )
        if escape and token[0] == '"':
            token = _NOT_ASCII.sub(_escape, token)
        parts.append(token)
        before = -2 if stood is None else stood
    parts.append(was[old[-1][1] :] if old else "")
    return encoded("".join(parts))


def _standing(old: list[str], new: list[str]) -> list[int | None]:
    """For each new token which old one stands in its place, so that its white space can stay."""
    head = 0
    while head < min(len(new), len(old)) and new[head] == old[head]:
        head += 1
    tail = 0
    while tail < min(len(new), len(old)) - head and new[-1 - tail] == old[-1 - tail]:
        tail += 1
    found: list[int | None] = [*range(head), *[None] * (len(new) - head)]
    found[len(new) - tail :] = range(len(old) - tail, len(old))
    was, now = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(was) == len(now):
        found[head : head + len(now)] = range(head, head + len(was))
    elif len(was) * len(now) <= _COMPARED:
        for _, i, k, j, m in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
            if k - i == m - j:
                found[head + j : head + m] = range(head + i, head + k)
    return found


class _Gaps:
    """The white space that a row usually puts between two tokens."""

    def __init__(self, text: str, tokens: list[tuple[int, int]]) -> None:
        seen: dict[str, Counter[str]] = {}
        for (_, end), (start, _) in pairwise(tokens[:_LOOK]):
            gap = text[end:start]
            if text[end - 1] in "{[:,":
                seen.setdefault(f"after {text[end - 1]}", Counter())[gap] += 1
            if text[start] in "}]:,":
                seen.setdefault(f"before {text[start]}", Counter())[gap] += 1
        self._usual = {"after ,": " ", "after :": " "}
        self._usual |= {place: gaps.most_common(1)[0][0] for place, gaps in seen.items()}

    def __call__(self, left: str, right: str) -> str:
        if left in "{[" and right in "}]":
            return ""
        return self._usual.get(f"after {left}", "") or self._usual.get(f"before {right}", "")


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
