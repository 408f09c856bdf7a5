"""Writing a step down without making the device wait (heavy): a mixin for every trainer of ours.

On a GPU batches come from pinned memory while the last step is still computed, and the numbers of
a step go there while the next one is; they are written when they have arrived, one step later.
Before an evaluation, a save or the end everything is written. On a CPU they are there at once, and
written at once.

Knows the trainer's hooks and the recorder. Does not know what the numbers mean.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from engine.train.trainer import TrainingParts


@dataclass(slots=True)
class _Noted:
    """A step whose numbers are on their way: loss, gradient norm, then the counts."""

    step: int
    epoch: float
    rate: float
    values: torch.Tensor
    arrived: Any  # A torch.cuda.Event, whose methods have no types.
    others: dict[str, float]
    memory: int | None


class Telling:
    """See the module."""

    ours: TrainingParts
    state: Any
    control: Any
    args: Any
    accelerator: Any
    _globalstep_last_logged: int
    _noted: deque[_Noted] | None = None
    _seen = 0.0

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - the hook's signature
        """Not counted: it walks every parameter at every step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Nothing: steps are written by `_maybe_log_save_evaluate`, and no history is kept."""

    def _prepare_input(self, data: Any) -> Any:
        """To the device; from pinned memory without waiting for what it still does."""
        if isinstance(data, torch.Tensor) and data.is_pinned():
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)  # type: ignore[misc]

    def _get_num_items_in_batch(self, batches: Any, device: torch.device) -> Any:
        """Counted where the batches are, then brought over like them."""
        if device.type != "cuda" or self.args.world_size > 1:
            return super()._get_num_items_in_batch(batches, device)  # type: ignore[misc]
        items = super()._get_num_items_in_batch(batches, torch.device("cpu"))  # type: ignore[misc]
        if isinstance(items, torch.Tensor):
            return items.pin_memory().to(device, non_blocking=True)
        return items

    def counts(self) -> torch.Tensor | None:
        """What a trainer counts on the device, in the order of `scoring.COUNTS`."""
        return None

    def _maybe_log_save_evaluate(
        self, tr_loss: torch.Tensor, grad_norm: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Note this step; write what has arrived; then evaluate and save as ever."""
        if self.control.should_log and self.state.global_step > self._globalstep_last_logged:
            self._note(tr_loss, grad_norm, kwargs["learning_rate"])
            self._globalstep_last_logged = self.state.global_step
            self.control.should_log = False
            self._write(everything=self._must_write())
            self.ours.schedule.recorded(self.state.global_step, self.control)
            if self._must_write():  # That step may have been the last.
                self._write(everything=True)
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)  # type: ignore[misc]

    def _must_write(self) -> bool:
        control = self.control
        return bool(control.should_evaluate or control.should_save or control.should_training_stop)

    def _note(self, tr_loss: torch.Tensor, grad_norm: Any, rate: float) -> None:
        """Start the way of this step's numbers to the host."""
        norm = torch.as_tensor(0.0 if grad_norm is None else grad_norm, device=tr_loss.device)
        parts = [torch.stack([tr_loss.detach().double(), norm.detach().double()])]
        counts = self.counts()
        if counts is not None:
            parts.append(counts)
        values = torch.cat(parts)
        if self.args.world_size > 1:
            values = self.accelerator.reduce(values, reduction="sum")
            values[:2] /= self.args.world_size
        tr_loss -= tr_loss  # The trainer adds the next step's to it.
        arrived: Any = None
        memory = None
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
            memory = torch.cuda.max_memory_allocated()
        metrics = self._metrics["train"]  # type: ignore[attr-defined]
        others = {name: sum(v) / len(v) for name, v in metrics.items() if v}
        metrics.clear()
        self._noted = self._noted if self._noted is not None else deque()
        self._noted.append(
            _Noted(self.state.global_step, self.state.epoch, rate, values, arrived, others, memory)
        )

    def _write(self, *, everything: bool) -> None:
        """Write the steps whose numbers are here, and wait for the others where they must be.

        Never more than one step waits: a loss that is no number stops the run a step later.
        """
        while self._noted:
            first = self._noted[0]
            if first.arrived is not None:
                if not everything and len(self._noted) == 1 and not first.arrived.query():
                    return
                first.arrived.synchronize()
            self._noted.popleft()
            self.ours.recorder.step(first.step, first.epoch, self._logs(first), first.memory)

    def _logs(self, noted: _Noted) -> dict[str, float]:
        """A step's numbers under TRL's names."""
        loss, norm, *counts = noted.values.tolist()
        logs = {"loss": loss, "grad_norm": norm, "learning_rate": noted.rate, **noted.others}
        if counts:
            entropy, right, scored, tokens = counts
            self._seen += tokens
            logs["entropy"] = entropy / max(scored, 1.0)
            logs["mean_token_accuracy"] = right / max(scored, 1.0)
            logs["num_tokens"] = self._seen
        return logs
