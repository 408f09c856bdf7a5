"""Trackers that may get a run's numbers: which there are, and whether their libraries are here.

Knows names and packages. Does not import them: `engine.train.trackers` does, in the training
process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping

from store.errors import Unsupported

PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Each tracker, and the packages of which one will do, the one to install first."""

_VARIABLES: dict[str, tuple[str, ...]] = {
    "tensorboard": (),
    "wandb": ("WANDB_",),
    "trackio": ("TRACKIO_", "HF_TOKEN"),
}


def missing(names: Iterable[str]) -> list[str]:
    """Those whose own library cannot be imported."""
    return [n for n in names if not any(importlib.util.find_spec(p) for p in PACKAGES[n])]


def refuse_missing(names: Iterable[str]) -> None:
    """See that each tracker's own library can be imported, before anything is started.

    Raises:
        Unsupported: with the command that installs it.
    """
    for name in missing(names):
        package = PACKAGES[name][0]
        raise Unsupported(
            f"report_to={name}: the package {package} is not installed",
            f"pip install {package}, or leave {name} out of report_to.",
        )


def environment(names: Iterable[str], ours: Mapping[str, str]) -> dict[str, str]:
    """What a run's process must find of our environment so that its trackers find their accounts.

    Nothing of it reaches a run that reports to no tracker.
    """
    prefixes = tuple(prefix for name in names for prefix in _VARIABLES[name])
    return {name: value for name, value in ours.items() if prefixes and name.startswith(prefixes)}
