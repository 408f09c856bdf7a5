"""What a report tells, block by block, the most wanted first.

Knows what of a record a reader wants and in which order. Does not know Markdown or HTML.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from engine.records.report.blocks import (
    Block,
    Code,
    Figure,
    Heading,
    Items,
    Passage,
    Table,
    Words,
    number,
)
from engine.records.report.gathering import Record
from engine.records.secrets import redacted
from engine.train.choosing import gigabytes, value_words
from engine.train.recipe import RECIPE_FIELDS
from store.rundb import Event, Sample
from store.runs import Run

_PAIRS = (
    ("Loss", ("loss", "eval_loss")),
    ("Token accuracy", ("token_accuracy", "eval_token_accuracy")),
    ("Entropy", ("entropy", "eval_entropy")),
    ("Gradient norm", ("grad_norm",)),
    ("Learning rate", ("learning_rate",)),
    ("Tokens a second", ("tokens_per_second",)),
    ("Memory, bytes", ("memory_bytes",)),
    ("Device load", ("device_load",)),
)
_COUNTERS = ("epoch", "num_tokens", "train_seconds")
_EVENTS, _ANSWERS, _EXCLUDED, _LETTERS = 200, 6, 20, 4000


def blocks(record: Record) -> Iterator[Block]:
    """The whole report."""
    yield from _summary(record)
    yield from _meaning(record)
    yield from _curves(record)
    yield from _settings(record)
    yield from _data(record)
    yield from _checkpoints(record)
    yield from _probes(record)
    yield from _fits(record)
    yield from _events(record.events)
    yield from _origin(record)


def _summary(record: Record) -> Iterator[Block]:
    run = record.run
    if run.note:
        yield Words(Code(redacted(run.note, hashes=True)))
    rows: list[tuple[str, str | Code]] = [("state", _state(run))]
    if run.reason:
        rows.append(("why", run.reason))
    rows += [("base", Code(run.model)), ("data", Code(run.dataset)), ("method", run.method)]
    if record.snapshot is not None:
        taken = record.snapshot
        rows.append(("rows", f"{taken.train_rows:,} to train on, {taken.eval_rows:,} held out"))
    rows.append(("steps", f"{run.step:,} of {run.total_steps or 0:,}"))
    spent = _seconds(record)
    if spent is not None:
        rows.append(("training", _duration(spent)))
    for name, said in (("loss", "last loss"), ("eval_loss", "last held-out loss")):
        if name in record.series and (last := record.series[name].last) is not None:
            value = "not a number" if last[1] is None else number(last[1])
            rows.append((said, f"{value} at step {last[0]:,}"))
    if run.best_step is not None:
        rows.append(("best checkpoint", f"step {run.best_step:,}"))
    if run.parent is not None:
        step = f" step {run.forked_step:,}" if run.forked_step is not None else ""
        rows.append(("begun from", f"run {run.parent}{step}"))
    if record.origin is not None and record.origin.repeats is not None:
        rows.append(("repeats", f"run {record.origin.repeats}"))
    rows += [("made", _moment(run.created)), ("reported", _moment(time.time()))]
    yield Table(("", ""), rows)


def _state(run: Run) -> str:
    signs = {"finished": "✓", "failed": "✗", "lost": "✗", "running": "▶"}
    return f"{signs.get(run.status, '·')} {run.status}"


def _seconds(record: Record) -> float | None:
    counted = record.series.get("train_seconds")
    if counted is not None and counted.last is not None:
        return counted.last[1]
    run = record.run
    return run.finished - run.started if run.started and run.finished else None


def _meaning(record: Record) -> Iterator[Block]:
    yield Heading("What this means")
    items = []
    for verdict in record.verdicts:
        knob = f" [{verdict.knob}]" if verdict.knob else ""
        advice = f"{verdict.advice}{knob}" if verdict.advice else ""
        items.append((f"{verdict.mark} {verdict.rule}: {verdict.text}", advice))
    yield Items(items) if items else Words("Nothing can be concluded from what was recorded.")


def _curves(record: Record) -> Iterator[Block]:
    yield Heading("Curves")
    left = [name for name in record.series if name not in _COUNTERS and len(record.series[name])]
    if not left:
        yield Words("No step was recorded.")
        return
    yield Words(
        "Lines are means; the shade behind them reaches from the least to the greatest value of "
        "a stretch, so that no spike is lost. A ✗ is a value that was not a number.",
        only="html",
    )
    yield Words(
        "Bars are means over stretches of steps, from the least to the greatest of a curve; "
        "· is a stretch without a number.",
        only="markdown",
    )
    for title, names in _PAIRS:
        found = [(name, record.series[name]) for name in names if name in left]
        left = [name for name in left if name not in names]
        if found:
            yield Figure(title, found)
    for name in left:
        yield Figure(name, [(name, record.series[name])])


def _settings(record: Record) -> Iterator[Block]:
    yield Heading("Settings")
    if not record.recipe:
        yield Words("None were recorded.")
        return
    choices = record.choices
    rows: list[tuple[str, Code, str, str]] = []
    for item in RECIPE_FIELDS:
        if item.name not in record.recipe:
            continue
        value, choice = record.recipe[item.name], choices.get(item.name)
        usual = value == (list(item.default) if isinstance(item.default, tuple) else item.default)
        who = choice.chosen_by if choice else "usual" if usual else "you" if choices else "set"
        rows.append((item.name, Code(_value(value)), who, choice.reason if choice else ""))
    # What someone decided stands above what is as ever.
    rows.sort(key=lambda row: row[2] == "usual")
    yield Table(("setting", "value", "chosen by", "why"), rows)


def _data(record: Record) -> Iterator[Block]:
    yield Heading("Data")
    rows: list[tuple[str, str | Code]] = []
    for data in record.origin.data if record.origin else ():
        rows += [("file", Code(data.path)), ("bytes", f"{data.bytes:,}"),
                 ("sha256", Code(data.sha256))]  # fmt: skip
    taken, meta = record.snapshot, record.meta
    if taken is not None:
        parts = (("train", taken.train_rows), ("held out", taken.eval_rows),
                 ("kept for the end", taken.test_rows))  # fmt: skip
        rows += [("rows of the file", f"{taken.rows:,}"),
                 ("parts", ", ".join(f"{count:,} {name}" for name, count in parts)),
                 ("split", Code(_split(taken.split))),
                 ("snapshot", Code(taken.sha256))]  # fmt: skip
    if meta is not None:
        rows += [("train.jsonl", Code(meta.train_sha256)), ("eval.jsonl", Code(meta.eval_sha256))]
    if record.origin is not None and record.origin.source is not None:
        source = record.origin.source
        rows += [("imported from", Code(source.path)), ("sha256", Code(source.sha256))]
    if not rows:
        yield Words("What this run saw was not recorded.")
        return
    yield Table(("", ""), rows)
    if meta is not None and (meta.excluded or meta.eval_excluded):
        gone = [*meta.excluded, *meta.eval_excluded]
        count = meta.left_out if meta.left_out is not None else len(gone)
        yield Words(f"{count:,} rows are in no part:")
        yield Items([(item.reason, "") for item in gone[:_EXCLUDED]])
        if count > _EXCLUDED:
            yield Words(f"and {count - _EXCLUDED:,} more.")


def _checkpoints(record: Record) -> Iterator[Block]:
    yield Heading("Checkpoints")
    if not record.checkpoints:
        yield Words("None is kept.")
        return
    rows = [
        (
            saved.step,
            saved.eval_loss,
            f"{saved.bytes / 1e6:,.1f} MB",
            ", ".join(
                word
                for word, so in (("best", saved.step == record.run.best_step),
                                 ("pinned", saved.pinned),
                                 ("promoted", saved.step == record.run.promoted_step))
                if so
            ),
            Code(saved.manifest_sha256[:12]),
        )
        for saved in record.checkpoints
    ]  # fmt: skip
    yield Table(("step", "held-out loss", "size", "", "manifest"), rows)


def _probes(record: Record) -> Iterator[Block]:
    if not record.samples:
        return
    yield Heading("Sample answers")
    by_prompt: dict[str, dict[tuple[bool, int], Sample]] = {}
    for sample in record.samples:
        answers = by_prompt.setdefault(sample.prompt, {})
        answers[sample.model == "base", sample.step] = sample  # The newest of a step.
    for place, (prompt, of_steps) in enumerate(by_prompt.items(), 1):
        yield Heading(f"Prompt {place}", 3)
        yield Passage("prompt", _cut(prompt))
        base = [sample for (is_base, _), sample in of_steps.items() if is_base]
        adapter = [sample for (is_base, _), sample in of_steps.items() if not is_base]
        for sample in base[:1]:
            yield Passage("A · base", _cut(sample.text))
        shown = _spread(adapter, _ANSWERS)
        for sample in shown:
            ended = "" if sample.stop == "turn end" else f", {sample.stop}"
            label = f"B · step {sample.step:,} ({sample.tokens} tokens{ended})"
            yield Passage(label, _cut(sample.text))
        if len(adapter) > len(shown):
            yield Words(f"{len(adapter) - len(shown)} answers between these are left out.")


def _fits(record: Record) -> Iterator[Block]:
    if not record.fits:
        return
    yield Heading("Memory and time")
    names = {"estimate": "estimated before the start", "probe": "probed before step 1",
             "measured": "measured"}  # fmt: skip
    rows = [
        (names[fit.kind], fit.step, gigabytes(fit.peak_bytes),
         f"{fit.seconds:.3g} s" if fit.seconds is not None else "–")
        for fit in record.fits
    ]  # fmt: skip
    yield Table(("", "step", "peak memory", "a step"), rows)
    peaks = {fit.kind: fit.peak_bytes for fit in record.fits}
    if "estimate" in peaks and "measured" in peaks and peaks["measured"]:
        off = peaks["estimate"] / peaks["measured"] - 1
        yield Words(f"The estimate was {abs(off):.0%} too {'high' if off > 0 else 'low'}.")


def _events(events: Sequence[Event]) -> Iterator[Block]:
    if not events:
        return
    yield Heading("What happened")
    half = _EVENTS // 2
    shown = events if len(events) <= _EVENTS else [*events[:half], *events[-half:]]
    rows = [
        (_moment(e.created), e.step, e.level if e.level != "info" else "", e.kind,
         redacted(e.text, hashes=True))
        for e in shown
    ]  # fmt: skip
    yield Table(("when", "step", "", "what", "in words"), rows)
    if len(shown) < len(events):
        yield Words(f"{len(events) - len(shown):,} events between these are left out.")


def _origin(record: Record) -> Iterator[Block]:
    yield Heading("Where it came from")
    run, came, spec = record.run, record.origin, record.spec
    rows: list[tuple[str, str | Code]] = []
    if came is not None:
        rows += [("typed", Code(shlex.join(came.argv))), ("in", Code(came.folder))]
        for name, git in (("git", came.git), ("Workbench's git", came.program_git)):
            if git is not None:
                dirty = {True: ", with changes", False: "", None: ", changes not known"}[git.dirty]
                rows.append((name, f"{git.commit}{dirty}"))
        rows.append(("Workbench", came.program))
    hashes = {
        "base weights": run.base_sha256,
        "chat template": run.template_sha256,
        "tokenizer": spec.tokenizer_sha256 if spec else None,
    }
    rows += [(name, Code(found)) for name, found in hashes.items() if found]
    if came is not None:
        rows += [(name, Code(found)) for name, found in came.base_files.items()]
        rows += [(name, Code(found)) for name, found in came.environment.items()]
    rows += [("seed", str(run.seed))] if spec is not None else []
    rows += [(f"{name} version", str(found)) for name, found in run.versions.items()]
    rows += [(name, Code(_plain(found))) for name, found in run.machine.items()]
    yield Table(("", ""), rows) if rows else Words("Nothing was recorded.")
    if spec is not None:
        yield Words(f"Again, from these records: workbench reproduce {run.id}")


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """The first, the last, and some evenly between."""
    if len(samples) <= most:
        return list(samples)
    return [samples[round(i * (len(samples) - 1) / (most - 1))] for i in range(most)]


def _cut(text: str) -> str:
    more = len(text) - _LETTERS
    return text if more <= 0 else f"{text[:_LETTERS]}… and {more:,} more letters"


def _value(value: Any) -> str:
    return value_words(tuple(map(str, value)) if isinstance(value, list) else value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _split(split: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in split.items())


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {whole % 60:02d} s"
