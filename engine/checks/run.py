"""Running a suite on models: ask, judge, record.

Knows sessions and the record of checks. What an answer comes to is decided in `judging`, and by
the judges of `rubrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from engine.chat.client import ChatSession, Sampling
from engine.chat.protocol import Failed
from engine.checks import asking, rubrics
from engine.checks.judging import ModelResult, Opinions, Told, judged, result
from engine.checks.kinds import Answer
from engine.checks.suite import Suite
from engine.data.rows import Turn
from store import checks as records
from store.answers import Known
from store.catalogue import Catalogue

OnProgress = Callable[[int, int], None]


def run(
    cat: Catalogue,
    suite: Suite,
    refs: Sequence[str],
    on_progress: OnProgress | None = None,
    session: Callable[[], ChatSession] | None = None,
) -> list[ModelResult]:
    """Ask every model every prompt, greedily and in batches, and record the outcome.

    Args:
        on_progress: hears (answers so far, answers in all); after that the same of each judge.
        session: see `asking.ask_each`.
    Raises:
        WorkbenchError: a model cannot be asked at all, in the words of its first error.
    """
    columns = asking.ask(cat, refs, _conversations(suite), _sampling(suite), on_progress, session)
    told = [[_told(answer) for answer in column] for _, column in columns]
    opinions = rubrics.opinions(cat, suite, told, on_progress)
    return _results(cat, suite, refs, [ref for ref, _ in columns], told, opinions)


def known(cat: Catalogue, suite: Suite, refs: Sequence[str]) -> tuple[list[ModelResult], int]:
    """The results as far as they are known with nobody asked, and how many answers are missing.

    Where answers are missing there are no results.

    Raises:
        WorkbenchError: a model could not be asked at all, in the words of its first error.
    """
    columns, missing = asking.known(cat, refs, _conversations(suite), _sampling(suite))
    if missing:
        return [], missing
    asking.refuse_dumb(columns)
    told = [[_told(answer) for answer in column if answer] for _, column in columns]
    opinions, missing = rubrics.known(cat, suite, told)
    if missing:
        return [], missing
    return _results(cat, suite, refs, [ref for ref, _ in columns], told, opinions), 0


def _results(
    cat: Catalogue,
    suite: Suite,
    names: Sequence[str],
    refs: Sequence[str],
    told: Sequence[Sequence[Told]],
    opinions: Opinions,
) -> list[ModelResult]:
    results = [
        result(suite, name, ref, items)
        for name, ref, items in zip(names, refs, judged(suite, told, opinions), strict=True)
    ]
    for one in results:
        _record(cat, suite, one)
    return results


def _conversations(suite: Suite) -> list[list[Turn]]:
    return [prompt.turns for _, prompt in suite.asked]


def _sampling(suite: Suite) -> Sampling:
    return Sampling(max_tokens=suite.max_tokens)


def _told(answer: Known | Failed) -> Told:
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
