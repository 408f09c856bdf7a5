"""Before the start: what a run would train on, what would be chosen for it, and how it would fit.

Knows how the preflight is asked. Does not decide anything: what stops a run is refused when it is
started.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from engine.data.dataset import open_dataset
from engine.data.findings.kinds import DROPPED, Finding
from engine.data.findings.preflight import Preflight, look
from engine.data.rows import Row
from engine.data.split.parts import recorded
from engine.machine.facts import this_machine
from engine.models import refs
from engine.models.folder import ModelFolder, describe
from engine.render import Renderer
from engine.render.purposes import Method, way_out
from engine.train import blocks
from engine.train.choosing import Choice, budget, choose, readable
from engine.train.counted import DataFacts
from engine.train.fit.estimate import Estimate, estimate
from engine.train.recipe import Recipe
from store.catalogue import Catalogue
from store.errors import Unsupported, WorkbenchError

MOST_ROWS = 5_000
"""Rows that are rendered for the plan; a larger file is judged by its first rows."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What would be chosen.

    Attributes:
        choices: every setting, and why; refused: why the run would not start.
        estimate: memory and time; room: bytes that a run may plan with.
    """

    choices: tuple[Choice, ...] = ()
    refused: WorkbenchError | None = None
    estimate: Estimate | None = None
    room: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be trained.

    Attributes:
        rows: rows of the file; seen: how many of them were rendered.
        held_out: rows kept for the evaluation loss.
        trained, total: tokens with loss and tokens in all, in the rows seen.
        steps_an_epoch, steps: optimizer steps.
        tested: rows kept for the end, where a split is recorded.
        stops: kinds of findings that stop the run; none where such rows are to be left out.
        way: what to do with rows of a kind that the method cannot use.
        decided: what the engine would choose, and how it would fit.
    """

    rows: int
    seen: int
    held_out: int
    trained: int
    total: int
    steps_an_epoch: int
    steps: int
    findings: tuple[Finding, ...]
    tested: int = 0
    way: str = ""
    stops: frozenset[str] = frozenset()
    decided: Decided = Decided()


def make_plan(cat: Catalogue, file: str, ref: str, recipe: Recipe) -> Plan:
    """Count rows, tokens and steps, and list what is odd.

    Args:
        file: the dataset; ref: the model to train.

    Raises:
        WorkbenchError: file or model cannot be read.
    """
    model = refs.resolve(cat, ref)
    if model.renderer_folder is None:
        raise Unsupported(
            f"model '{ref}': a GGUF file cannot be trained",
            "Choose its original: starter, hub:org/name or a folder with safetensors.",
        )
    renderer = Renderer.load(model.renderer_folder)
    with open_dataset(cat, file) as document:
        document.grow()
        rows = document.rows(1, MOST_ROWS)
        count = document.count
        split = recorded(cat, document)
    method = cast("Method", recipe.method)
    described = describe(model.base) if model.base is not None else None
    length = readable(recipe, described).max_length if described else recipe.max_length
    report = look(rows, renderer, length or None, method)
    held_out = round(count * (split.rule.eval if split else recipe.test_size))
    tested = round(count * split.rule.test) if split else 0
    batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    facts = _facts(report, max(count - held_out - tested, 0), len(rows), held_out, recipe, length)
    an_epoch = max(math.ceil(facts.rows / batch), 1)
    steps = recipe.max_steps if recipe.max_steps > 0 else an_epoch * recipe.num_train_epochs
    wrong = next((f.line for f in report.findings if f.kind == "unsupported"), None)
    return Plan(
        rows=count,
        seen=len(rows),
        held_out=held_out,
        trained=report.trained_tokens,
        total=report.total_tokens,
        steps_an_epoch=an_epoch,
        steps=math.ceil(steps),
        findings=tuple(report.findings),
        tested=tested,
        stops=frozenset() if recipe.leave_out else _stops(rows, report.findings),
        way="" if wrong is None else way_out(rows[wrong - 1], method).replace("FILE", file),
        decided=_decide(recipe, described, facts),
    )


def _facts(
    report: Preflight, rows: int, seen: int, held_out: int, recipe: Recipe, length: int
) -> DataFacts:
    """What so many rows amount to, if they are like those that were seen; of a text, its blocks."""
    known = seen - report.dropped
    share = rows / known if known else 0.0
    tokens, trained = (round(n * share) for n in (report.total_tokens, report.trained_tokens))
    longest, units = report.longest, rows if known else 0
    if recipe.method == "text" and length:
        longest, units = min(length, tokens), blocks.count(tokens, length)
    mean = tokens / units if units else 0.0
    mean /= 2 if recipe.method == "dpo" else 1
    return DataFacts(units, tokens, longest, mean, trained, held_out)


def _decide(recipe: Recipe, base: ModelFolder | None, facts: DataFacts) -> Decided:
    if base is None or not facts.rows:
        return Decided()
    machine = this_machine()
    try:
        chosen = choose(recipe, base, machine, facts)
    except WorkbenchError as error:
        return Decided(refused=error)
    fit = estimate(chosen.recipe, base, machine, facts)
    return Decided(chosen.choices, None, fit, budget(machine))


def _stops(rows: list[Row], findings: tuple[Finding, ...]) -> frozenset[str]:
    """Kinds of rows that teach nothing; blank lines are no rows."""
    blank = {row.number for row in rows if not row.raw.strip()}
    return frozenset(f.kind for f in findings if f.kind in DROPPED and f.line not in blank)
