"""The part of `workbench check` that has lm-evaluation-harness ask its tasks.

Knows what is printed. What is asked and how it is counted is the harness's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import emit, table

if TYPE_CHECKING:
    from engine.checks.harness.client import Change, Metric
    from store.catalogue import Catalogue

_ALPHA = 0.05
LmEval = Annotated[
    str | None,
    typer.Option(
        "--lm-eval",
        metavar="TASK,TASK",
        help="Tasks of lm-evaluation-harness instead of a suite.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="With --lm-eval: questions of each task.")
]
Folder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="With --lm-eval: a folder of your own tasks.")
]
Plain = Annotated[
    bool, typer.Option("--plain", help="With --lm-eval: prompts without the chat template.")
]
Download = Annotated[
    bool, typer.Option("--download", help="With --lm-eval: it may fetch the tasks' data.")
]
UnsafeCode = Annotated[
    bool,
    typer.Option(
        "--confirm-run-unsafe-code",
        help="With --lm-eval: allow tasks that execute what the model wrote.",
    ),
]


def ask_harness(
    cat: Catalogue,
    refs: Sequence[str],
    tasks: Sequence[str],
    *,
    json: bool,
    folder: Path | None,
    limit: int | None,
    chat_template: bool,
    unsafe_code: bool,
    download: bool,
) -> None:
    """Ask, and print every metric of every model, and what changed from the first."""
    from engine.checks.harness import client

    found = client.run(
        cat,
        refs,
        tasks,
        folder=folder,
        limit=limit,
        chat_template=chat_template,
        unsafe_code=unsafe_code,
        download=download,
    )
    changes = client.compare(found)
    told = {
        "lm_eval": found[0][1].version,
        "models": [
            {"model": ref, "metrics": [_metric(one) for one in told.metrics]} for ref, told in found
        ],
        "pairs": [{"base": found[0][0], **asdict(change)} for change in changes],
    }
    rows = [
        (ref, one.task, one.metric, f"{one.value:.4g}", _interval(one))
        for ref, told in found
        for one in told.metrics
    ]
    lines = table(("model", "task", "metric", "value", "95 % interval"), rows)
    emit(told, json, [*lines, *(_words(found[0][0], change) for change in changes)])


def _metric(one: Metric) -> dict[str, object]:
    low, high = one.interval or (None, None)
    return {
        "task": one.task,
        "metric": one.metric,
        "value": one.value,
        "low": low,
        "high": high,
        "stderr": one.stderr,
        "higher_is_better": one.higher_is_better,
        "questions": len(one.outcomes) or None,
    }


def _interval(one: Metric) -> str:
    return "–" if one.interval is None else " – ".join(f"{end:.4g}" for end in one.interval)


def _words(base: str, change: Change) -> str:
    said = "cannot tell apart"
    if change.p <= _ALPHA and change.flipped_up != change.flipped_down:
        said = "better" if change.flipped_up > change.flipped_down else "worse"
    seen = change.detectable_drop
    could = "no drop could be seen" if seen is None else f"smallest visible {100 * seen:.1f} points"
    return (
        f"{change.model} against {base}, {change.task} {change.metric}: {said}: "
        f"{change.flipped_up} up, {change.flipped_down} down of {change.pairs:,} "
        f"(p {change.p:.3f}; {could})"
    )
