"""What the commands for runs share: the RUN argument, and a run told as JSON and as a page.

Knows how a run is named on the command line and how it is told. Does not start or change one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import say, table

if TYPE_CHECKING:
    from store.catalogue import Catalogue
    from store.runs import Run

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Number of the run.", show_default=False)
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Start it and return; it goes on by itself.")
]


def number(text: str) -> int:
    """The run's number; `run:3` is taken as 3.

    Raises:
        BadInput: not a number.
    """
    from store.errors import BadInput

    digits = text.removeprefix("run:")
    if not digits.isdecimal():
        raise BadInput(f"run '{text}': expected a number", "List the runs: workbench runs")
    return int(digits)


def say_unless(json: bool, line: str) -> None:
    """Say a line to people; nothing to programs, and no empty one."""
    if line and not json:
        say(line)


def summary(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "name": run.name,
        "status": run.status,
        "model": run.model,
        "dataset": run.dataset,
        "steps": run.step,
        "total_steps": run.total_steps,
        "loss": run.loss,
        "eval_loss": run.eval_loss,
        "best_step": run.best_step,
        "promoted_step": run.promoted_step,
        "seconds": seconds(run),
        "reason": run.reason,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
    }


def result_of(cat: Catalogue, run: Run) -> dict[str, object]:
    """What `train` and `resume` print."""
    from engine.train import client

    with client.reader(cat, run.id) as run_db:
        return summary(run) | {"checkpoints": [plain(item) for item in run_db.checkpoints()]}


def plain(item: object) -> dict[str, object]:
    """A record as JSON values."""
    import dataclasses

    return dataclasses.asdict(item)  # type: ignore[call-overload,no-any-return]


def page(
    run: Run, last: dict[str, tuple[int, float | None]], result: dict[str, object]
) -> list[str]:
    """One run for people."""
    spent = seconds(run)
    lines = [
        f"run {run.id} · {run.name} · {run.status}" + (f": {run.reason}" if run.reason else ""),
        f"{run.model} on {run.dataset}",
        f"step {run.step} of {run.total_steps or '?'}"
        + (f", {spent:,.0f} s" if spent is not None else ""),
        "",
        *table(("metric", "step", "value"), [(name, *point) for name, point in last.items()]),
        "",
        *table(("setting", "value"), [(k, _value(v)) for k, v in run.recipe.items()]),
    ]
    saved = result["checkpoints"]
    assert isinstance(saved, list)
    if saved:
        cells = [(c["step"], c["eval_loss"], f"{c['bytes'] / 1e6:.1f} MB") for c in saved]
        lines += ["", *table(("checkpoint", "eval loss", "size"), cells)]
    told = result["events"]
    assert isinstance(told, list)
    return [*lines, "", *(f"{event['level']}: {event['text']}" for event in told)]


def seconds(run: Run) -> float | None:
    """Wall time from the first start to the end, or until now."""
    if run.started is None:
        return None
    return (run.finished or time.time()) - run.started


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
