"""What a check is, what it looks at, and what it may come to.

Knows records alone. Does not know what the kinds ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "skipped", "error"]
Wanted = Literal["none", "may", "must"]
Search = Callable[[str, str, bool], bool | None]
"""Pattern, text, ignore case -> found, or None where it took too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and why it ended; `tokens` without the end of the turn, where known."""

    text: str
    stop: str
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing asked of every answer of a group.

    Attributes:
        values: texts, phrases or patterns; `{expect}` stands for the prompt's own expectation.
        low, high: bounds of a number, a length or a likeness, both included.
        negate: passes where it would fail, and fails where it would pass.
        when: asked only of answers that pass this check; the others are skipped.
        unless: asked only of answers that do not pass this one.
        judge: the model that a rubric is put to; choices: what it may say; accept: of these, what
            passes; against: the other answer of a comparison, `base` or `expect`; template: the
            question to the judge.
    """

    kind: str
    values: tuple[str, ...] = ()
    ignore_case: bool = False
    name: str = ""
    low: float | None = None
    high: float | None = None
    tolerance: float = 0.0
    unit: str = ""
    which: str = "last"
    schema: str = ""
    fenced: bool = False
    negate: bool = False
    when: Check | None = None
    unless: Check | None = None
    judge: str = ""
    choices: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    against: str = ""
    template: str = ""

    @property
    def title(self) -> str:
        """The check in a few words."""
        if self.name:
            return self.name
        kind = f"not {self.kind}" if self.negate else self.kind
        if self.judge:
            rule = " ".join(self.values[0].split())
            return f"{kind}: {rule if len(rule) <= 60 else rule[:59] + '…'}"
        return f"{kind} {self.values[0]!r}" if len(self.values) == 1 else kind


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check.

    Attributes:
        why: what was wrong, missing or unclear; empty where it passes.
        applies: False where a condition of the suite left the check out.
    """

    verdict: Verdict
    why: str = ""
    applies: bool = True


PASS = Outcome("pass")
Run = Callable[[Check, tuple[str, ...], Answer], Outcome]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of check.

    Attributes:
        about: what passes, in a line.
        values: whether a suite names values.
        options: which other keys it may set.
    """

    run: Run
    about: str
    values: Wanted = "must"
    options: frozenset[str] = frozenset()


def outcome(passes: bool, why: str = "") -> Outcome:
    """Pass, or fail with its reason."""
    return PASS if passes else Outcome("fail", why)
