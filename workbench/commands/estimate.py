"""`workbench estimate`: whether a run would fit and how long it would take; starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.train.fit.asking import Answer

_PARTS = {
    "weights": "weights of the base",
    "adapters": "adapters, float32",
    "gradients": "their gradients",
    "optimizer": "the optimizer's state",
    "activations": "activations kept",
    "attention": "attention and work in progress",
    "head": "logits, a tile at a time",
    "libraries": "code touched first in training",
    "overhead": "libraries and fragments",
}


def estimate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A dataset, as for `data`.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="REF",
            help="starter, hub:org/name or a folder; one with a config.json alone will do.",
        ),
    ] = "starter",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="A shipped recipe, or a TOML file.")
    ] = "default",
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="NAME:GB", help="As if there was this GPU, e.g. 4090:24."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Peak memory by parts and time of a run that is not started."""
    from engine.machine.facts import this_machine
    from engine.train.fit.asking import ask, machine_with
    from engine.train.recipe import load, with_sets
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    chosen = with_sets(load(recipe), sets or [])
    machine = machine_with(gpu) if gpu is not None else this_machine()
    with Catalogue.open(find_workspace(workspace)) as cat:
        answer = ask(cat, file, model, chosen, machine)
    emit(as_dict(answer), json, lines(answer))


def as_dict(answer: Answer) -> dict[str, object]:
    """For programs."""
    from engine.train.recipe import as_dict as recipe_dict

    found = answer.estimate
    return {
        "model": str(answer.model.path),
        "parameters": answer.model.parameters,
        "device": answer.machine.device,
        "fits": answer.fits,
        "peak_bytes": found.peak_bytes,
        "room_bytes": answer.room,
        "sure": found.sure,
        "parts": found.parts,
        "steps": found.steps,
        "seconds_per_step": found.seconds_per_step,
        "total_seconds": found.total_seconds,
        "tokens_per_second": found.tokens_per_second,
        "sure_time": found.sure_time,
        "rows": answer.data.rows,
        "longest": answer.data.longest,
        "lengths_guessed": answer.guessed,
        "recipe": recipe_dict(answer.recipe),
        "choices": [choice.words for choice in answer.choices if choice.chosen_by == "engine"],
    }


def lines(answer: Answer) -> list[str]:
    """For people."""
    found = answer.estimate
    where = answer.machine.words()
    verdict = "fits" if answer.fits else "does not fit"
    told = [
        f"{answer.model.architecture}, {answer.model.parameters / 1e6:,.1f}M parameters, "
        f"on {where}: {verdict}",
        f"peak memory {_size(found.peak_bytes)} of {_size(answer.room)} to plan with, "
        f"plus or minus {found.sure:.0%}",
    ]
    parts = sorted(found.parts.items(), key=lambda part: -part[1])
    told += [f"  {_size(size):>9}  {_PARTS[name]}" for name, size in parts if size]
    told += [
        f"{found.steps:,} steps of {found.tokens:,.0f} tokens, {_time(found.seconds_per_step)} "
        f"each: about {_time(found.total_seconds)}, plus or minus {found.sure_time:.0%}",
    ]
    if answer.guessed:
        told.append("lengths are guessed from bytes: the model's folder has no tokenizer.json")
    told += [choice.words for choice in answer.choices if choice.chosen_by == "engine"]
    if not answer.fits:
        told.append(
            "to make it fit: halve per_device_train_batch_size and double "
            "gradient_accumulation_steps, set gradient_checkpointing=true, or load_in_4bit=true"
        )
    return told


def _size(size: float) -> str:
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.0f} MB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.2g} s" if seconds < 1 else f"{seconds:,.0f} s"
    minutes = seconds / 60
    return f"{minutes:,.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"
