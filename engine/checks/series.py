"""A run's checkpoints on check suites, and which of them to take.

Looking at many checkpoints finds a good one by luck as well, so every comparison is corrected for
how many are looked at, and what cannot be told apart is said to be so. Knows runs and results. Does
not judge answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.checks import recommending
from engine.checks import run as running
from engine.checks.comparing import Pair, Said, compare
from engine.checks.judging import ModelResult, counted, facts, scored
from engine.checks.suite import Suite
from engine.models import refs
from engine.train import checkpoints
from store import runs
from store.catalogue import Catalogue
from store.errors import NotFound


@dataclass(frozen=True, slots=True)
class SuiteSeries:
    """One suite on the base and on every checkpoint.

    Attributes:
        base: the base's result; at: one a checkpoint, in order of `Series.steps`.
        pairs: each checkpoint against the base, corrected for their number.
    """

    suite: Suite
    base: ModelResult
    at: tuple[ModelResult, ...]
    pairs: tuple[Pair, ...]

    def said(self, group: int, place: int) -> Said:
        """Whether a group as a whole is better or worse than with the base at a checkpoint.

        Corrected for groups and checkpoints.
        """
        return self.pairs[place].groups[group].said


@dataclass(frozen=True, slots=True)
class Series:
    """Suites over the checkpoints of a run."""

    run_id: int
    steps: tuple[int, ...]
    suites: tuple[SuiteSeries, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which checkpoint to take, or that none can be named.

    Attributes:
        step: None where no checkpoint is better than the base beyond chance, or all forgot.
        alike: checkpoints that cannot be told apart from it.
        reason: one sentence with its numbers.
    """

    step: int | None
    alike: tuple[int, ...]
    reason: str


def steps_of(cat: Catalogue, run_id: int) -> tuple[int, ...]:
    """The checkpoints that a run has.

    Raises:
        NotFound: no such run, or it has saved nothing.
    """
    runs.get(cat, run_id)
    steps = tuple(saved.step for saved in checkpoints.complete(cat.workspace.run_dir(run_id)))
    if not steps:
        raise NotFound(
            f"run {run_id} has no checkpoint to check",
            f"Let it save one: workbench checkpoint {run_id}.",
        )
    return steps


def refs_of(cat: Catalogue, run_id: int) -> list[str]:
    """References of the base, then of every checkpoint.

    Raises:
        NotFound: no such run, or it has saved nothing.
    """
    steps = steps_of(cat, run_id)
    return [runs.get(cat, run_id).model, *(f"run:{run_id}@{step}" for step in steps)]


def resolved(cat: Catalogue, run_id: int) -> list[str]:
    """The same as jobs know them."""
    return [refs.resolve(cat, ref).ref for ref in refs_of(cat, run_id)]


def over_checkpoints(
    cat: Catalogue,
    run_id: int,
    suites: Sequence[Suite],
    on_progress: Callable[[int, int], None] | None = None,
) -> Series:
    """Ask base and every checkpoint, all in one batch; what is known already is not asked.

    Args:
        on_progress: hears (answers so far, answers in all) of the suite that is being asked.
    Raises:
        NotFound: no such run, or it has saved nothing.
        WorkbenchError: a model cannot be asked.
    """
    steps, models = steps_of(cat, run_id), refs_of(cat, run_id)
    found = [_series(suite, running.run(cat, suite, models, on_progress)) for suite in suites]
    return Series(run_id, steps, tuple(found))


def look(cat: Catalogue, run_id: int, suites: Sequence[Suite]) -> tuple[Series, int]:
    """The suites of which every answer is known, with nobody asked; and how many are missing.

    Raises:
        NotFound: no such run, or it has saved nothing.
    """
    steps, models = steps_of(cat, run_id), refs_of(cat, run_id)
    found, lacking = [], 0
    for suite in suites:
        results, missing = running.known(cat, suite, models)
        lacking += missing
        if results:
            found.append(_series(suite, results))
    return Series(run_id, steps, tuple(found)), lacking


def _series(suite: Suite, results: Sequence[ModelResult]) -> SuiteSeries:
    base, *at = results
    return SuiteSeries(suite, base, tuple(at), tuple(compare(results)))


def recommend(series: Series, retention: str | None = None) -> Recommendation:
    """The checkpoint that does best what the suites ask, among those that forgot nothing.

    Args:
        retention: the name of the suite that is about what the base could do already.
    """
    aims = [one for one in series.suites if one.suite.name != retention]
    kept = next((one for one in series.suites if one.suite.name == retention), None)
    if not aims:
        return Recommendation(None, (), "there is no suite but the one about retention")
    steps = {f"@{step:,}": place for place, step in enumerate(series.steps)}
    sound = [
        name
        for name, place in steps.items()
        if kept is None or kept.pairs[place].total.said != "worse"
    ]
    if not sound:
        return Recommendation(None, (), f"every checkpoint lost some of {retention}")
    columns = [[one.base for one in aims], *([one.at[steps[s]] for one in aims] for s in sound)]
    named = zip(("the base", *sound), columns, strict=True)
    advice = recommending.recommend([_together(name, of) for name, of in named])
    about = " and ".join(one.suite.name for one in aims)
    if advice is None:
        return Recommendation(None, (), f"{about}: no answer was judged")
    words = f"{about}, {recommending.in_words(advice)}"
    if advice.base != "better":
        return Recommendation(None, (), words)
    place = steps[advice.best]
    if kept is not None:
        total = kept.pairs[place].total
        words += f"; {retention}: {total.said} (p {total.p_holm:.2g}, n {total.pairs:,})"
    alike = tuple(series.steps[steps[name]] for name in advice.alike)
    return Recommendation(series.steps[place], alike, words)


def _together(name: str, results: Sequence[ModelResult]) -> ModelResult:
    """Several suites on one model as if they were one."""
    # Groups of the same name in two suites are two; so are their clusters.
    items = tuple(
        replace(item, cluster=item.cluster and f"{place}.{item.cluster}")
        for place, result in enumerate(results)
        for item in facts(result.items)
    )
    return ModelResult(name, name, counted(name, items), (), items, score=scored(items))
