"""Runs held side by side: what was set, what they saw, what came of it, and what follows.

Knows the catalogue, run folders and `curves`. The first run is what the others are held against.
Concludes only what the records allow (see `noise`): held-out losses over other rows, or of other
methods, are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.data.split.frozen import read_meta
from engine.records import curves, noise, origin
from engine.records.curves import Gap, Points
from engine.records.noise import Judgement
from engine.train.recipe import RECIPE_FIELDS
from engine.train.status import reader, refresh
from store import snapshots
from store.catalogue import Catalogue
from store.errors import BadInput, WorkbenchError
from store.runs import Run

TOLD = ("loss", "eval_loss", "token_accuracy", "eval_token_accuracy", "entropy", "grad_norm")
_FULL = 100_000


@dataclass
class Side:
    """One run with its curves and records, each read once."""

    cat: Catalogue = field(repr=False)
    run: Run

    @cached_property
    def points(self) -> dict[str, Points]:
        """Every metric; of very long ones the newest 100,000 points."""
        with reader(self.cat, self.run.id) as run_db:
            return {name: dict(run_db.exact(name, _FULL)) for name in run_db.names()}

    def curve(self, metric: str) -> Points:
        """One metric, without reading the others."""
        if "points" in self.__dict__:
            return self.points.get(metric, {})
        with reader(self.cat, self.run.id) as run_db:
            return dict(run_db.exact(metric, _FULL))

    @cached_property
    def origin(self) -> origin.Origin | None:
        return origin.read(self.cat.workspace.run_dir(self.run.id))

    @cached_property
    def held_out(self) -> str | None:
        """What tells the held-out rows; None where it is not known or there are none."""
        try:
            taken = snapshots.get(self.cat, self.run.snapshot or "")
            return read_meta(taken).eval_sha256 if taken.eval_rows else None
        except WorkbenchError:
            return None

    @property
    def data(self) -> str:
        """What tells the rows before the split: the files' hashes, else their path."""
        files = self.origin.data if self.origin else ()
        return ",".join(item.sha256 for item in files) or self.run.dataset

    @property
    def seconds(self) -> float | None:
        """Seconds of training, pauses not counted; wall time for runs that did not count it."""
        counted = curves.best("num_tokens", self.points.get("train_seconds", {}))
        if counted is not None:
            return counted[1]
        run = self.run
        return run.finished - run.started if run.started and run.finished else None

    def value(self, metric: str) -> float | None:
        """What a run is judged by: its best held-out value, or its late training value."""
        points = self.curve(metric)
        if metric.startswith("eval_"):
            found = curves.best(metric, points)
            return found[1] if found else None
        return curves.late(points)


@dataclass(frozen=True, slots=True)
class Comparison:
    """See the module.

    Attributes:
        settings, data: name -> one value a run, of what is not the same in all of them.
        results: metric -> one entry a run: last, best, its step, and the mean of the last tenth.
        gaps: run -> each metric against the first run.
        judgements: run -> what the difference in the judged metric means.
        words: the whole in plain sentences.
    """

    runs: tuple[Run, ...]
    settings: dict[str, list[Any]]
    data: dict[str, list[Any]]
    results: dict[str, list[dict[str, Any] | None]]
    seconds: list[float | None]
    gaps: dict[int, tuple[Gap, ...]]
    judgements: dict[int, Judgement]
    words: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "runs": [
                {"run": r.id, "name": r.name, "status": r.status, "steps": r.step, "seconds": s}
                for r, s in zip(self.runs, self.seconds, strict=True)
            ],
            "settings": self.settings,
            "data": self.data,
            "results": self.results,
            "curves": {str(k): [item.as_dict() for item in v] for k, v in self.gaps.items()},
            "judgements": {str(k): v.as_dict() for k, v in self.judgements.items()},
            "words": list(self.words),
        }


def compare(cat: Catalogue, run_ids: Sequence[int]) -> Comparison:
    """Hold two runs or more side by side.

    Raises:
        BadInput: fewer than two different runs. NotFound: no such run.
    """
    wanted = list(dict.fromkeys(run_ids))
    if len(wanted) < 2:
        raise BadInput("two different runs are needed", "workbench compare 3 4")
    sides = [Side(cat, refresh(cat, run_id)) for run_id in wanted]
    settings, data = different_settings([s.run for s in sides]), _different_data(sides)
    first, others = sides[0], sides[1:]
    known = [Side(cat, run) for run in refresh(cat)]
    gaps = {side.run.id: _gaps(first, side) for side in others}
    judged = {side.run.id: _judged(first, side, known) for side in others}
    words = _say_all(first, others, settings, data, gaps, judged)
    names = [name for name in TOLD if any(name in side.points for side in sides)]
    return Comparison(
        runs=tuple(side.run for side in sides),
        settings=settings,
        data=data,
        results={name: [_result(side, name) for side in sides] for name in names},
        seconds=[side.seconds for side in sides],
        gaps=gaps,
        judgements=judged,
        words=tuple(words),
    )


def different_settings(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Each setting that is not the same in all runs; None where a run did not record it."""
    found: dict[str, list[Any]] = {}
    for item in RECIPE_FIELDS:
        values = [run.recipe.get(item.name) for run in runs]
        if any(value != values[0] for value in values):
            found[item.name] = values
    return found


def _different_data(sides: Sequence[Side]) -> dict[str, list[Any]]:
    runs = [side.run for side in sides]
    columns: dict[str, list[Any]] = {
        "dataset": [run.dataset for run in runs],
        "rows": [run.snapshot for run in runs],
        "held-out rows": [side.held_out for side in sides],
        "split": [run.split for run in runs],
        "base": [run.model for run in runs],
        "base weights": [run.base_sha256 for run in runs],
        "chat template": [run.template_sha256 for run in runs],
        "method": [run.method for run in runs],
        "begun from": [
            None if run.forked_step is None else f"run {run.parent} step {run.forked_step}"
            for run in runs
        ],
        "device": [run.machine.get("device") for run in runs],
        "processor": [_processor(run) for run in runs],
    }
    for name in sorted({name for run in runs for name in run.versions}):
        columns[f"{name} version"] = [run.versions.get(name) for run in runs]
    return {
        name: values
        for name, values in columns.items()
        if any(value != values[0] for value in values)
    }


def _processor(run: Run) -> str | None:
    gpus = run.machine.get("gpus")
    if run.machine.get("device") == "cuda" and isinstance(gpus, list) and gpus:
        return str(gpus[0].get("name"))
    found = run.machine.get("cpu")
    return str(found) if found else None


def _result(side: Side, metric: str) -> dict[str, Any] | None:
    points = side.points.get(metric)
    if not points:
        return None
    last = max(points)
    found = curves.best(metric, points) if metric in curves.LOWER + curves.HIGHER else None
    return {
        "last": points[last],
        "step": last,
        "best": found[1] if found else None,
        "best_step": found[0] if found else None,
        "late": curves.late(points),
    }


def _gaps(first: Side, second: Side) -> tuple[Gap, ...]:
    names = [name for name in first.points if name in second.points]
    return tuple(
        curves.gap(name, first.points[name], second.points[name])
        for name in names
        if name not in curves.OF_THE_MACHINE
    )


def _judged(first: Side, second: Side, known: Sequence[Side]) -> Judgement:
    """What the difference means, by the held-out loss where it means the same in both."""
    why = _not_comparable(first, second)
    if why is not None:
        return Judgement("unknown", why, {})
    metric = "eval_loss" if first.held_out and "eval_loss" in second.points else "loss"
    if metric not in first.points:
        return Judgement("unknown", f"{metric} was not measured in both runs", {})
    by_id = {side.run.id: side for side in known}
    over = noise.spread(
        [side.run for side in known],
        (first.run, second.run),
        lambda run: by_id[run.id].value(metric),
        lambda run: by_id[run.id].data,
    )
    jumps = [
        found
        for side in (first, second)
        if (found := curves.wobble(side.points[metric])) is not None
    ]
    floor = math.sqrt(2) * max(jumps) if len(jumps) == 2 else None
    said = "best held-out loss" if metric == "eval_loss" else "late training loss"
    answer = noise.judge(said, first.value(metric), second.value(metric), over, floor)
    if metric == "loss" and answer.answer == "larger":
        text = f"{answer.text}; no row was held out, so it says nothing of new rows"
        return Judgement(answer.answer, text, answer.evidence)
    return answer


def _not_comparable(first: Side, second: Side) -> str | None:
    """Why the losses of two runs do not mean the same; None where they do."""
    a, b = first.run, second.run
    if a.method != b.method:
        return f"one run is {a.method}, the other {b.method}: their losses measure other things"
    kinds = [run.recipe.get("loss_type") for run in (a, b)]
    if None not in kinds and kinds[0] != kinds[1]:
        return f"the losses are of two formulas ({kinds[0]}, {kinds[1]}): they are not comparable"
    if a.template_sha256 != b.template_sha256:
        return "the chat templates differ, so the losses are over other tokens"
    if first.held_out != second.held_out:
        missing = first.held_out is None or second.held_out is None
        what = "it is not known that both held out" if missing else "the two runs did not hold out"
        return f"{what} the same rows, so their held-out losses are not comparable"
    if first.held_out is None and a.snapshot != b.snapshot:
        return "no row was held out, and the training rows differ: the losses are not comparable"
    return None


def _say_all(
    first: Side,
    others: Sequence[Side],
    settings: dict[str, list[Any]],
    data: dict[str, list[Any]],
    gaps: dict[int, tuple[Gap, ...]],
    judged: dict[int, Judgement],
) -> list[str]:
    """The comparison in sentences."""
    words = []
    if not settings and not data:
        words.append("nothing differs between these runs: settings, rows, base and versions agree")
    elif not settings:
        words.append(f"every setting is the same; what differs: {', '.join(data)}")
    else:
        also = f"; also different: {', '.join(data)}" if data else ""
        words.append(f"settings that differ: {', '.join(settings)}{also}")
    if len(settings) + ("base weights" in data) + ("rows" in data) > 1:
        words.append("more than one thing differs, so no one of them can be named as the cause")
    for side in others:
        run = side.run
        name = f"run {run.id} against run {first.run.id}"
        told = [item for item in gaps[run.id] if item.steps]
        if told and all(item.same for item in told):
            words.append(f"{name}: all curves are bit for bit the same over their common steps")
        else:
            words.append(f"{name}: {judged[run.id].text}")
        if run.step != first.run.step:
            words.append(f"{name}: {run.step:,} steps against {first.run.step:,}")
        a, b = first.seconds, side.seconds
        if a and b:
            words.append(f"{name}: {b:,.0f} s of training against {a:,.0f} s ({b / a:.2f}×)")
    return words
