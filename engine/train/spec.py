"""What a training process is told: one JSON file in the run's folder, written before it starts.

Knows plain values and paths. Does not know how they were chosen; `client` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from engine.train.choosing import Choice
from engine.train.recipe import Recipe, from_dict, settled
from store.errors import BadInput
from store.snapshots import Snapshot

FILE = "spec.json"
CHECKPOINTS = "checkpoints"
LOG = "train.log"
DATABASE = "run.db"
RESERVE = "reserve"


class Told(msgspec.Struct, frozen=True):
    """Something that was done to a run from outside; its process makes an event of it."""

    kind: Literal["extended", "forked"]
    text: str


class Spec(msgspec.Struct, frozen=True):
    """Everything a worker needs.

    Attributes:
        recipe: resolved: nothing in it is `auto`, `threads` is never 0.
        choices: how it came about, for people to read.
        snapshot: the frozen data.
        base: folder of base weights, and their hash when the run began; likewise of its template
            and tokenizer (None in runs that did not write them down).
        device: `cuda` or `cpu`.
        start: folder, within the run's, of an adapter whose weights the run begins with.
        history: what was done to the run, oldest first.
        patience_from: evaluations before this step do not count for `patience`.
        source_mark: size and time of the dataset's file when its rows were frozen.
    """

    run_id: int
    workspace: str
    base: str
    base_sha256: str
    snapshot: Snapshot
    recipe: dict[str, bool | int | float | str | list[str]]
    device: str
    versions: dict[str, str]
    template_sha256: str | None = None
    tokenizer_sha256: str | None = None
    choices: tuple[Choice, ...] = ()
    start: str | None = None
    history: tuple[Told, ...] = ()
    patience_from: int = 0
    source_mark: tuple[int, int] | None = None

    @property
    def settings(self) -> Recipe:
        """The recipe as its own type, without any `auto`."""
        return settled(from_dict(self.recipe))

    @property
    def forked(self) -> bool:
        """Whether the run left another at a checkpoint."""
        return any(told.kind == "forked" for told in self.history)


def write(run_dir: Path, spec: Spec) -> None:
    """Write `spec.json`, whole or not at all."""
    temporary = run_dir / f"{FILE}.tmp"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=2))
    os.replace(temporary, run_dir / FILE)


def read(run_dir: Path) -> Spec:
    """Read `spec.json`.

    Raises:
        BadInput: it is missing or damaged.
    """
    path = run_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Spec)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{path}: {error}", "Start a new run with the same settings.") from error
