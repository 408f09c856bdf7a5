"""What a suite's answers come to: passed, failed, or could not be told.

Knows suites and answers. Does not ask models or record: the rate is over the answers that could be
judged, and the three outcomes are never mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.checks import kinds, patterns
from engine.checks.kinds import Answer
from engine.checks.stats import wilson
from engine.checks.suite import Group, Prompt, Suite

Verdict = Literal["pass", "fail", "error"]
Told = Answer | str
"""What came of a prompt: an answer, or why there is none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt's outcome. `failed` lists the checks it did not pass, or what went wrong."""

    group: str
    prompt: str
    system: str | None
    expect: str | None
    answer: str
    stop: str | None
    verdict: Verdict
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Outcomes with the rate of passing and its 95 % Wilson interval, None where none counts."""

    name: str
    passed: int
    failed: int
    errors: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A suite on one model: `model` as it was named, `ref` with the step filled in."""

    model: str
    ref: str
    total: Count
    groups: tuple[Count, ...]
    items: tuple[Item, ...]

    @property
    def passed(self) -> int:
        return self.total.passed

    @property
    def failed(self) -> int:
        return self.total.failed

    @property
    def errors(self) -> int:
        return self.total.errors

    @property
    def rate(self) -> float | None:
        return self.total.rate


def judged(suite: Suite, answers: Sequence[Sequence[Told]]) -> list[tuple[Item, ...]]:
    """Every prompt's outcome, per model.

    Args:
        answers: per model, one for each prompt in the order of the suite's groups.
    """
    asked = suite.asked
    found = _search(asked, answers)
    return [
        tuple(
            _item(group, prompt, told, found)
            for (group, prompt), told in zip(asked, column, strict=True)
        )
        for column in answers
    ]


def counted(name: str, items: Sequence[Item]) -> Count:
    """How many of the items came to what."""
    found = Counter(item.verdict for item in items)
    judged = found["pass"] + found["fail"]
    low, high = wilson(found["pass"], judged) or (None, None)
    rate = found["pass"] / judged if judged else None
    return Count(name, found["pass"], found["fail"], found["error"], rate, low, high)


def by_group(suite: Suite, items: Sequence[Item]) -> tuple[Count, ...]:
    """The same for each group of the suite."""
    return tuple(
        counted(group.name, [item for item in items if item.group == group.name])
        for group in suite.groups
    )


def _search(
    asked: Sequence[tuple[Group, Prompt]], answers: Sequence[Sequence[Told]]
) -> dict[patterns.Pair, bool | None]:
    """Every pattern of the suite on every answer, in one go."""
    return patterns.search(
        (value, told.text[: patterns.MAX_TEXT], check.ignore_case)
        for column in answers
        for (group, prompt), told in zip(asked, column, strict=True)
        if isinstance(told, Answer)
        for check in group.checks
        if check.kind == "regex"
        for value in kinds.wanted(check, prompt.expect)
    )


def _item(
    group: Group, prompt: Prompt, told: Told, found: dict[patterns.Pair, bool | None]
) -> Item:
    def item(text: str, stop: str | None, verdict: Verdict, failed: Sequence[str]) -> Item:
        shown = (group.name, prompt.text, prompt.system, prompt.expect)
        return Item(*shown, text, stop, verdict, tuple(failed))

    if isinstance(told, str):
        return item("", None, "error", [told])
    verdicts = {}
    for check in group.checks:
        values = kinds.wanted(check, prompt.expect)
        verdicts[check] = kinds.judge(check, values, told, lambda *pair: found[pair])
    missed = [check.title for check, passed in verdicts.items() if passed is False]
    unclear = [f"{c.title}: took too long" for c, passed in verdicts.items() if passed is None]
    verdict: Verdict = "fail" if missed else "error" if unclear else "pass"
    return item(told.text, told.stop, verdict, missed or unclear)
