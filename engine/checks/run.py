"""Running a suite on models: ask, judge, record.

Knows sessions and the record of checks. What an answer comes to is decided in `judging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from engine.chat.client import Sampling
from engine.chat.protocol import Failed
from engine.checks import asking
from engine.checks.asking import ask
from engine.checks.judging import ModelResult, judged, result
from engine.checks.kinds import Answer
from engine.checks.suite import Suite
from store import checks as records
from store.answers import Known
from store.catalogue import Catalogue


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
    conversations = [prompt.turns for _, prompt in suite.asked]
    columns = ask(cat, refs, conversations, Sampling(max_tokens=suite.max_tokens), on_progress)
    told = [[_told(answer) for answer in column] for _, column in columns]
    results = []
    for name, (ref, _), items in zip(refs, columns, judged(suite, told), strict=True):
        results.append(result(suite, name, ref, items))
        _record(cat, suite, results[-1])
    return results


def missing(cat: Catalogue, suite: Suite, refs: Sequence[str]) -> int:
    """How many answers are not known yet."""
    conversations = [prompt.turns for _, prompt in suite.asked]
    return asking.missing(cat, refs, conversations, Sampling(max_tokens=suite.max_tokens))


def _told(answer: Known | Failed) -> Answer | str:
    if isinstance(answer, Failed):
        return answer.message
    # The token that ends the turn is no part of what was said.
    return Answer(answer.text, answer.stop, answer.tokens - (answer.stop == "turn end"))


def _record(cat: Catalogue, suite: Suite, result: ModelResult) -> None:
    total = result.total
    records.record(
        cat,
        suite=suite.name,
        suite_sha256=suite.sha256,
        model=result.ref,
        passed=total.passed,
        failed=total.failed,
        skipped=total.skipped,
        errors=total.errors,
        rate=total.rate,
        low=total.low,
        high=total.high,
        items=[asdict(item) for item in result.items],
    )
