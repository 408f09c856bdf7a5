"""Have the harness ask models its tasks, each in a process of its own, and compare them.

Knows what is given to the process and what comes back. Does not know tasks: their names, prompts
and metrics are the harness's own. Its gate for tasks that execute what a model wrote stays shut
unless the user says so in so many words, and nothing is downloaded unless the user says that.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from engine.chat.client import launches
from engine.checks.stats import Z95, detectable_drop, difference_test, holm, wilson
from engine.jobs import process
from engine.models.refs import resolve
from store.catalogue import Catalogue
from store.errors import BadInput, Unsupported, WorkbenchError, WorkerDied

MODULE = "engine.checks.harness.worker"
_PASSED = ("HF_ALLOW_CODE_EVAL", "HF_DATASETS_CACHE", "HF_HOME", "HF_TOKEN")
"""What the harness's own gate and its data look at."""


class Wanted(msgspec.Struct, frozen=True):
    """What a process is told.

    Attributes:
        spec: how the base is held, as a chat worker is told.
        folder: of tasks beside those that the harness has.
        limit: most questions of a task; None for all.
        unsafe_code: the user confirmed tasks that execute what a model wrote.
    """

    spec: dict[str, str | int | float | bool | None]
    model: str
    adapter: str | None
    strength: float
    tasks: tuple[str, ...]
    folder: str | None
    limit: int | None
    chat_template: bool
    unsafe_code: bool
    out: str


class Metric(msgspec.Struct, frozen=True):
    """One number of one task.

    Attributes:
        stderr: as the harness has it; None where it has none.
        outcomes: 0 or 1 of each question by its number, where the metric is of that kind.
    """

    task: str
    metric: str
    value: float
    stderr: float | None
    higher_is_better: bool
    outcomes: dict[int, int]

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %: Wilson's of shares, else the normal one of the harness's standard error."""
        if self.outcomes:
            return wilson(sum(self.outcomes.values()), len(self.outcomes))
        if self.stderr is None:
            return None
        return self.value - Z95 * self.stderr, self.value + Z95 * self.stderr


class Told(msgspec.Struct, frozen=True):
    """What comes back: metrics, or why there are none."""

    version: str = ""
    metrics: tuple[Metric, ...] = ()
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A metric of a model against the first one's, question by question.

    Attributes:
        p: exact McNemar, corrected (Holm) for all that is told together.
    """

    model: str
    task: str
    metric: str
    pairs: int
    flipped_up: int
    flipped_down: int
    p: float
    detectable_drop: float | None


def run(
    cat: Catalogue,
    refs: Sequence[str],
    tasks: Sequence[str],
    *,
    folder: Path | None = None,
    limit: int | None = None,
    chat_template: bool = True,
    unsafe_code: bool = False,
    download: bool = False,
) -> list[tuple[str, Told]]:
    """Ask every model every task; the harness's own progress goes to standard error.

    Raises:
        Unsupported: the harness is not installed, or a model is a GGUF file.
        WorkbenchError: it refuses, in its own words.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise Unsupported(
            "lm-evaluation-harness is not installed",
            "Install it beside Workbench: pip install 'workbench-llm[lm-eval]'",
        )
    if not tasks:
        raise BadInput("--lm-eval: no task is named", "As in --lm-eval gsm8k,ifeval.")
    found = []
    for ref in refs:
        model = resolve(cat, ref)
        if model.base is None:
            raise Unsupported(
                f"{ref}: a GGUF file cannot be asked for likelihoods here",
                "Take the run that it was exported from.",
            )
        (launch,) = launches(cat.workspace, [model])
        with tempfile.TemporaryDirectory(prefix="workbench-lm-eval-") as scratch:
            wanted = Wanted(
                spec=msgspec.convert(dict(launch.spec), dict[str, str | int | float | bool | None]),
                model=model.ref,
                adapter=None if model.adapter is None else str(model.adapter),
                strength=model.strength,
                tasks=tuple(tasks),
                folder=None if folder is None else str(folder.resolve()),
                limit=limit,
                chat_template=chat_template,
                unsafe_code=unsafe_code,
                out=str(Path(scratch) / "told.json"),
            )
            found.append((model.ref, _ask(wanted, download=download)))
    return found


def _ask(wanted: Wanted, *, download: bool) -> Told:
    offline = "0" if download else "1"
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env |= {"HF_HUB_OFFLINE": offline, "HF_DATASETS_OFFLINE": offline}
    done = subprocess.run(
        process.python_module(MODULE),
        input=msgspec.json.encode(wanted),
        stdout=sys.stderr,
        env=process.environment(env),
        check=False,
    )
    try:
        told = msgspec.json.decode(Path(wanted.out).read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError) as error:
        raise WorkerDied(
            f"{wanted.model}: the harness ended without a result (exit code {done.returncode})",
            "What it said is above.",
        ) from error
    if told.error:
        raise WorkbenchError(told.error, told.hint)
    return told


def compare(found: Sequence[tuple[str, Told]]) -> list[Change]:
    """Every other model against the first, on the questions that both were asked."""
    if len(found) < 2:
        return []
    base = {(one.task, one.metric): one for one in found[0][1].metrics}
    changes = []
    for ref, told in found[1:]:
        for metric in told.metrics:
            before = base.get((metric.task, metric.metric))
            if before is None or not before.outcomes:
                continue
            both = sorted(before.outcomes.keys() & metric.outcomes.keys())
            flips = [metric.outcomes[i] - before.outcomes[i] for i in both]
            if both:
                rate = sum(before.outcomes[i] for i in both) / len(both)
                changes.append(_change(ref, metric, flips, rate))
    adjusted = holm([change.p for change in changes])
    return [replace(one, p=p) for one, p in zip(changes, adjusted, strict=True)]


def _change(ref: str, metric: Metric, flips: Sequence[int], rate: float) -> Change:
    up, down = flips.count(1), flips.count(-1)
    seen = detectable_drop(len(flips), rate, min(up, down) / len(flips))
    p = difference_test(flips)
    return Change(ref, metric.task, metric.metric, len(flips), up, down, p, seen)
