"""What a trainer does with a row, as small rules that each name their source.

Knows verdicts, rules and how they are asked. Does not know any trainer (see one module each).

A rule is a function of a row and of what is known of its file; it returns the reason in words, the
trainer's own where it has some, or None. Its docstring says where the behaviour was read, as
repository@commit and file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

Outcome = Literal["keep", "altered", "drop", "error"]
"""Trained on as it is; trained on otherwise than it says; silently not trained on; the whole
training stops here."""
Value = Mapping[str, object]
Reader = Literal["arrow", "json"]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What happens to one row, by which rule, why, and what to do about it."""

    line: int
    outcome: Outcome
    rule: str = ""
    reason: str = ""
    remedy: str = ""


class FileVerdict(msgspec.Struct, frozen=True):
    """What happens to the file as a whole; `line` is where it comes from, 0 for all of it.

    `keep` is a remark: nothing is lost, but it is good to know.
    """

    line: int
    outcome: Outcome
    rule: str
    reason: str
    remedy: str


@dataclass(slots=True)
class Facts:
    """What a rule may know beside its row.

    Attributes:
        first: the first row that could be read, which decides much.
        line: the line of the row in question.
    """

    first: Value | None = None
    line: int = 0


Look = Callable[[Value, Facts], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a trainer does."""

    name: str
    outcome: Outcome
    remedy: str
    look: Look
    source: str


def rule(outcome: Outcome, remedy: str) -> Callable[[Look], Rule]:
    """Make a rule of a function; its docstring is its source."""

    def made(look: Look) -> Rule:
        return Rule(look.__name__, outcome, remedy, look, look.__doc__ or "")

    return made


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer as it reads a file.

    Attributes:
        source: what was read, repository@commit or package and version.
        assumes: how it is set up, for much depends on it.
        reader: who reads the lines, which decides what becomes of a broken one.
        rules: asked in this order; the first that drops or stops decides, those that alter add up.
        remarks: what can be said of a file by its first row.
    """

    name: str
    title: str
    source: str
    assumes: str
    reader: Reader
    rules: tuple[Rule, ...]
    remarks: Callable[[Value], list[FileVerdict]] = field(default=lambda _: [])

    def judge(self, value: Value, facts: Facts) -> Verdict:
        """The verdict on one row that could be read."""
        altered: list[tuple[Rule, str]] = []
        for one in self.rules:
            reason = one.look(value, facts)
            if reason is None:
                continue
            if one.outcome != "altered":
                return Verdict(facts.line, one.outcome, one.name, reason, one.remedy)
            altered.append((one, reason))
        if not altered:
            return Verdict(facts.line, "keep")
        first = altered[0][0]
        reasons = "; ".join(reason for _, reason in altered)
        remedies = "; ".join(dict.fromkeys(one.remedy for one, _ in altered))
        return Verdict(facts.line, "altered", first.name, reasons, remedies)


# Looking at rows


def turns_of(value: Value, key: str = "messages") -> list[Value]:
    """The turns of a row that are objects; none where there is no list."""
    found = value.get(key)
    return [turn for turn in found if isinstance(turn, dict)] if isinstance(found, list) else []


def conversation_key(value: Value) -> str | None:
    """Which key holds the turns of a row."""
    return next((key for key in ("messages", "conversations") if key in value), None)


def flagged(turns: list[Value], *names: str) -> str | None:
    """The first flag among `names` that some turn has and that says not to train."""
    for turn in turns:
        for name in names:
            if turn.get(name) is not None:
                return name
    return None


def kind(value: object) -> str:
    """What a value is, in a word."""
    if value is None:
        return "null"
    words = {
        bool: "bool",
        str: "text",
        int: "number",
        float: "number",
        list: "list",
        dict: "object",
    }
    return words.get(type(value), "something else")
