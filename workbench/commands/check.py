"""`workbench check`: a suite on one or more models, with honest rates."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.chat import Models
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.checks.judging import Count, ModelResult


def check(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A shipped name (habit, retention…) or a file.")
    ],
    model: Models,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask every prompt of a suite and count the answers that pass its checks."""
    from dataclasses import asdict

    from engine.checks import suite as suites
    from engine.checks.run import run
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    read = suites.load(suite)
    with Catalogue.open(find_workspace(workspace)) as cat:
        results = run(cat, read, model, None if json else _progress)
    told = [
        {
            "model": result.model,
            "ref": result.ref,
            **{k: v for k, v in asdict(result.total).items() if k != "name"},
            "groups": [asdict(count) for count in result.groups],
            "items": [asdict(item) for item in result.items],
        }
        for result in results
    ]
    obj = {"suite": read.name, "sha256": read.sha256, "prompts": read.size, "models": told}
    emit(obj, json, _lines(results))


def _lines(results: list[ModelResult]) -> list[str]:
    rows = []
    for result in results:
        for count in (*result.groups, result.total):
            name = "all" if count is result.total else count.name
            judged = count.passed + count.failed
            passed = f"{count.passed}/{judged}"
            rows.append((result.model, name, passed, _rate(count), _interval(count), count.errors))
    return table(("model", "group", "passed", "rate", "95 % interval", "errors"), rows)


def _rate(count: Count) -> str:
    return "–" if count.rate is None else f"{count.rate:.1%}"


def _interval(count: Count) -> str:
    return "–" if count.low is None or count.high is None else f"{count.low:.1%} – {count.high:.1%}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} answers" + ("\r\x1b[K" if done == total else ""))
        sys.stderr.flush()
