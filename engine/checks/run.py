"""Running a suite: ask, judge, count, record.

Knows sessions and suites. Passed, failed and could-not-be-told are never mixed: the rate is over
the answers that could be judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from engine.chat.client import ChatSession, Sampling, answer
from engine.chat.protocol import Done, Failed
from engine.checks import kinds, patterns
from engine.checks.kinds import Answer
from engine.checks.stats import wilson
from engine.checks.suite import Group, Prompt, Suite
from engine.data.rows import Turn
from store import checks as records
from store.catalogue import Catalogue
from store.errors import WorkbenchError

Verdict = Literal["pass", "fail", "error"]


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


def run(
    cat: Catalogue,
    suite: Suite,
    refs: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ModelResult]:
    """Ask every model every prompt, greedily and in batches, and record the outcome.

    Args:
        on_progress: hears (answers so far, answers in all).
    Raises:
        WorkbenchError: a model cannot be asked at all, in the words of its first error.
    """
    asked = [(group, prompt) for group in suite.groups for prompt in group.prompts]
    total = len(asked) * len(refs)
    with ChatSession.open(cat, refs, keep=False) as session:
        answers = answer(
            session,
            [_turns(prompt) for _, prompt in asked],
            Sampling(max_tokens=suite.max_tokens),
            on_done=None if on_progress is None else lambda done: on_progress(done, total),
        )
        resolved = [model.ref for model in session.models]
    found = _search(asked, answers)
    results = []
    for column, (name, ref) in enumerate(zip(refs, resolved, strict=True)):
        told = [row[column] for row in answers]
        if all(isinstance(event, Failed) for event in told):
            first = next(event for event in told if isinstance(event, Failed))
            raise WorkbenchError(f"{name}: {first.message}", first.hint)
        items = tuple(
            _item(group, prompt, event, found)
            for (group, prompt), event in zip(asked, told, strict=True)
        )
        results.append(_result(suite, name, ref, items))
        _record(cat, suite, results[-1])
    return results


def _turns(prompt: Prompt) -> list[Turn]:
    system = [Turn("system", prompt.system)] if prompt.system else []
    return [*system, Turn("user", prompt.text)]


def _search(
    asked: Sequence[tuple[Group, Prompt]], answers: Sequence[Sequence[Done | Failed]]
) -> dict[patterns.Pair, bool | None]:
    """Every pattern of the suite on every answer, in one go."""
    return patterns.search(
        (value, event.text[: patterns.MAX_TEXT], check.ignore_case)
        for (group, prompt), row in zip(asked, answers, strict=True)
        for check in group.checks
        if check.kind == "regex"
        for value in kinds.wanted(check, prompt.expect)
        for event in row
        if isinstance(event, Done)
    )


def _item(
    group: Group, prompt: Prompt, event: Done | Failed, found: dict[patterns.Pair, bool | None]
) -> Item:
    def item(text: str, stop: str | None, verdict: Verdict, failed: Sequence[str]) -> Item:
        shown = (group.name, prompt.text, prompt.system, prompt.expect)
        return Item(*shown, text, stop, verdict, tuple(failed))

    if isinstance(event, Failed):
        return item("", None, "error", [event.message])
    given = Answer(event.text, event.stop)
    verdicts = {}
    for check in group.checks:
        values = kinds.wanted(check, prompt.expect)
        verdicts[check] = kinds.judge(check, values, given, lambda *pair: found[pair])
    missed = [check.title for check, passed in verdicts.items() if passed is False]
    unclear = [f"{c.title}: took too long" for c, passed in verdicts.items() if passed is None]
    verdict: Verdict = "fail" if missed else "error" if unclear else "pass"
    return item(event.text, event.stop, verdict, missed or unclear)


def _result(suite: Suite, name: str, ref: str, items: tuple[Item, ...]) -> ModelResult:
    groups = tuple(
        _count(group.name, [item for item in items if item.group == group.name])
        for group in suite.groups
    )
    return ModelResult(name, ref, _count(suite.name, items), groups, items)


def _count(name: str, items: Sequence[Item]) -> Count:
    found = Counter(item.verdict for item in items)
    judged = found["pass"] + found["fail"]
    low, high = wilson(found["pass"], judged) or (None, None)
    rate = found["pass"] / judged if judged else None
    return Count(name, found["pass"], found["fail"], found["error"], rate, low, high)


def _record(cat: Catalogue, suite: Suite, result: ModelResult) -> None:
    total = result.total
    records.record(
        cat,
        suite=suite.name,
        suite_sha256=suite.sha256,
        model=result.ref,
        passed=total.passed,
        failed=total.failed,
        errors=total.errors,
        rate=total.rate,
        low=total.low,
        high=total.high,
        items=[asdict(item) for item in result.items],
    )
