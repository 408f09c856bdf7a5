"""Running a suite on models: ask, judge, record.

Knows sessions and the record of checks. What an answer comes to is decided in `judging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from engine.chat.client import ChatSession, Sampling, answer
from engine.chat.protocol import Done, Failed
from engine.checks.judging import ModelResult, by_group, counted, judged
from engine.checks.kinds import Answer
from engine.checks.suite import Suite
from store import checks as records
from store.catalogue import Catalogue
from store.errors import WorkbenchError


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
    asked = suite.asked
    total = len(asked) * len(refs)
    with ChatSession.open(cat, refs, keep=False) as session:
        answers = answer(
            session,
            [prompt.turns for _, prompt in asked],
            Sampling(max_tokens=suite.max_tokens),
            on_done=None if on_progress is None else lambda done: on_progress(done, total),
        )
        resolved = [model.ref for model in session.models]
    columns = list(zip(*answers, strict=True))
    for name, column in zip(refs, columns, strict=True):
        if all(isinstance(event, Failed) for event in column):
            first = next(event for event in column if isinstance(event, Failed))
            raise WorkbenchError(f"{name}: {first.message}", first.hint)
    judgements = judged(suite, [[_told(event) for event in column] for column in columns])
    results = []
    for name, ref, items in zip(refs, resolved, judgements, strict=True):
        results.append(
            ModelResult(name, ref, counted(suite.name, items), by_group(suite, items), items)
        )
        _record(cat, suite, results[-1])
    return results


def _told(event: Done | Failed) -> Answer | str:
    return Answer(event.text, event.stop) if isinstance(event, Done) else event.message


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
