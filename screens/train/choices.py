"""What there is to choose from: datasets, models, recipes, runs.

Knows where such lists come from. Does not know what happens with the choice.
"""

from __future__ import annotations

from pathlib import Path

import assets
from engine.models import refs
from engine.train import recipe as recipes
from screens.widgets import words
from screens.widgets.topline import short_path
from store import datasets, runs
from store.catalogue import Catalogue

FIRST = "habit.jsonl"
"""The dataset for someone who has opened none: it suits the recipe that the form begins with."""

Choices = list[tuple[str, str]]
"""Values with the words that are shown for them."""


def files(cat: Catalogue) -> Choices:
    """Datasets opened before, newest first, then the shipped ones, `FIRST` at their head."""
    recent = sorted(datasets.all(cat), key=lambda dataset: dataset.opened, reverse=True)
    found = [
        (item.path, f"{item.name}  {short_path(Path(item.path).parent)}"
                    + (f"  {words.plural(item.rows, 'row')}" if item.rows is not None else ""))
        for item in recent
        if Path(item.path).is_file()
    ]  # fmt: skip
    known = {path for path, _ in found}
    shipped = assets.path("datasets").glob("*.jsonl")
    for path in sorted(shipped, key=lambda path: (path.name != FIRST, path.name)):
        if str(path) not in known and ".heldout" not in path.name:
            found.append((str(path), f"{path.name}  shipped"))
    return found


def models(cat: Catalogue) -> Choices:
    """References of bases and checkpoints."""
    return refs.candidates(cat)


def bases(cat: Catalogue) -> Choices:
    """What a run can start from: the starter, and bases that earlier runs used."""
    earlier = dict.fromkeys(run.model for run in runs.all(cat) if run.model != "starter")
    return [("starter", "starter  shipped"), *((model, model) for model in earlier)]


def recipe_names() -> Choices:
    """The shipped recipes with their sentence."""
    return [(name, f"{name.ljust(14)}{about}") for name, about in recipes.names()]


def run_names(cat: Catalogue, without: int | None = None) -> Choices:
    """Runs that have measured something, newest first."""
    return [
        (str(run.id), f"{run.id:>3}  {run.name}  {run.status}"
                      + (f"  loss {run.loss:.3f}" if run.loss is not None else ""))
        for run in runs.all(cat)
        if run.id != without and run.step
    ]  # fmt: skip
