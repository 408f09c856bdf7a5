"""One real step at the longest batch, before the first (heavy), and the truth at the end.

The probe computes and forgets: gradients are dropped and every random generator is put back, so
that a run's curve is the same with and without it. On a GPU the peak is the allocator's own; on a
CPU it is the growth of this process's resident memory, whose high-water mark Linux lets a process
reset.

Knows the trainer, the device's counters and the run database. Does not know how a recipe was
chosen.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from transformers import TrainerCallback

from engine.machine.facts import this_machine
from engine.models.folder import describe
from engine.train.batches import Batch
from engine.train.counted import DataFacts
from engine.train.examples import IGNORED, Example
from engine.train.failures import Diverged
from engine.train.fit.estimate import estimate
from engine.train.fit.halving import NoRoom
from engine.train.fit.room import is_out_of_memory
from engine.train.fit.speed import PRODUCT_SIDE, PRODUCT_TRIES
from engine.train.randomness import RandomState

if TYPE_CHECKING:
    from engine.train.spec import Spec
    from engine.train.trainer import WorkbenchTrainer

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What `clear_refs` takes for "forget the high-water mark" (Linux 4.0)."""
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, slots=True)
class Probe:
    """One forward and backward.

    Attributes:
        peak_bytes: of the device, or of this process on a CPU, the libraries' own included.
        growth_bytes: without what was there before the base was loaded.
        seconds: of that batch alone.
        batch_shape: rows and tokens of a row, padding included.
    """

    peak_bytes: int
    growth_bytes: int
    seconds: float
    batch_shape: tuple[int, int]


class Peak:
    """The most memory used since the last `reset`, in bytes."""

    def __init__(self) -> None:
        self.before = self.now()

    def reset(self) -> None:
        """Begin anew from what is used now."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        elif _RESET.exists():
            _RESET.write_text(_RESET_PEAK)

    def now(self) -> int:
        """Used at this moment."""
        if torch.cuda.is_available():
            return torch.cuda.memory_allocated()
        return int(psutil.Process().memory_info().rss)

    def most(self) -> int:
        """At the peak."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
        found = _PEAK.search(_STATUS.read_text()) if _STATUS.exists() else None
        return int(found[1]) << 10 if found else self.now()


def probe(trainer: WorkbenchTrainer, batch: Batch, peak: Peak) -> Probe:
    """Forward and backward of one batch, as a step does it, leaving no trace.

    Where memory runs out the trainer makes room as in any step, and says so.

    Raises:
        NoRoom: not even one row fits. Diverged: its loss is not a number.
    """
    random = RandomState.now()
    held = _optimizer_to_come(trainer)
    try:
        items = trainer._get_num_items_in_batch([batch], trainer.args.device)
        while True:
            tried = trainer.room
            peak.reset()
            began = time.perf_counter()
            trainer.begin_step()
            loss = trainer.training_step(trainer.model_wrapped, dict(batch), items)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds, most = time.perf_counter() - began, peak.most()
            if trainer.room == tried:  # Else it was measured with less at a time: again.
                break
    finally:
        trainer.model.zero_grad()
        trainer.forget_step()
        trainer.begin_step()
        random.restore()
    del held
    if not bool(torch.isfinite(loss)):
        raise Diverged(
            f"the loss is not a number before step {trainer.state.global_step + 1} is taken, at "
            "the longest rows",
            "No rate can help: look at those rows, copy the base's weights again, or set "
            "dtype=float32.",
        )
    rows, length = batch["input_ids"].shape
    return Probe(most, most - peak.before, seconds, (rows, length))


def _optimizer_to_come(trainer: WorkbenchTrainer) -> torch.Tensor | None:
    """As much memory as the optimizer's state will take, where it has none yet."""
    optimizer = trainer.optimizer
    if optimizer is None or optimizer.state_dict()["state"]:
        return None
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    size = trained * (2 if trainer.ours.recipe.optim.endswith("8bit") else 8)
    try:  # Filled, for memory that nobody touched is not there.
        return torch.full((size,), 1, dtype=torch.uint8, device=trainer.args.device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoom(
            f"out of memory: the optimizer's state ({size >> 20} MB) does not fit beside the base",
            "Lower r, set load_in_4bit=true, or take a smaller base or a larger GPU.",
        ) from error


class Fitting(TrainerCallback):  # type: ignore[misc]
    """Writes down what was expected, what the probe found, and what the run took."""

    def __init__(self, trainer: WorkbenchTrainer, spec: Spec, peak: Peak) -> None:
        self._trainer, self._spec, self._peak = trainer, spec, peak
        self._began = self._seconds = 0.0
        self._steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Estimate and probe; weights, state and precision are as in a step by now."""
        del args, control, kwargs
        parts, writer = self._trainer.ours, self._trainer.ours.recorder.writer
        self._trainer.take_up_room()
        step = state.global_step
        if step == 0:
            self._estimate()
        found = probe(self._trainer, parts.loader.heaviest(), self._peak)
        rows, length = found.batch_shape
        again = parts.recipe.gradient_accumulation_steps
        detail = {"growth_bytes": found.growth_bytes, "rows": rows, "length": length}
        writer.fit("probe", step, found.peak_bytes, found.seconds * again, detail)

    def _estimate(self) -> None:
        parts, spec = self._trainer.ours, self._spec
        examples = parts.loader.examples
        rate = None if torch.cuda.is_available() else _product_rate()
        expected = estimate(
            parts.recipe, describe(Path(spec.base)), this_machine(), facts_of(examples), rate
        )
        detail = {
            "growth_bytes": expected.tensor_bytes,
            "parts": expected.parts,
            "sure": expected.sure,
            "sure_time": expected.sure_time,
            "total_seconds": expected.total_seconds,
        }
        parts.recorder.writer.fit(
            "estimate", 0, expected.peak_bytes, expected.seconds_per_step, detail
        )

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of a step."""
        del args, state, control, kwargs
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it: evaluations and saves are no part of a step."""
        del args, state, control, kwargs
        self._seconds += time.perf_counter() - self._began
        self._steps += 1

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The true peak, evaluations and sample answers included, and the mean step."""
        del args, control, kwargs
        most = self._peak.most()
        detail = {"growth_bytes": most - self._peak.before, "steps": self._steps}
        seconds = self._seconds / self._steps if self._steps else None
        writer = self._trainer.ours.recorder.writer
        writer.fit("measured", state.global_step, most, seconds, detail)


def _product_rate() -> float:
    """As `speed.product_rate`, by torch: NumPy's library would end a process that is short of
    memory."""
    a = torch.ones(PRODUCT_SIDE, PRODUCT_SIDE)
    best = math.inf
    for _ in range(PRODUCT_TRIES):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * PRODUCT_SIDE**3 / best / torch.get_num_threads()


def facts_of(examples: Sequence[Example]) -> DataFacts:
    """The numbers of the rows that are trained on."""
    every = [sequence for example in examples for sequence in example.sequences]
    lengths = [len(sequence.ids) for sequence in every]
    tokens = sum(lengths)
    trained = sum(int((sequence.labels != IGNORED).sum()) for sequence in every)
    return DataFacts(
        rows=len(examples),
        tokens=tokens,
        longest=max(lengths, default=0),
        mean_length=tokens / max(len(lengths), 1),
        trained_tokens=trained,
    )
