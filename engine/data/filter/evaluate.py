"""Tests as functions: a tree of the filter language becomes one question to ask of each row.

Knows the tree and values. Does not know how rows are read. Cheap questions are asked first; what
a tree cannot do without is told, so that whole stretches of a file need not be read as JSON.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.data.filter.fields import Look, Value
from engine.data.filter.language import All, Node, Not, Test
from engine.data.find import spelling
from engine.data.find.pattern import Pattern

Question = Callable[[Look], bool]
_MIN_WORDS = 3
_TEXTUAL = re.compile(r"[A-Za-z0-9_ ]+")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def question(node: Node) -> Question:
    """The tree as one function of a row."""
    return _built(node)[1]


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words that are in the line of every row that fits, unless JSON spells them oddly."""

    text: str
    ignore_case: bool


def words(node: Node) -> Words | None:
    """What every row that fits must have in its line; None where there is no such thing."""
    found = _words(node)
    if found is None:
        return None
    # Lists are compared as we would write them, numbers as Python does: only what can be nothing
    # but part of a text is sure to be in the line as it is here.
    sure = [run for run in _TEXTUAL.findall(found.text) if sum(map(str.isalpha, run)) > 1]
    longest = max(sure, key=len, default="")
    return Words(longest, found.ignore_case) if len(longest) >= _MIN_WORDS else None


def _built(node: Node) -> tuple[float, Question]:
    if isinstance(node, Test):
        return node.field.cost, _test(node)
    if isinstance(node, Not):
        cost, inner = _built(node.inner)
        return cost, lambda look: not inner(look)
    built = sorted((_built(part) for part in node.parts), key=lambda part: part[0])
    parts = tuple(part for _, part in built)
    return sum(cost for cost, _ in built), _every(parts) if isinstance(node, All) else _some(parts)


def _every(parts: tuple[Question, ...]) -> Question:
    def ask(look: Look) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than most of the questions
            if not part(look):
                return False
        return True

    return ask


def _some(parts: tuple[Question, ...]) -> Question:
    def ask(look: Look) -> bool:
        for part in parts:  # noqa: SIM110
            if part(look):
                return True
        return False

    return ask


def _test(test: Test) -> Question:
    values, kind = test.field.values, test.field.kind
    if kind == "turns" and (
        test.operator in _COMPARE or (test.operator in ("=", "in") and _numbers(test.values))
    ):
        fits = _fits(test)
        return lambda look: fits(len(values(look)))
    if not test.operator:
        if kind == "number":
            # A number is always there: alone it asks whether there are any.
            return lambda look: any(values(look))
        return lambda look: any(
            value not in (None, "", "[]", "{}") and value for value in values(look)
        )
    fits = _fits(test)

    def ask(look: Look) -> bool:
        for value in values(look):  # noqa: SIM110
            if fits(value):
                return True
        return False

    return ask


def _numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _fits(test: Test) -> Callable[[Value], bool]:
    if test.pattern is not None:
        match = test.pattern.in_text

        def found(value: Value) -> bool:
            if not isinstance(value, str):
                return value is not None and not isinstance(value, bool) and found(str(value))
            raw = value.encode("utf-8", "surrogatepass")
            return match(raw, 0, len(raw))[0] >= 0

        return found
    if test.operator in ("startswith", "endswith"):
        part = str(test.values[0])
        if test.operator == "startswith":
            return lambda value: isinstance(value, str) and value.startswith(part)
        return lambda value: isinstance(value, str) and value.endswith(part)
    if test.operator in _COMPARE:
        return _ordered(_COMPARE[test.operator], test.values[0])
    return _equal(test.values)


def _ordered(compare: Callable[[Any, Any], bool], wanted: Value) -> Callable[[Value], bool]:
    if isinstance(wanted, str):
        return lambda value: isinstance(value, str) and compare(value, wanted)
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and not isinstance(wanted, bool)
        and wanted is not None
        and compare(value, wanted)
    )


def _equal(wanted: Sequence[Value]) -> Callable[[Value], bool]:
    # True == 1 in Python and not in JSON: the kind is part of the value.
    keys = {(isinstance(value, bool), value) for value in wanted}
    # A bare 12 or true also finds "12" and "true", as files spell them so.
    keys |= {(False, _spelled(value)) for value in wanted if value is not None}
    return lambda value: (isinstance(value, bool), value) in keys


def _spelled(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _words(node: Node) -> Words | None:
    if isinstance(node, All):
        found = [part for part in map(_words, node.parts) if part is not None]
        return max(found, key=lambda part: len(part.text), default=None)
    if not isinstance(node, Test) or node.field.kind not in ("path", "turns", "text"):
        return None
    if node.field.name not in ("text", "raw") and node.field.kind == "text":
        return None
    if isinstance(node.pattern, Pattern):
        text, pattern = node.pattern.text, node.pattern
        widen = spelling.expression if pattern.regex else spelling.literal
        needles = widen(text, ignore_case=pattern.ignore_case)[1]
        return _one(needles, pattern.ignore_case or (pattern.regex and spelling.has_flags(text)))
    if node.operator in ("=", "startswith", "endswith") and isinstance(node.values[0], str):
        return _one(spelling.literal(node.values[0], ignore_case=False)[1], False)
    return None


def _one(needles: tuple[str, ...], any_case: bool) -> Words:
    """The text that every match has; an empty one, where it has one of several."""
    return Words(needles[0] if len(needles) == 1 else "", any_case)
