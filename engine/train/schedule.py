"""When to evaluate, to save and to stop (heavy): the trainer's callback.

Knows steps and the recipe's intervals. Does not know how any of it is done.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from engine.train.control import Control
from engine.train.loading import assert_adapters_float32
from engine.train.recipe import Recipe
from engine.train.recording import Recorder

_EVALUATIONS = 10
_CHECKPOINTS = 4


class Schedule(TrainerCallback):  # type: ignore[misc]
    """Sets the trainer's flags at the end of each step."""

    def __init__(self, recipe: Recipe, recorder: Recorder, control: Control) -> None:
        self._recipe = recipe
        self._recorder = recorder
        self._control = control
        self._total = 0
        self._last_saved = -1

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Announce the length of the run; the weights are loaded by now."""
        del args, control
        assert_adapters_float32(kwargs["model"])
        self._total = state.max_steps
        self._recorder.writer.state("running", step=state.global_step, total_steps=self._total)
        self._recorder.start_at(0.0)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Decide what follows this step."""
        del args, kwargs
        step, last = state.global_step, state.global_step >= self._total
        self._control.poll()
        if self._control.heartbeat_due():
            self._recorder.writer.heartbeat()
        ending = self._control.ending is not None
        control.should_evaluate = self.wants_evaluation(step) or self.wants_probes(step)
        control.should_save = (
            last or ending or self._control.checkpoint or step % self._save_every == 0
        )
        control.should_training_stop = last or ending
        self._control.checkpoint = False
        return control

    def wants_evaluation(self, step: int) -> bool:
        """Whether the held-out loss is due: before the first step, at intervals, at the end."""
        every = self._recipe.eval_steps or max(1, -(-self._total // _EVALUATIONS))
        return step == self._total or step % every == 0

    def wants_probes(self, step: int) -> bool:
        """Whether sample answers are due: likewise, or with every evaluation."""
        every = self._recipe.probe_steps
        if every == 0:
            return self.wants_evaluation(step)
        return step == self._total or step % every == 0

    @property
    def _save_every(self) -> int:
        return self._recipe.save_steps or max(1, -(-self._total // _CHECKPOINTS))
