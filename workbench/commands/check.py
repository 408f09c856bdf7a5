"""`workbench check`: a suite on one or more models, with honest rates and comparisons."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.chat import Models
from workbench.commands.train.telling import number
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.checks.comparing import Difference, Pair
    from engine.checks.judging import Count, ModelResult

_FLIPS = 3
_WIDE = 60


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
        str, typer.Argument(metavar="SUITE", help="A shipped name (habit, general…) or a file.")
    ],
    model: Models = [],  # noqa: B006 - typer's way to say that none is given
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="A run's base and every checkpoint of it."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Only prompts with this tag; may be repeated."),
    ] = None,
    _list: Annotated[
        bool,
        typer.Option("--kinds", callback=_kinds, is_eager=True, help="List the kinds of checks."),
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask every prompt of a suite and count the answers that pass its checks.

    The first model is the base: every other is compared with it.
    """
    from dataclasses import asdict

    from engine.checks import suite as suites
    from engine.checks.comparing import compare
    from engine.checks.recommending import in_words as advice_words
    from engine.checks.recommending import recommend
    from engine.checks.run import run as ask
    from engine.checks.series import refs_of
    from store.catalogue import Catalogue
    from store.errors import BadInput
    from workbench.workspace import find_workspace

    if not model and run is None:
        raise BadInput(
            "no model to check", "Name some: --model starter --model run:12, or --run 12."
        )

    read = suites.load(suite)
    if tag:
        read = suites.tagged(read, tag)
    for note in read.notes:
        sys.stderr.write(f"{read.path.name}: {note}\n")
    with Catalogue.open(find_workspace(workspace)) as cat:
        refs = [*model, *(refs_of(cat, number(run)) if run is not None else [])]
        results = ask(cat, read, refs, None if json else _progress)
    pairs = compare(results)
    advice = recommend(results) if len(results) > 2 else None
    obj = {
        "suite": read.name,
        "sha256": read.sha256,
        "prompts": read.size,
        "notes": read.notes,
        "models": [_model(result) for result in results],
        "pairs": [_pair(pair) for pair in pairs],
        "recommended": None if advice is None else asdict(advice),
    }
    said = [] if advice is None else ["", advice_words(advice)]
    emit(obj, json, [*_lines(results), *_compared(results, pairs), *said])


def _model(result: ModelResult) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "model": result.model,
        "ref": result.ref,
        **{k: v for k, v in asdict(result.total).items() if k not in ("name", "group")},
        "score": None if result.score is None else asdict(result.score),
        "checks": [_named(count, "check") for count in result.checks],
        "groups": [_named(count, "name") for count in result.groups],
        "tags": [_named(count, "tag") for count in result.tags],
        "items": [asdict(item) for item in result.items],
    }


def _named(count: Count, key: str) -> dict[str, object]:
    from dataclasses import asdict

    told = asdict(count)
    group, name = told.pop("group"), told.pop("name")
    return {**({"group": group} if group else {}), key: name, **told}


def _pair(pair: Pair) -> dict[str, object]:
    return {
        "base": pair.base,
        "model": pair.model,
        **_difference(pair.total),
        "checks": [
            {"group": one.group, "check": one.name, **_difference(one)} for one in pair.checks
        ],
    }


def _difference(one: Difference) -> dict[str, object]:
    return {
        "verdict": one.said,
        "pairs": one.pairs,
        "flipped_up": len(one.up),
        "flipped_down": len(one.down),
        "p": one.p,
        "p_holm": one.p_holm,
        "change": one.change,
        "change_low": one.low,
        "change_high": one.high,
        "detectable_drop": one.detectable_drop,
        "only_these_templates": one.templates,
        "up": one.up,
        "down": one.down,
    }


def _lines(results: list[ModelResult]) -> list[str]:
    rows: list[tuple[object, ...]] = []
    for result in results:
        for group in result.groups:
            rows.append(_row(result.model, group.name, group))
            own = [count for count in result.checks if count.group == group.name]
            rows += [_row("", f"  {count.name}", count) for count in own if len(own) > 1]
        rows.append(_row(result.model, "all", result.total))
        if result.score is not None:
            score = result.score
            interval = f"{score.low:.1%} – {score.high:.1%}"
            rows.append((result.model, "all, by weight", "", f"{score.value:.1%}", interval, 0, 0))
    header = ("model", "group", "passed", "rate", "95 % interval", "skipped", "errors")
    return table(header, rows)


def _row(model: str, name: str, count: Count) -> tuple[object, ...]:
    passed = f"{count.passed}/{count.passed + count.failed}"
    return model, name, passed, _rate(count), _interval(count), count.skipped, count.errors


def _compared(results: list[ModelResult], pairs: list[Pair]) -> list[str]:
    """What may be said of each model against the base, and where it stands out."""
    from engine.checks.comparing import in_words

    lines = []
    for pair, result in zip(pairs, results[1:], strict=True):
        lines += ["", f"{pair.model} against {pair.base}: {in_words(pair.total)}"]
        for one in pair.checks:
            if one.said != "cannot tell apart" and len(pair.checks) > 1:
                lines.append(f"  {one.group}, {one.name}: {in_words(one)}")
        for place in pair.total.down[:_FLIPS]:
            before, now = results[0].items[place], result.items[place]
            lines.append(f"  lost: {_short(now.prompt)}")
            lines.append(f"    {_short(before.answer)} → {_short(now.answer)}")
        more = len(pair.total.down) - _FLIPS
        if more > 0:
            lines.append(f"  and {more:,} more; --json has every answer")
    return lines


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 1]}…"


def _rate(count: Count) -> str:
    return "–" if count.rate is None else f"{count.rate:.1%}"


def _interval(count: Count) -> str:
    return "–" if count.low is None or count.high is None else f"{count.low:.1%} – {count.high:.1%}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} answers" + ("\r\x1b[K" if done == total else ""))
        sys.stderr.flush()
