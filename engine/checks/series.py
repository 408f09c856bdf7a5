"""A run's checkpoints on check suites, and which of them to take.

Looking at many checkpoints finds a good one by luck as well, so every comparison is corrected for
how many are looked at, and what cannot be told apart is said to be so. Knows runs and results. Does
not judge answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.checks.comparing import ALPHA, Pair, compare
from engine.checks.judging import Item, ModelResult
from engine.checks.run import run
from engine.checks.stats.paired import holm, mcnemar
from engine.checks.suite import Suite
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
    steps = steps_of(cat, run_id)
    refs = [runs.get(cat, run_id).model, *(f"run:{run_id}@{step}" for step in steps)]
    found = []
    for suite in suites:
        base, *at = results = run(cat, suite, refs, on_progress)
        found.append(SuiteSeries(suite, base, tuple(at), tuple(compare(results))))
    return Series(run_id, steps, tuple(found))


def recommend(series: Series, retention: str | None = None) -> Recommendation:
    """The checkpoint that does best what the suites ask, among those that forgot nothing.

    Args:
        retention: the name of the suite that is about what the base could do already.
    """
    aims = [one for one in series.suites if one.suite.name != retention]
    kept = next((one for one in series.suites if one.suite.name == retention), None)
    if not aims:
        return Recommendation(None, (), "there is no suite but the one about retention")
    named = " and ".join(one.suite.name for one in aims)
    places = range(len(series.steps))
    sound = [i for i in places if kept is None or kept.pairs[i].total.said != "worse"]
    if not sound:
        return Recommendation(None, (), f"every checkpoint lost some of {retention}")
    items = [[item for one in aims for item in one.at[i].items] for i in places]
    best = max(sound, key=lambda i: (_passed(items[i]), _kept(kept, i), -i))
    told = [one.pairs[best].total for one in aims]
    step = series.steps[best]
    if not any(one.said == "better" for one in told):
        p = min(one.p_holm for one in told)
        return Recommendation(
            None,
            (),
            f"no checkpoint can be told apart from the base on {named} (@{step:,}: p {p:.2g})",
        )
    others = [i for i in sound if i != best]
    chances = holm([_chance(items[best], items[i]) for i in others])
    alike = tuple(series.steps[i] for i, p in zip(others, chances, strict=True) if p > ALPHA)
    reason = f"best on {named} ({_passed(items[best]):,} of {len(items[best]):,} pass"
    reason += f", the base {sum(_passed(one.base.items) for one in aims):,})"
    if kept is not None:
        total = kept.pairs[best].total
        reason += (
            f", {retention} {total.said if total.said == 'better' else 'not worse'} than the base "
            f"as far as can be told (p {total.p_holm:.2g}, n {total.pairs:,})"
        )
    if alike:
        reason += f"; cannot be told apart from {', '.join(f'@{step:,}' for step in alike)}"
    return Recommendation(step, alike, reason)


def _passed(items: Sequence[Item]) -> int:
    return sum(item.verdict == "pass" for item in items)


def _kept(retention: SuiteSeries | None, place: int) -> int:
    return 0 if retention is None else _passed(retention.at[place].items)


def _chance(one: Sequence[Item], other: Sequence[Item]) -> float:
    """Exact McNemar between two checkpoints."""
    pairs = [(a.verdict, b.verdict) for a, b in zip(one, other, strict=True)]
    return mcnemar(pairs.count(("fail", "pass")), pairs.count(("pass", "fail")))
