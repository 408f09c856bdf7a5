"""What `workbench check` says of results: words for people, and everything for programs.

Knows results. Does not ask models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from workbench.output import table

if TYPE_CHECKING:
    from engine.checks.comparing import Difference, Pair
    from engine.checks.judging import Count, ModelResult
    from engine.checks.people import Judged
    from engine.checks.recommending import Advice
    from engine.checks.suite import Suite
    from store.checkjobs import CheckJob

_FLIPS = 3
_WIDE = 60
_REASONS = 3


def everything(
    suite: Suite,
    results: Sequence[ModelResult],
    pairs: Sequence[Pair],
    advice: Advice | None,
    judged: Sequence[Judged],
) -> dict[str, object]:
    """All that is known, for programs."""
    return {
        "suite": suite.name,
        "sha256": suite.sha256,
        "prompts": suite.size,
        "notes": suite.notes,
        "models": [_model(result) for result in results],
        "pairs": [_pair(pair) for pair in pairs],
        "judges": [_judge(one) for one in judged],
        "recommended": None if advice is None else asdict(advice),
    }


def in_words(
    results: Sequence[ModelResult],
    pairs: Sequence[Pair],
    advice: Advice | None,
    judged: Sequence[Judged],
) -> list[str]:
    """A table of rates, what may be said of each pair, and of each judge."""
    from engine.checks.recommending import in_words as advice_words

    said = [] if advice is None else ["", advice_words(advice)]
    said += ["", *(f"{one.group}: {one.words()}" for one in judged)] if judged else []
    return [*_lines(results), *_errors(results), *_compared(results, pairs), *said]


def jobs_words(jobs: Sequence[tuple[CheckJob, bool]]) -> list[str]:
    """Jobs with whether they live."""
    from engine.checks.jobs import words

    rows = [
        (
            job.id,
            ", ".join(path.rpartition("/")[2] for path, _ in job.suites),
            f"{len(job.models)} models, {job.models[-1]}" if len(job.models) > 1 else job.models[0],
            job.status,
            words(job) if lives else job.saying,
        )
        for job, lives in jobs
    ]
    return table(("job", "suites", "models", "status", ""), rows) if rows else ["no jobs yet"]


def job_object(job: CheckJob) -> dict[str, object]:
    """A job, for programs."""
    return {
        "job": job.id,
        "suites": [path for path, _ in job.suites],
        "models": job.models,
        "status": job.status,
        "saying": job.saying,
        "done": job.done,
        "total": job.total,
    }


def _judge(one: Judged) -> dict[str, object]:
    return {
        "group": one.group,
        "check": one.check,
        "judge": one.judge,
        "agreement": None if one.found is None else asdict(one.found),
        "undecided": one.undecided,
        "said": one.words(),
    }


def _model(result: ModelResult) -> dict[str, object]:
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
    told = asdict(count)
    group, name = told.pop("group"), told.pop("name")
    return {**({"group": group} if group else {}), key: name, **told}


def _pair(pair: Pair) -> dict[str, object]:
    return {
        "base": pair.base,
        "model": pair.model,
        **_difference(pair.total),
        "groups": [{"name": one.name, **_difference(one)} for one in pair.groups],
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


def _lines(results: Sequence[ModelResult]) -> list[str]:
    rows: list[tuple[object, ...]] = []
    for result in results:
        for group in result.groups:
            rows.append(_row(result.model, group.name, group))
            own = [count for count in result.checks if count.group == group.name]
            rows += [_row("", f"  {count.name}", count) for count in own if len(own) > 1]
        mixed = len({bool(group.judge) for group in result.groups}) > 1
        rows.append(_row(result.model, "all that is counted" if mixed else "all", result.total))
        if result.score is not None:
            score = result.score
            interval = f"{score.low:.1%} – {score.high:.1%}"
            rows.append((result.model, "all, by weight", "", f"{score.value:.1%}", interval, 0, 0))
    header = ("model", "group", "passed", "rate", "95 % interval", "skipped", "errors")
    return table(header, rows)


def _errors(results: Sequence[ModelResult]) -> list[str]:
    """Why some answers could not be told, the most frequent reasons of each model."""
    lines = []
    for result in results:
        why = Counter(item.failed[0] for item in result.items if item.verdict == "error")
        for said, count in why.most_common(_REASONS):
            lines.append(f"{result.model}: error on {count:,}: {_short(said, 2 * _WIDE)}")
    return lines


def _row(model: str, name: str, count: Count) -> tuple[object, ...]:
    passed = f"{count.passed}/{count.passed + count.failed}"
    return model, name, passed, _rate(count), _interval(count), count.skipped, count.errors


def _compared(results: Sequence[ModelResult], pairs: Sequence[Pair]) -> list[str]:
    """What may be said of each model against the base, and where it stands out."""
    from engine.checks.comparing import in_words as pair_words

    lines = []
    for pair, result in zip(pairs, results[1:], strict=True):
        lines += ["", f"{pair.model} against {pair.base}: {pair_words(pair.total)}"]
        for one in pair.checks:
            if one.said != "cannot tell apart" and len(pair.checks) > 1:
                lines.append(f"  {one.group}, {one.name}: {pair_words(one)}")
        for place in pair.total.down[:_FLIPS]:
            before, now = results[0].items[place], result.items[place]
            lines.append(f"  lost: {_short(now.prompt)}")
            lines.append(f"    {_short(before.answer)} → {_short(now.answer)}")
        more = len(pair.total.down) - _FLIPS
        if more > 0:
            lines.append(f"  and {more:,} more; --json has every answer")
    return lines


def _short(text: str, wide: int = _WIDE) -> str:
    line = " ".join(text.split())
    return line if len(line) <= wide else f"{line[: wide - 1]}…"


def _rate(count: Count) -> str:
    return "–" if count.rate is None else f"{count.rate:.1%}"


def _interval(count: Count) -> str:
    return "–" if count.low is None or count.high is None else f"{count.low:.1%} – {count.high:.1%}"
