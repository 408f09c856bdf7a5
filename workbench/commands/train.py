"""`workbench train`, `runs`, `show`, `log`, `stop`, `pause`, `checkpoint` and `resume`.

A run belongs to the machine: leaving a command never stops it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, complain, emit, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.catalogue import Catalogue
    from store.runs import Run

_LINE_S = 1.0
_STOP_S = 60.0

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Number of the run.", show_default=False)
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Start it and return; it goes on by itself.")
]


def train(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A dataset, as for `workbench data`.")
    ],
    model: Annotated[
        str,
        typer.Option("--model", metavar="REF", help="starter, hub:org/name or a folder."),
    ] = "starter",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="A shipped recipe, or a TOML file.")
    ] = "default",
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="A name for the run.")] = None,
    note: Annotated[str, typer.Option("--note", help="A note for the run.")] = "",
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train an adapter on a file. Recipe keys: max_steps, learning_rate, r, seed, save_steps …"""
    from engine.train import client
    from engine.train.recipe import load, with_sets
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        chosen = with_sets(load(recipe), sets or [])
        run = client.start(cat, file, model, chosen, name=name, note=note)
        _say_unless(json, f"run {run.id} on {run.model}, recipe {recipe}")
        _finish(cat, run, detach, json)


def runs(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """List the runs, newest first."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        known = client.refresh(cat)
    cells = [
        (
            r.id,
            r.name,
            r.status,
            r.model,
            Path(r.dataset).name,
            r.step,
            r.total_steps,
            r.loss,
            r.eval_loss,
        )
        for r in known
    ]
    header = ("run", "name", "status", "model", "data", "step", "of", "loss", "eval loss")
    empty = "No run yet. Start one: workbench train FILE --model starter"
    emit({"runs": [_summary(r) for r in known]}, json, table(header, cells) if cells else empty)


def show(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Everything about one run: status, settings, metrics, checkpoints, events."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.refresh(cat, _number(run))
        with client.reader(cat, found.id) as run_db:
            metrics = {
                name: [[step, value] for step, value in run_db.exact(name)]
                for name in (run_db.names() if json else ())
            }
            last = run_db.last()
            result = _summary(found) | {
                "pid": found.pid if client.is_alive(found) else None,
                "note": found.note,
                "recipe": found.recipe,
                "seed": found.seed,
                "snapshot": found.snapshot,
                "base_sha256": found.base_sha256,
                "template_sha256": found.template_sha256,
                "versions": found.versions,
                "machine": found.machine,
                "split": found.split,
                "metrics": metrics,
                "checkpoints": [_plain(item) for item in run_db.checkpoints()],
                "samples": [_plain(item) for item in run_db.samples()],
                "events": [_plain(item) for item in run_db.events()],
            }
            emit(result, json, [] if json else _page(found, last, result))


def log(
    run: RunArgument,
    lines: Annotated[int, typer.Option("--lines", metavar="N", min=1, help="Newest lines.")] = 200,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """What the run's process wrote."""
    from engine.train import client
    from store.catalogue import Catalogue
    from store.runs import get
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        path = client.log_path(cat, get(cat, _number(run)).id)
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    newest = text.splitlines()[-lines:]
    emit({"path": str(path), "lines": newest}, json, newest or f"{path}: nothing written yet")


def stop(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Let a run save a checkpoint and end; `resume` goes on from there."""
    from engine.train import client

    _end(client.stop, run, workspace, json)


def pause(run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Let a run save a checkpoint and let go of the device; `resume` goes on from there."""
    from engine.train import client

    _end(client.pause, run, workspace, json)


def checkpoint(
    run: RunArgument, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """Let a run save a checkpoint after its step and go on."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        number = _number(run)
        with client.reader(cat, number) as run_db:
            before = max((saved.step for saved in run_db.checkpoints()), default=-1)
            found = client.checkpoint_now(cat, number)
            newest = before
            deadline = time.monotonic() + _STOP_S
            while newest == before and client.is_alive(found) and time.monotonic() < deadline:
                time.sleep(0.1)
                newest = max((saved.step for saved in run_db.checkpoints()), default=-1)
        found = client.refresh(cat, found.id)
        done = f"saved step {newest}" if newest > before else "has not saved one yet"
        emit(_result(cat, found), json, f"run {found.id} {done}")


def _end(
    ask: Callable[[Catalogue, int], Run], run: str, workspace: Path | None, json: bool
) -> None:
    """Ask a run to end in one way or the other, and wait a while until it has."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = ask(cat, _number(run))
        deadline = time.monotonic() + _STOP_S
        while client.is_alive(found) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = client.refresh(cat, found.id)
        found, alive = client.refresh(cat, found.id), client.is_alive(found)
    still = "is still finishing its step" if alive else f"is {found.status}"
    goes_on = found.status in ("stopped", "paused") and not alive
    hint = f"; go on with: workbench resume {found.id}" if goes_on else ""
    emit(_summary(found), json, f"run {found.id} {still} at step {found.step}{hint}")


def resume(
    run: RunArgument,
    detach: Detach = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a stopped, paused, failed or lost run from its newest intact checkpoint."""
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.resume(cat, _number(run))
        _say_unless(json, f"run {found.id} goes on")
        _finish(cat, found, detach, json)


def _finish(cat: Catalogue, run: Run, detach: bool, json: bool) -> None:
    """Follow the run unless it is to be left alone, and print how it stands."""
    from engine.train import client

    if not detach and not _followed(cat, run, json):
        detach = True
    found = client.refresh(cat, run.id)
    failed = found.status in ("failed", "lost") and not detach
    if detach:
        words = f"run {found.id} goes on by itself. Watch it: workbench show {found.id}"
    else:
        words = f"run {found.id} {found.status} at step {found.step}. Talk to it: run:{found.id}"
    if failed:
        complain(
            f"run {found.id} {found.status} at step {found.step}: {found.reason}",
            f"Read its log: workbench log {found.id}. Go on: workbench resume {found.id}.",
        )
    emit(_result(cat, found), json, [] if failed else words)
    if failed:
        raise typer.Exit(2)


def _followed(cat: Catalogue, run: Run, json: bool) -> bool:
    """Print a line a second until the run has ended; False where the user left it."""
    from engine.train.client import follow

    told = 0.0
    newest = ""
    try:
        for progress in follow(cat, run.id):
            newest = str(progress) if progress.step else ""
            for text in progress.news:
                _say_unless(json, f"note: {text}")
            if newest and time.monotonic() - told >= _LINE_S:
                _say_unless(json, newest)
                told, newest = time.monotonic(), ""
    except KeyboardInterrupt:
        _say_unless(json, "")
        return False
    if newest:
        _say_unless(json, newest)
    return True


def _summary(run: Run) -> dict[str, object]:
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
        "seconds": _seconds(run),
        "reason": run.reason,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
    }


def _result(cat: Catalogue, run: Run) -> dict[str, object]:
    """What `train` and `resume` print."""
    from engine.train import client

    with client.reader(cat, run.id) as run_db:
        return _summary(run) | {"checkpoints": [_plain(item) for item in run_db.checkpoints()]}


def _seconds(run: Run) -> float | None:
    """Wall time from the first start to the end, or until now."""
    if run.started is None:
        return None
    return (run.finished or time.time()) - run.started


def _plain(item: object) -> dict[str, object]:
    """A record as JSON values."""
    import dataclasses

    return dataclasses.asdict(item)  # type: ignore[call-overload,no-any-return]


def _page(
    run: Run, last: dict[str, tuple[int, float | None]], result: dict[str, object]
) -> list[str]:
    """One run for people."""
    seconds = _seconds(run)
    lines = [
        f"run {run.id} · {run.name} · {run.status}" + (f": {run.reason}" if run.reason else ""),
        f"{run.model} on {run.dataset}",
        f"step {run.step} of {run.total_steps or '?'}"
        + (f", {seconds:,.0f} s" if seconds is not None else ""),
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


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(text: str) -> int:
    """The run's number; `run:3` is taken as 3.

    Raises:
        BadInput: not a number.
    """
    from store.errors import BadInput

    digits = text.removeprefix("run:")
    if not digits.isdecimal():
        raise BadInput(f"run '{text}': expected a number", "List the runs: workbench runs")
    return int(digits)


def _say_unless(json: bool, line: str) -> None:
    if not json:
        say(line)
