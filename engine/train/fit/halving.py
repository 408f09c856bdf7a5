"""Going on when memory runs out (heavy): half the batch, twice as often, the same mathematics.

A mixin for every trainer of ours. A batch of the loader stays what it is, and so do the rows of
an optimizer step, their order and the steps of an epoch; only how many rows are in the device at
once changes. The step in which memory ran out is taken again from its first batch, with the
random state it began with, so no step is lost and nothing is loaded again.

Knows micro-batches and gradients. Does not know how a batch is cut where rows belong together:
that is the trainer's `pieces_of`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from engine.train.fit import room
from engine.train.fit.room import Room, is_out_of_memory
from engine.train.randomness import RandomState
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.train.trainer import TrainingParts

Inputs = dict[str, Any]


class NoRoom(WorkbenchError):
    """A single row does not fit into memory."""


class Halving:
    """See the module."""

    ours: TrainingParts
    model: Any
    args: Any
    state: Any
    room = Room()
    _taken: list[Inputs]
    _begin: RandomState | None = None

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of the next optimizer step, and a note of how it begins."""
        found = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        self.begin_step()
        return found

    def begin_step(self) -> None:
        """Note what is needed to take a step again from its start."""
        self._taken = []
        self._begin = None

    def training_step(self, model: Any, inputs: Inputs, num_items_in_batch: Any = None) -> Any:
        """One batch of the loader forward and backward, in as many pieces as memory wants.

        Raises:
            NoRoom: not even one row fits.
        """
        if self._begin is None:
            self._begin = RandomState.now()
        self._taken.append(inputs)
        again = [inputs]
        while True:
            try:
                for batch in again:
                    loss = self._in_pieces(model, batch, num_items_in_batch)
                return loss
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.args.world_size > 1:
                    raise
                said = _first_line(error)
            # Here the failed call's tensors are gone, with the traceback that held them.
            self.make_room(said, max(self.rows_of(batch) for batch in self._taken))
            again = self._taken
            self._start_over()

    def added_up(self, work: Callable[[Inputs], torch.Tensor], batch: Inputs) -> torch.Tensor:
        """The sum of `work` over a batch, without gradients, in as many pieces as memory wants.

        Raises:
            NoRoom: not even one row fits.
        """
        while True:
            try:
                parts = [work(piece) for piece, _ in self.pieces_of(batch, self.room.pieces)]
                return torch.stack(parts).sum(0)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.args.world_size > 1:
                    raise
                said = _first_line(error)
            self.make_room(said, self.rows_of(batch))

    def _in_pieces(self, model: Any, inputs: Inputs, items: Any) -> Any:
        """The loss of one batch: the sum over its pieces, each weighted as in the whole."""
        total = None
        for piece, weight in self.pieces_of(inputs, self.room.pieces):
            loss = super().training_step(model, piece, items)  # type: ignore[misc]
            loss = loss if weight is None else loss * weight
            total = loss if total is None else total + loss
        return total

    def pieces_of(self, inputs: Inputs, pieces: int) -> Iterator[tuple[Inputs, float | None]]:
        """A batch in so many pieces, or fewer where it has not the rows.

        The weight of a piece in the loss is None where the loss is normalised by the step's items.
        """
        rows = self.rows_of(inputs)
        each = -(-rows // pieces)
        for start in range(0, rows, each):
            yield {name: value[start : start + each] for name, value in inputs.items()}, None

    def rows_of(self, inputs: Inputs) -> int:
        """What can be halved at most so often."""
        return len(inputs["input_ids"])

    def make_room(self, said: str, rows: int) -> None:
        """Take half as much at once from here on; then recompute; then give up.

        Args:
            said: by the allocator. rows: in the largest batch.
        """
        free_memory()
        step, pieces = self.state.global_step + 1, self.room.pieces
        if pieces < rows:
            self.room = Room(pieces * 2, self.room.recompute)
            now = -(-rows // self.room.pieces)
            what = f"{now} of {rows} rows at a time from here on, {self.room.pieces} times a batch"
        elif not (self.room.recompute or self.args.activation_checkpointing):
            self.room = Room(pieces, True)
            self.recompute()
            what = "activations are recomputed from here on, which is slower"
        else:
            raise NoRoom(
                f"out of memory at step {step} with one row at a time: {said}",
                "Lower max_length, set load_in_4bit=true, or take a smaller base or a larger GPU.",
            )
        text = f"out of memory at step {step}: {what}; the mathematics stays the same ({said})"
        self.ours.recorder.writer.event("memory", text, "warn", step)
        with contextlib.suppress(OSError):  # A full disk: a resume will find out again.
            room.write(self.ours.recorder.run_dir, self.room)

    def recompute(self) -> None:
        """Keep the inputs of layers alone from here on."""
        self.model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )

    def take_up_room(self) -> None:
        """Go on with what an earlier process of this run found."""
        self.begin_step()
        self.room = room.read(self.ours.recorder.run_dir)
        if self.room.recompute and not self.args.activation_checkpointing:
            self.recompute()
        if self.room != Room():
            more = ", activations recomputed" if self.room.recompute else ""
            text = f"memory ran out before: each batch is taken in {self.room.pieces} pieces{more}"
            self.ours.recorder.writer.event("memory", text)

    def _start_over(self) -> None:
        """Forget what the step has done so far."""
        assert self._begin is not None
        self._begin.restore()
        self.model.zero_grad()
        self.forget_step()

    def forget_step(self) -> None:
        """Forget what was counted in this step, beyond gradients."""


def free_memory() -> None:
    """Give back what nothing uses, to the device or to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
