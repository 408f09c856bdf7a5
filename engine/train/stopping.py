"""When a run has had enough: steps, epochs, tokens, time, or no improvement.

Pure: knows a recipe and what was counted so far. Does not know trainers or databases. Each answer
is a reason in words, for an event and for the run's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.train.recipe import Recipe

EVAL_LOSS = "eval_loss"
_SUITE = "suite:"

Points = Sequence[tuple[int, float]]


class _Reader(Protocol):
    def names(self) -> list[str]: ...
    def exact(self, name: str) -> list[tuple[int, float | None]]: ...


class _Saved(Protocol):
    @property
    def step(self) -> int: ...
    @property
    def eval_loss(self) -> float | None: ...


def history(run_db: _Reader, metric: str) -> list[tuple[int, float]]:
    """Every evaluation of `eval_loss` or `suite:NAME` so far, by step.

    A suite counts as the mean over its checks.
    """
    if metric == EVAL_LOSS:
        return [(step, value) for step, value in run_db.exact(EVAL_LOSS) if value is not None]
    prefix = f"suite/{metric.removeprefix(_SUITE)}/"
    seen: dict[int, list[float]] = {}
    for name in run_db.names():
        if name.startswith(prefix):
            for step, value in run_db.exact(name):
                if value is not None:
                    seen.setdefault(step, []).append(value)
    return [(step, sum(values) / len(values)) for step, values in sorted(seen.items())]


def best(points: Points, metric: str) -> tuple[int, float] | None:
    """The best evaluation, the earliest of equals: lowest `eval_loss`, highest suite."""
    sign = 1 if metric == EVAL_LOSS else -1
    return min(points, key=lambda point: (sign * point[1], point[0]), default=None)


def best_saved(run_db: _Reader, metric: str, saved: Sequence[_Saved]) -> int | None:
    """The step of the best of these checkpoints; None where none was measured by the metric."""
    if metric == EVAL_LOSS:
        points = [(one.step, one.eval_loss) for one in saved if one.eval_loss is not None]
    else:
        steps = {one.step for one in saved}
        points = [point for point in history(run_db, metric) if point[0] in steps]
    top = best(points, metric)
    return top[0] if top is not None else None


def out_of_patience(recipe: Recipe, points: Points, since: int = 0) -> str | None:
    """Why no further evaluation is waited for, or None.

    Args:
        points: every evaluation of `patience_metric`, by step.
        since: evaluations before this step are not counted (the run was extended there).
    """
    if not recipe.patience:
        return None
    counted = [point for point in points if point[0] >= since]
    top = best(counted, recipe.patience_metric)
    if top is None:
        return None
    waited = sum(step > top[0] for step, _ in counted)
    if waited < recipe.patience:
        return None
    return (
        f"patience: {waited} evaluations without a better {recipe.patience_metric} than "
        f"{top[1]:.4g} at step {top[0]}"
    )


def out_of_budget(recipe: Recipe, tokens: float, seconds: float) -> str | None:
    """Why tokens or time are used up, or None.

    Args:
        tokens: seen in all; seconds: of training in all, over every resume.
    """
    if recipe.max_tokens and tokens >= recipe.max_tokens:
        return f"max_tokens: {tokens:,.0f} of {recipe.max_tokens:,} tokens seen"
    if recipe.max_minutes and seconds >= 60 * recipe.max_minutes:
        return f"max_minutes: {seconds / 60:.3g} of {recipe.max_minutes:g} minutes of training"
    return None


def all_done(recipe: Recipe, total: int) -> str:
    """That every step was taken, in words."""
    if recipe.max_steps > 0 or recipe.max_tokens:
        return f"all {total:,} steps done"
    return f"{recipe.num_train_epochs:g} epochs done, {total:,} steps"
