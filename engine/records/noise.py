"""Is a difference of two runs larger than what another seed would change?

Knows that only runs which differ in nothing but the seed can tell, and looks for them. Says so
where there are none: one run's own wobble is a floor, never the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from store.runs import Run

Answer = Literal["same", "larger", "within", "unknown"]

IGNORED = ("seed", "threads", "probes", "probe_steps", "probe_tokens", "report_to",
           "save_steps", "save_total_limit", "keep_best", "suites", "retention_suite")  # fmt: skip
"""Settings that change neither what is learned nor what is measured, and the seed."""

# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; 1.96 is the limit.
_STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the seed changes a number: pooled over runs that differ in it alone.

    Attributes:
        deviation: standard deviation of one run; freedom: runs less groups.
        groups: the runs of each group.
    """

    deviation: float
    freedom: int
    groups: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the second run differs from the first by more than noise, and why one thinks so."""

    answer: Answer
    text: str
    evidence: dict[str, object]

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"answer": self.answer, "text": self.text, "evidence": self.evidence}


def spread(
    runs: Sequence[Run],
    like: Sequence[Run],
    value: Callable[[Run], float | None],
    data: Callable[[Run], object],
) -> Spread | None:
    """The spread over seeds among finished runs that differ from one of `like` in the seed alone.

    Args:
        data: what tells a run's rows before the split, equal for equal rows.
    Returns:
        None where no two such runs have different seeds.
    """
    keys = {_alike(run, data(run)) for run in like}
    groups: dict[str, dict[int, tuple[int, float]]] = {}
    for run in sorted(runs, key=lambda run: run.id):
        key = _alike(run, data(run)) if run.status == "finished" else ""
        if key in keys and (found := value(run)) is not None and math.isfinite(found):
            # A repeat of the same seed says nothing new: one run a seed.
            groups.setdefault(key, {}).setdefault(run.seed, (run.id, found))
    squares, freedom, used = 0.0, 0, []
    for group in groups.values():
        if len(group) < 2:
            continue
        values = [number for _, number in group.values()]
        mean = math.fsum(values) / len(values)
        squares += math.fsum((number - mean) ** 2 for number in values)
        freedom += len(values) - 1
        used.append(tuple(run_id for run_id, _ in group.values()))
    return Spread(math.sqrt(squares / freedom), freedom, tuple(used)) if freedom else None


def judge(
    metric: str, first: float | None, second: float | None, over: Spread | None,
    floor: float | None,
) -> Judgement:  # fmt: skip
    """Hold a difference against the spread over seeds.

    Args:
        floor: the wobble of the runs' own curves, where there is no spread.
    """
    if first is None or second is None:
        return Judgement("unknown", f"{metric} was not measured in both runs", {})
    apart = second - first
    facts: dict[str, object] = {"metric": metric, "difference": apart}
    if apart == 0:
        return Judgement("same", f"{metric} is the same to the last bit", facts)
    said = f"{metric} differs by {apart:+.4f}"
    if over is None:
        if floor is not None and abs(apart) <= floor:
            return Judgement(
                "within",
                f"{said}: no more than one run's evaluations jump from one to the next "
                f"(±{floor:.4f}), so nothing follows from it",
                facts | {"wobble": floor},
            )
        return Judgement(
            "unknown",
            f"{said}; one cannot know whether another seed would change as much: no finished "
            "run here differs from either in the seed alone. Train one of them again with another "
            "seed, and a recorded split, so that the same rows are held out",
            facts | ({"wobble": floor} if floor is not None else {}),
        )
    bound = _bound(over)
    count = sum(map(len, over.groups))
    facts |= {"deviation": over.deviation, "bound": bound, "runs": [*over.groups]}
    how = f"seeds alone change it by up to ±{bound:.4f} (95 %, from {count} runs)"
    if abs(apart) > bound:
        return Judgement("larger", f"{said}, more than the seed would: {how}", facts)
    return Judgement("within", f"{said}, no more than the seed may: {how}", facts)


def _bound(over: Spread) -> float:
    """Half of the 95 % interval of the difference of two single runs."""
    student = _STUDENT[over.freedom - 1] if over.freedom <= len(_STUDENT) else _LIMIT
    return student * math.sqrt(2) * over.deviation


def _alike(run: Run, data: object) -> str:
    """A text that is the same for runs which differ in nothing but the seed.

    The snapshot is left out where the seed made the split: then the spread over seeds holds that
    of the held-out rows as well, and is from above.
    """
    recipe: dict[str, Any] = {k: v for k, v in run.recipe.items() if k not in IGNORED}
    rows = data if run.split.get("by") == "hash" else run.snapshot
    begun = (run.parent, run.forked_step) if run.forked_step is not None else None
    return repr((sorted(recipe.items()), run.model, run.base_sha256, rows, begun))
