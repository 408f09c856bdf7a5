"""`workbench check`: a suite on one or more models, with honest rates and comparisons."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.chat import Models
from workbench.commands.harness import (
    Download,
    Folder,
    Limit,
    LmEval,
    Plain,
    UnsafeCode,
    ask_harness,
)
from workbench.commands.train.telling import number
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.checks.judging import ModelResult
    from engine.checks.suite import Suite
    from store.catalogue import Catalogue
    from store.checkjobs import CheckJob

_LISTED = 20


def _kinds(wanted: bool) -> None:
    """Print what a suite may ask, and end."""
    if not wanted:
        return
    from engine.checks.kinds import KINDS

    rows = []
    for name, kind in KINDS.items():
        values = {"none": [], "may": ["values?"], "must": ["values"]}[kind.values]
        rows.append((name, " ".join([*values, *sorted(kind.options)]), kind.about))
    emit({}, False, table(("kind", "keys", "passes where the answer"), rows))
    raise typer.Exit


def check(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE", help="A shipped name (habit, general…) or a file.", show_default=False
        ),
    ] = "",
    model: Models = [],  # noqa: B006 - typer's way to say that none is given
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="A run's base and every checkpoint of it."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Only prompts with this tag; may be repeated."),
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Do not wait for a GPU that a run holds: do without.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the same command tells the results.")
    ] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="List what is being asked.")] = False,
    stop: Annotated[
        int | None,
        typer.Option("--stop", metavar="JOB", help="Stop asking; answers that arrived are kept."),
    ] = None,
    lm_eval: LmEval = None,
    limit: Limit = None,
    tasks: Folder = None,
    plain: Plain = False,
    download: Download = False,
    unsafe_code: UnsafeCode = False,
    _list: Annotated[
        bool,
        typer.Option("--kinds", callback=_kinds, is_eager=True, help="List the kinds of checks."),
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask every prompt of a suite and count the answers that pass its checks.

    The first model is the base: every other is compared with it. The asking is a job of its own,
    which outlives this command and shares its answers with the Checks room.
    """
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        if jobs or stop is not None:
            _jobs(cat, stop, json)
            return
        names, refs = _models(cat, model, run)
        if lm_eval is not None:
            ask_harness(
                cat,
                refs,
                [name.strip() for name in lm_eval.split(",") if name.strip()],
                json=json,
                folder=tasks,
                limit=limit,
                chat_template=not plain,
                unsafe_code=unsafe_code,
                download=download,
            )
            return
        read = _read(cat, suite, tag or [])
        told = _results(cat, read, names, refs, detach=detach, cpu=cpu, json=json)
        if told is not None:
            _tell(cat, read, told, json)


def _read(cat: Catalogue, name: str, tags: list[str]) -> Suite:
    from engine.checks import suite as suites
    from store.errors import BadInput

    if not name:
        raise BadInput("no suite to ask", f"Name one: {', '.join(suites.names())}, or a file.")
    read = suites.load(name, cat)
    if tags:
        read = suites.tagged(read, tags)
    for note in read.notes:
        sys.stderr.write(f"{read.path.name}: {note}\n")
    return read


def _models(cat: Catalogue, model: list[str], run: str | None) -> tuple[list[str], list[str]]:
    """As they were named, and with their steps: `run:7` means one thing here."""
    from engine.checks.series import refs_of
    from engine.models.refs import resolve
    from store.errors import BadInput

    if not model and run is None:
        raise BadInput(
            "no model to check", "Name some: --model starter --model run:12, or --run 12."
        )
    names = [*model, *(refs_of(cat, number(run)) if run is not None else [])]
    return names, [resolve(cat, name).ref for name in names]


def _results(
    cat: Catalogue,
    read: Suite,
    names: list[str],
    refs: list[str],
    *,
    detach: bool,
    cpu: bool,
    json: bool,
) -> list[ModelResult] | None:
    """What is known, asking for what is missing; None where the asking goes on without us."""
    from engine.checks import jobs as asking
    from engine.checks.run import known
    from store.errors import WorkerDied

    results, missing = known(cat, read, refs)
    if missing:
        job = asking.start(cat, [read], refs, device="cpu" if cpu else "auto")
        if detach:
            _begun(job, missing, json)
            return None
        try:
            asking.follow(cat, job, None if json else _progress)
        except KeyboardInterrupt:
            sys.stderr.write(f"\njob {job.id} goes on; workbench check --stop {job.id} ends it\n")
            raise
        results, missing = known(cat, read, refs)
    if missing:
        raise WorkerDied(
            f"{missing:,} answers did not come", "Ask again: those that came are kept."
        )
    return [replace(one, model=name) for one, name in zip(results, names, strict=True)]


def _tell(cat: Catalogue, read: Suite, results: list[ModelResult], json: bool) -> None:
    from engine.checks.comparing import compare
    from engine.checks.people import judges
    from engine.checks.recommending import recommend
    from workbench.commands import checking

    pairs = compare(results)
    advice = recommend(results) if len(results) > 2 else None
    judged = judges(cat, read, results)
    told = checking.everything(read, results, pairs, advice, judged) if json else {}
    emit(told, json, [] if json else checking.in_words(results, pairs, advice, judged))


def _jobs(cat: Catalogue, stop: int | None, json: bool) -> None:
    """List jobs, having stopped one."""
    from engine.checks import jobs as asking
    from store import checkjobs
    from workbench.commands import checking

    if stop is not None:
        asking.stop(cat, checkjobs.get(cat, stop))
    living = {job.id for job in asking.living(cat)}
    found = [(job, job.id in living) for job in checkjobs.newest(cat, _LISTED)]
    told = {"jobs": [checking.job_object(job) for job, _ in found]}
    emit(told, json, checking.jobs_words(found))


def _begun(job: CheckJob, missing: int, json: bool) -> None:
    from workbench.commands import checking

    words = f"job {job.id} asks for {missing:,} answers; the same command tells what came of it"
    emit(checking.job_object(job), json, words)


def _progress(job: CheckJob) -> None:
    from engine.checks.jobs import words

    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words(job)}" + ("\r\x1b[K" if job.finished else ""))
        sys.stderr.flush()
