"""Check suites on an exported file: does it still pass what the trained model passes?

Knows which suites belong to a model, the store of answers (nothing is asked twice), and the rule of
the verdict. Does not load models: chat workers do, the file as it will be chatted with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.chat.client import Sampling
from engine.checks import asking
from engine.checks import suite as shipped
from engine.checks.comparing import Difference, compare, in_words
from engine.checks.judging import ModelResult, judged, result
from engine.checks.kinds import Answer
from engine.checks.stats import holm
from engine.checks.suite import Suite
from engine.export.stages import Stage, State
from engine.models.refs import Model, resolve
from engine.train import suites
from engine.train.recipe.files import from_dict
from store import runs
from store.answers import Known
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError
from store.visible import visible

NAME = "suite"
MOST = 60
"""Prompts asked of all suites together, spread evenly over them: of so many a drop from 90 % by
13 to 16 points is found four times in five, and the starter answers them in 3 s."""
WARN_DROP = 0.05
"""A drop that chance explains, but of at least this share of the prompts, is worth a look."""
_OWN = ("suites", "retention_suite")


def ask(
    cat: Catalogue,
    ref: str,
    file: Path,
    of: str,
    *,
    on_event: Callable[[Stage], None] | None = None,
    cancel: threading.Event | None = None,
) -> Stage | None:
    """Ask an export and the model it was made from the same prompts, greedily, and compare.

    Args:
        ref: the trained model. file: a GGUF file or a merged folder under its final name.
        of: the file's type, for the stage.
        on_event: called while it runs and with the verdict. cancel: as for the export.
    Returns:
        fail: it cannot be asked, or passes fewer prompts, beyond chance (exact McNemar, p < 0.05
        after Holm); warn: a drop of `WARN_DROP` or more that may be chance, or there is nothing to
        compare with.
        None where no suite belongs to the model.
    Raises:
        Conflict: it was cancelled.
    """
    say = on_event or (lambda _: None)

    def came(who: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if cancel is not None and cancel.is_set():
                raise Conflict("the export was cancelled.", "Start it again when you like.")
            numbers = {"done": float(done), "total": float(total)}
            say(Stage(NAME, "running", f"asking {who}: {done} of {total} prompts", numbers, of))

        return tell

    stage = _asked(cat, resolve(cat, ref), file, of, came)
    if cancel is not None and cancel.is_set():
        raise Conflict("the export was cancelled.", "Start it again when you like.")
    if stage is not None:
        say(stage)
    return stage


def _asked(
    cat: Catalogue,
    model: Model,
    file: Path,
    of: str,
    came: Callable[[str], Callable[[int, int], None]],
) -> Stage | None:
    """The trained model, then the file: whose answers are known is not loaded."""
    try:
        found = suites_of(cat, model)
        if not found:
            return None
        asked = [few(suite, max(1, MOST // len(found))) for suite in found]
        trained = [_results(cat, model.ref, suite, came("the trained model")) for suite in asked]
    except WorkbenchError as error:  # no fault of the file
        return Stage(NAME, "warn", f"nothing to compare with: {visible(error.message)}", of=of)
    try:
        export = [_results(cat, str(file), suite, came("the file")) for suite in asked]
    except WorkbenchError as error:
        return Stage(NAME, "fail", f"it could not be asked: {visible(error.message)}", of=of)
    return judge(asked, trained, export, of)


def suites_of(cat: Catalogue, model: Model) -> list[Suite]:
    """What the run's recipe names, as the run keeps it; else the shipped suite of the starter.

    Without what a model judges: its opinion is none of the file's.
    """
    found: list[Suite] = []
    if model.run_id is not None:
        run = runs.get(cat, model.run_id)
        named = from_dict({key: run.recipe[key] for key in _OWN if key in run.recipe})
        found = list(suites.load(named, cat.workspace.run_dir(run.id)).values())
    if not found and model.base_ref == "starter":
        found = [shipped.load("retention")]
    counted = (
        replace(suite, groups=tuple(group for group in suite.groups if not group.judge))
        for suite in found
    )
    return [suite for suite in counted if suite.size]


def few(suite: Suite, most: int) -> Suite:
    """At most so many of a suite's prompts, spread evenly over it."""
    if suite.size <= most:
        return suite
    kept = {id(suite.asked[i * suite.size // most][1]) for i in range(most)}
    groups = (
        replace(group, prompts=tuple(p for p in group.prompts if id(p) in kept))
        for group in suite.groups
    )
    return replace(suite, groups=tuple(group for group in groups if group.prompts))


def judge(
    asked: Sequence[Suite],
    trained: Sequence[ModelResult],
    export: Sequence[ModelResult],
    of: str,
) -> Stage:
    """The verdict on both models' results, suite by suite."""
    found = [compare(pair)[0].total for pair in zip(trained, export, strict=True)]
    adjusted = holm([one.p for one in found])
    found = [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]
    words = [
        f"{suite.name}: {before.passed} of {one.pairs} → {after.passed}, {in_words(one)}"
        for suite, before, after, one in zip(asked, trained, export, found, strict=True)
    ]
    numbers: dict[str, float] = {
        "prompts": sum(one.pairs for one in found),
        "passed_trained": sum(one.passed for one in trained),
        "passed_export": sum(one.passed for one in export),
        "up": sum(len(one.up) for one in found),
        "down": sum(len(one.down) for one in found),
        "p": min(adjusted),
    }
    seen = [one.detectable_drop for one in found if one.detectable_drop is not None]
    if seen:
        numbers["detectable_drop"] = min(seen)
    state: State = "pass"
    if any(_dropped(one) or not one.pairs for one in found):
        state = "warn"
    if any(one.said == "worse" for one in found):
        state = "fail"
        words.append("take a larger type, or export again")
    return Stage(NAME, state, "; ".join(words), numbers, of)


def _dropped(one: Difference) -> bool:
    return len(one.down) - len(one.up) >= max(2, WARN_DROP * one.pairs)


def _results(
    cat: Catalogue, ref: str, suite: Suite, on_progress: Callable[[int, int], None]
) -> ModelResult:
    """A suite on one model."""
    turns = [prompt.turns for _, prompt in suite.asked]
    [(name, column)] = asking.ask(
        cat, [ref], turns, Sampling(max_tokens=suite.max_tokens), on_progress
    )
    told = [
        Answer(one.text, one.stop, one.tokens - (one.stop == "turn end"))
        if isinstance(one, Known)
        else one.message
        for one in column
    ]
    return result(suite, ref, name, judged(suite, [told])[0])
