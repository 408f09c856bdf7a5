"""The facts of a run, and which rows were in the batch of a step.

Knows the run's folder and its snapshot. Does not judge. What cannot be read is "not
known": a run whose base or rows are gone can still be diagnosed from its curves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.data.split import snapshot as parts
from engine.diagnosis import facts as known
from engine.diagnosis.curves import Curves
from engine.diagnosis.facts import Facts, number
from engine.diagnosis.judge import diagnose
from engine.diagnosis.preset import Preset
from engine.diagnosis.verdict import Verdict
from engine.models.folder import describe
from engine.render import Renderer
from engine.train import spec as specs
from engine.train.doubts import standing
from engine.train.examples import encode
from engine.train.order import epoch_batches
from engine.train.spec import Spec
from engine.train.status import reader
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.runrecords import Checkpoint, Event
from store.runs import Run

_APART = ("hash", "recorded", "file")
"""Ways of splitting that never leave equal rows on both sides."""


def diagnosis(cat: Catalogue, run: Run, preset: Preset | None = None) -> list[Verdict]:
    """What the curves of a run mean; a spike names its rows."""
    folder = cat.workspace.run_dir(run.id)
    with reader(cat, run.id) as run_db:
        curves, saved, said = Curves.from_reader(run_db), run_db.checkpoints(), run_db.events()
    known = facts_of(run, folder, saved, said, rows_at=StepRows(run, folder))
    return diagnose(curves, known, preset)


def facts_of(
    run: Run,
    folder: Path,
    checkpoints: Sequence[Checkpoint] = (),
    events: Sequence[Event] = (),
    *,
    rows_at: Callable[[int], Sequence[int]] | None = None,
) -> Facts:
    """Everything that is known of a run without its curves, in a few milliseconds.

    Args:
        folder: the run's; what it does not say is not known.
        rows_at: the lines of the rows of a step, as `StepRows` has them.
    """
    found: dict[str, object] = {
        "total_steps": run.total_steps,
        "ended": run.status == "finished",
        "checkpoints": tuple((saved.step, saved.eval_loss) for saved in checkpoints),
        "rows_at": rows_at,
        "doubts": tuple((doubt.step, doubt.text) for doubt in standing(events).values()),
    }
    spec = _spec(folder)
    if spec is not None:
        taken = spec.snapshot
        found |= {"rows": taken.train_rows, "held_out": taken.eval_rows}
        found["duplicates"] = 0 if taken.split.get("by") in _APART else None
        found["hidden"] = _hidden(spec)
    return known.of(run.recipe, **found)


class StepRows:
    """The lines of the rows of an optimizer step; rendered at the first question, then kept.

    Nothing is known of packed batches, of preferences, and of rows that are gone.

    Args:
        most: more rows than this are not rendered, so that nothing is known of them either.
    """

    def __init__(self, run: Run, folder: Path, most: int | None = None) -> None:
        self._most = most
        self._folder = folder
        self._recipe = run.recipe
        self._lines: list[int] | None = None
        self._lengths: list[int] = []

    def __call__(self, step: int) -> tuple[int, ...]:
        recipe = self._recipe
        packed = recipe.get("packing", False) is not False
        if packed or recipe.get("method", "sft") not in ("sft", "text") or step < 1:
            return ()
        lines = self._load()
        size = int(number(recipe.get("per_device_train_batch_size")) or 0)
        if not lines or not size:
            return ()
        times = int(number(recipe.get("gradient_accumulation_steps")) or 1)
        of_epoch = math.ceil(math.ceil(len(lines) / size) / times)
        epoch, place = divmod(step - 1, of_epoch)
        grouped = recipe.get("train_sampling_strategy") == "group_by_length"
        seed = int(number(recipe.get("seed")) or 0)
        batches = epoch_batches(self._lengths, size, seed, epoch, grouped=grouped)
        chosen = batches[place * times : (place + 1) * times]
        return tuple(sorted(lines[row] for batch in chosen for row in batch))

    def _load(self) -> list[int]:
        """Lines and lengths of the examples, as the training process had them."""
        if self._lines is None:
            self._lines = []
            spec = _spec(self._folder)
            if spec is None or (self._most is not None and spec.snapshot.train_rows > self._most):
                return self._lines
            taken = spec.snapshot
            if not Path(taken.path).is_dir():  # The workspace was moved.
                home = self._folder.resolve().parents[1]
                taken = replace(taken, path=str(home / "snapshots" / taken.sha256))
            try:
                rows = parts.load(taken, "train")
                longest = int(number(self._recipe.get("max_length")) or 0)
                encoded = encode(rows, Renderer.load(Path(spec.base)), longest or 1 << 30)
            except (WorkbenchError, OSError):
                return self._lines
            self._lines = [example.row for example in encoded.examples]
            self._lengths = [len(example.ids) for example in encoded.examples]
        return self._lines


def _spec(folder: Path) -> Spec | None:
    """What the run was told, None for one that was made elsewhere."""
    try:
        return specs.read(folder)
    except WorkbenchError:
        return None


def _hidden(spec: Spec) -> int | None:
    try:
        return describe(Path(spec.base)).hidden or None
    except WorkbenchError:
        return None
