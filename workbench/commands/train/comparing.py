"""`workbench compare` and `reproduce`: runs side by side, and a run once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.commands.train.following import followed
from workbench.commands.train.telling import Detach, RunArgument, number, say_unless, summary
from workbench.output import JsonOption, WorkspaceOption, complain, emit, table

if TYPE_CHECKING:
    from engine.records.comparing import Comparison
    from engine.records.reproducing import Outcome

_SHORT = 24


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN [RUN…]", help="Numbers of the runs.")
    ],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """What differs between runs: settings, data, results; and whether it is more than noise."""
    from engine.records import comparing, origin, reproducing
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = comparing.compare(cat, [number(run) for run in runs])
        first, repeats = found.runs[0], {}
        for run in found.runs[1:]:
            sources = [origin.read(cat.workspace.run_dir(one.id)) for one in (first, run)]
            pairs = ((sources[0], run.id), (sources[1], first.id))
            if any(source is not None and source.repeats == other for source, other in pairs):
                repeats[run.id] = reproducing.outcome(cat, first, run)
    told = {str(run_id): item.as_dict() for run_id, item in repeats.items()}
    emit(found.as_dict() | {"repeats": told}, json, _page(found, repeats))


def reproduce(
    run: RunArgument,
    name: Annotated[str | None, typer.Option("--name", help="A name for the new run.")] = None,
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train a run again from its records, then compare every step and the adapter."""
    from engine.records import reproducing
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        repeat = reproducing.reproduce(cat, number(run), name=name)
        first, again = number(run), repeat.run
        say_unless(json, f"run {again.id} repeats run {first}")
        for item in repeat.differing:
            say_unless(json, f"note: not as it was: {item.words}")
        left = detach or not followed(cat, again, json)
        again = client.refresh(cat, again.id)
        result: dict[str, Any] = {
            "repeats": first,
            "differing": [
                {"name": item.name, "then": item.then, "now": item.now} for item in repeat.differing
            ],
        }
        later = f"run {again.id} goes on by itself. Then: workbench compare {first} {again.id}"
        if left:
            emit(summary(again) | result | {"outcome": None}, json, later)
            return
        if again.status in ("failed", "lost"):
            complain(f"run {again.id} {again.status}: {again.reason}", f"workbench log {again.id}")
            emit(summary(again) | result | {"outcome": None}, json, [])
            raise typer.Exit(2)
        outcome = reproducing.outcome(cat, client.refresh(cat, first), again)
    emit(
        summary(again) | result | {"outcome": outcome.as_dict()},
        json,
        [f"run {again.id} {again.status} at step {again.step}", *_verdict(outcome)],
    )


def _verdict(outcome: Outcome) -> list[str]:
    return [f"{'✓ ' if outcome.identical else ''}{line}" for line in outcome.words]


def _page(found: Comparison, repeats: dict[int, Outcome]) -> list[str]:
    heads = [f"run {run.id}" for run in found.runs]
    lines = table(
        ("", *heads),
        [
            ("name", *(run.name for run in found.runs)),
            ("status", *(run.status for run in found.runs)),
            ("steps", *(f"{run.step:,}" for run in found.runs)),
            ("training", *("–" if s is None else f"{s:,.0f} s" for s in found.seconds)),
        ],
    )
    rows = []
    for metric, results in found.results.items():
        rows.append((metric, *(_number(one, "last") for one in results)))
        if any(one and one["best"] is not None for one in results):
            rows.append((f"best {metric}", *(_best(one) for one in results)))
    lines += ["", *table(("result", *heads), rows)] if rows else []
    for title, part in (("setting", found.settings), ("data and machine", found.data)):
        if part:
            cells = [(name, *(_short(value) for value in values)) for name, values in part.items()]
            lines += ["", *table((title, *heads), cells)]
    for run_id, gaps in found.gaps.items():
        apart = [item for item in gaps if item.steps and not item.same]
        if apart:
            against = f"run {run_id} against run {found.runs[0].id}"
            far = [(i.metric, i.steps, i.mean, i.end, i.largest, i.at) for i in apart]
            header = (against, "steps", "mean", "at the end", "largest", "at step")
            lines += ["", *table(header, far)]
    lines += ["", *found.words]
    for run_id, outcome in repeats.items():
        lines += ["", f"run {run_id} and run {found.runs[0].id}: one repeats the other"]
        lines += _verdict(outcome)
    return lines


def _number(one: dict[str, Any] | None, key: str) -> str:
    return "–" if one is None else "NaN" if one[key] is None else f"{one[key]:.4g}"


def _best(one: dict[str, Any] | None) -> str:
    if one is None or one["best"] is None:
        return "–"
    return f"{one['best']:.4g} @{one['best_step']:,}"


def _short(value: object) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())[: 2 * _SHORT]
    text = str(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    return text if len(text) <= 2 * _SHORT else f"…{text[-2 * _SHORT :]}"
