"""What may be said of a run outside of this machine: in cards, in files, beside them.

Knows the run's record and the results of its checks. Names of data stay, folders go.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from engine.models.refs import Model
from store import checks, snapshots
from store.catalogue import Catalogue
from store.errors import NotFound
from store.runs import Run

Said = dict[str, str | int | float | bool | None]
_CARD_KEYS = (
    "method",
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "max_length",
    "r",
    "lora_alpha",
    "lora_dropout",
)


def said_of(cat: Catalogue, run: Run, model: Model) -> Said:
    """What a card says of a run."""
    said: Said = {
        "name": run.name,
        "run": run.id,
        "step": model.step,
        "data": Path(run.dataset).name,
        "rows": _rows(cat, run),
        "data snapshot": run.snapshot,
        "seed": run.seed,
        "loss": run.loss,
        "held-out loss": run.eval_loss,
        "base sha256": run.base_sha256,
    }
    for key in _CARD_KEYS:
        value = run.recipe.get(key)
        if isinstance(value, str | int | float | bool):
            said[key] = value
    for result in reversed(checks.all(cat, model=model.ref)):  # the newest of a suite stays
        suite = Path(result.suite).stem
        said[f"check {suite}"] = f"{result.passed} of {result.passed + result.failed} passed"
    return said


def provenance_of(cat: Catalogue, run: Run) -> dict[str, Any]:
    """The whole record of a run, so that it can be repeated elsewhere."""
    return {
        "name": run.name,
        "method": run.method,
        "data": {
            "name": Path(run.dataset).name,
            "snapshot": run.snapshot,
            "rows": _rows(cat, run),
            "split": run.split,
        },
        "settings": without_places(dict(sorted(run.recipe.items()))),
        "seed": run.seed,
        "loss": run.loss,
        "held_out_loss": run.eval_loss,
        "versions": run.versions,
    }


def without_places(value: Any) -> Any:
    """A value from JSON in which a path is only its last name."""
    match value:
        case str():
            place = value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute()
            return PureWindowsPath(value).name if place else value
        case Mapping():
            return {key: without_places(item) for key, item in value.items()}
        case list() | tuple():
            return [without_places(item) for item in value]
    return value


def without(value: Any, places: Mapping[str, str]) -> Any:
    """A value from JSON in whose texts folders are said otherwise, the longest first."""
    match value:
        case str():
            for place in sorted(places.keys() - {"/"}, key=len, reverse=True):
                value = value.replace(f"{place}/", f"{places[place]}/" if places[place] else "")
                value = value.replace(place, places[place] or ".")
            return value
        case Mapping():
            return {key: without(item, places) for key, item in value.items()}
        case list():
            return [without(item, places) for item in value]
    return value


def _rows(cat: Catalogue, run: Run) -> int | None:
    if run.snapshot is None:
        return None
    try:
        return snapshots.get(cat, run.snapshot).train_rows
    except NotFound:
        return None
