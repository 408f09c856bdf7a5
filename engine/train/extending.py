"""A run goes on for longer than it was made for, also one that has finished.

Knows which setting bounds a run and refuses what would change nothing. Does not know the rate: the
run's process says what the new length does to it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec

from engine.train import spec as specs
from engine.train import stopping
from engine.train.forking import same_base
from engine.train.launching import alone, found_again, launch
from engine.train.recipe import Recipe, as_dict, validate
from engine.train.spec import Spec, Told
from engine.train.status import is_alive, reader, refresh
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.runs import Run

_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class More:
    """How much more; zero leaves a limit where it is."""

    max_steps: int = 0
    epochs: float = 0.0
    tokens: int = 0
    minutes: float = 0.0


def extend(
    cat: Catalogue,
    run_id: int,
    *,
    max_steps: int = 0,
    epochs: float = 0.0,
    tokens: int = 0,
    minutes: float = 0.0,
) -> Run:
    """Let a run take so many more steps, epochs, tokens or minutes, and go on with it.

    A living run is paused first, which waits for its step and its save. Patience begins anew.

    Raises:
        BadInput: nothing more is asked for, or the run does not count that.
        Conflict: the run would end at once, or does not pause in time.
    """
    more = More(max_steps, epochs, tokens, minutes)
    if min(max_steps, epochs, tokens, minutes) < 0 or more == More():
        raise BadInput("nothing to extend by", f"workbench extend {run_id} --steps 200")
    longer(refresh(cat, run_id), specs.read(cat.workspace.run_dir(run_id)).settings, more)
    let_go(cat, run_id)
    run_dir = cat.workspace.run_dir(run_id)
    with alone(run_dir):
        run = refresh(cat, run_id)
        if is_alive(run):
            raise Conflict(f"run {run_id} was started meanwhile", "Extend it again.")
        spec = found_again(cat, run, specs.read(run_dir))
        same_base(cat, spec)
        recipe = longer(run, spec.settings, more)
        _goes_on(cat, run, recipe, spec)
        told = Told("extended", f"extended at step {run.step:,} by {_words(more)}")
        count = sum(item.text.startswith(told.text) for item in spec.history)
        told = Told(told.kind, f"{told.text} again" if count else told.text)
        spec = msgspec.structs.replace(
            spec,
            recipe=as_dict(recipe),
            patience_from=run.step if recipe.patience else spec.patience_from,
            history=(*spec.history, told),
        )
        specs.write(run_dir, spec)
        runs.update(cat, run_id, recipe=spec.recipe)
        return launch(cat, run_id, recipe.threads, keep_place=True)


def longer(run: Run, recipe: Recipe, more: More) -> Recipe:
    """The recipe with its limits moved.

    Raises:
        BadInput: naming the limit that the run does not have.
    """
    for asked, has, name, option in (
        (more.tokens, recipe.max_tokens, "token", "--tokens"),
        (more.minutes, recipe.max_minutes, "time", "--minutes"),
    ):
        if asked and not has:
            raise BadInput(
                f"{option}: run {run.id} has no {name} limit", "Give --steps or --epochs instead."
            )
    if more.max_steps and more.epochs:
        raise BadInput("--steps and --epochs say two ends", "Give one of them.")
    changes: dict[str, float | int] = {}
    if more.max_steps:
        total = recipe.max_steps if recipe.max_steps > 0 else run.total_steps
        if total is None:
            raise BadInput(
                f"--steps: run {run.id} has not begun, so its steps are not counted yet",
                "Give --epochs, or wait for its first step.",
            )
        changes = {"max_steps": total + more.max_steps, "max_tokens": 0}
        if more.tokens:
            raise BadInput("--steps and --tokens say two ends", "Give one of them.")
    elif more.epochs:
        if recipe.max_steps > 0 or recipe.max_tokens:
            what = "steps" if recipe.max_steps > 0 else "tokens"
            raise BadInput(f"--epochs: run {run.id} counts {what}", f"Give --{what} instead.")
        changes = {"num_train_epochs": recipe.num_train_epochs + more.epochs}
    if more.tokens:
        changes["max_tokens"] = recipe.max_tokens + more.tokens
    if more.minutes:
        changes["max_minutes"] = recipe.max_minutes + more.minutes
    changed: Recipe = replace(recipe, **changes)  # type: ignore[arg-type]
    validate(changed)
    return changed


def let_go(cat: Catalogue, run_id: int) -> None:
    """Pause a living run and wait until it has saved and ended.

    Raises:
        Conflict: it is still at its step.
    """
    run = refresh(cat, run_id)
    if not is_alive(run):
        return
    runs.post_command(cat, run_id, "pause")
    deadline = time.monotonic() + _WAIT_S
    while is_alive(run):
        if time.monotonic() > deadline:
            raise Conflict(
                f"run {run_id} is still at its step; it pauses as soon as that is done",
                "Try again in a while.",
            )
        time.sleep(0.05)


def _goes_on(cat: Catalogue, run: Run, recipe: Recipe, spec: Spec) -> None:
    """See that the run would not end where it stands.

    Raises:
        Conflict: naming the limit that is reached.
    """
    with reader(cat, run.id) as run_db:
        last = run_db.last()
    tokens, seconds = ((last[name][1] or 0.0) if name in last else 0.0
                       for name in ("num_tokens", "train_seconds"))  # fmt: skip
    why = stopping.out_of_budget(recipe, tokens, seconds)
    before = spec.settings
    moved = recipe.max_steps != before.max_steps or recipe.max_tokens != before.max_tokens
    moved = moved or recipe.num_train_epochs != before.num_train_epochs
    if why is None and run.total_steps and run.step >= run.total_steps and not moved:
        why = stopping.all_done(recipe, run.total_steps)
    if why is not None:
        raise Conflict(f"run {run.id} would end at once ({why})", "Extend that limit as well.")


def _words(more: More) -> str:
    counted = (
        (more.max_steps, "steps"),
        (more.epochs, "epochs"),
        (more.tokens, "tokens"),
        (more.minutes, "minutes"),
    )
    return " and ".join(f"{amount:,g} {unit}" for amount, unit in counted if amount)
