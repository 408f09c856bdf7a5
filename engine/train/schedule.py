"""When to evaluate, to save and to stop (heavy): the trainer's callback.

Knows steps, the recipe's intervals and its limits. Does not know how any of it is done.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from engine.train import stopping
from engine.train.control import Control
from engine.train.loading import assert_adapters_float32
from engine.train.recipe import Recipe
from engine.train.recording import Recorder

_EVALUATIONS = 12
_CHECKPOINTS = 4


class NothingLeft(Exception):
    """Raised before a step that would be one too many."""


class Schedule(TrainerCallback):  # type: ignore[misc]
    """Sets the trainer's flags at the end of each step.

    Attributes:
        reason: why the run is over, once it is.
    """

    def __init__(
        self, recipe: Recipe, recorder: Recorder, control: Control, patience_from: int = 0
    ) -> None:
        self.reason: str | None = None
        self._recipe = recipe
        self._recorder = recorder
        self._control = control
        self._patience_from = patience_from
        self._total = 0

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Announce the length of the run; the weights are loaded by now."""
        del args, control
        assert_adapters_float32(kwargs["model"])
        before, self._total = self._total_before(), state.max_steps
        self._recorder.writer.state("running", step=state.global_step, total_steps=self._total)
        self._recorder.start(state.global_step)
        if before is not None and before != self._total and state.global_step:
            self._tell_rate(state.global_step, before, kwargs["lr_scheduler"])

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
        control.should_evaluate = (
            self.wants_evaluation(step) or self.wants_probes(step) or self.wants_suites(step)
        )
        control.should_save = last or ending or self._control.checkpoint or self._wants_save(step)
        control.should_training_stop = last or ending
        if last:
            self.reason = stopping.all_done(self._recipe, self._total)
        self._control.checkpoint = False
        return control

    def recorded(self, step: int, control: TrainerControl) -> None:
        """Stop after a step that used up the tokens or the time; called once it is recorded."""
        if self.reason is None:
            recorder = self._recorder
            why = stopping.out_of_budget(self._recipe, recorder.tokens, recorder.seconds)
            if why is not None:
                self._end(step, why, control)

    def evaluated(self, step: int, control: TrainerControl) -> None:
        """Stop after an evaluation that was one too many; with patience the best is saved.

        One that a stop cut short is made whole at the resume, so the run is saved right there.
        """
        if step and self._control.ending is not None:
            control.should_save = control.should_training_stop = True
        recipe = self._recipe
        if not recipe.patience or step == 0 or not self.wants_evaluation(step):
            return
        points = self._recorder.evaluations(recipe.patience_metric)
        why = stopping.out_of_patience(recipe, points, self._patience_from)
        if why is not None and self.reason is None:
            self._end(step, why, control)
        top = stopping.best(points, recipe.patience_metric)
        if top is not None and top[0] == step:
            control.should_save = True

    def taken_up(self, step: int) -> None:
        """End a run that had taken its last step, and was killed before it could say so.

        Raises:
            NothingLeft: `reason` says why.
        """
        self.reason = self.over(step)
        if self.reason is not None:
            raise NothingLeft

    def over(self, step: int) -> str | None:
        """Why no step follows this one, by what was recorded; None where one does."""
        recipe, recorder = self._recipe, self._recorder
        if step >= self._total:
            return stopping.all_done(recipe, self._total)
        why = stopping.out_of_budget(recipe, recorder.tokens, recorder.seconds)
        if why is None and recipe.patience:
            points = recorder.evaluations(recipe.patience_metric)
            why = stopping.out_of_patience(recipe, points, self._patience_from)
        return None if why is None else self._ended(step, why)

    def wants_evaluation(self, step: int) -> bool:
        """Whether the held-out loss is due: before the first step, at intervals, at the end."""
        every = self._recipe.eval_steps or max(1, -(-self._total // _EVALUATIONS))
        return self._over(step) or step % every == 0

    def wants_probes(self, step: int) -> bool:
        """Whether sample answers are due: likewise, or with every evaluation."""
        every = self._recipe.probe_steps
        if every == 0:
            return self.wants_evaluation(step)
        return self._over(step) or step % every == 0

    def wants_suites(self, step: int) -> bool:
        """Whether check suites are due: with every evaluation and every regular checkpoint."""
        checked = bool(self._recipe.suites or self._recipe.retention_suite)
        return checked and (self.wants_evaluation(step) or self._wants_save(step))

    def _over(self, step: int) -> bool:
        return step == self._total or (self.reason is not None and step > 0)

    def _wants_save(self, step: int) -> bool:
        every = self._recipe.save_steps or max(1, -(-self._total // _CHECKPOINTS))
        return step % every == 0

    def _end(self, step: int, why: str, control: TrainerControl) -> None:
        self.reason = self._ended(step, why)
        control.should_evaluate = control.should_save = control.should_training_stop = True

    def _ended(self, step: int, why: str) -> str:
        return f"{why}, at step {step:,} of {self._total:,}"

    def _total_before(self) -> int | None:
        with self._recorder.reader() as run_db:
            state = run_db.state()
        return state.total_steps if state is not None else None

    def _tell_rate(self, step: int, before: int, schedule: Any) -> None:
        """Say what a new length does to the rate."""
        with self._recorder.reader() as run_db:
            known = run_db.exact("learning_rate", 1)
        last = known[-1][1] if known and known[-1][1] is not None else 0.0
        kind = self._recipe.lr_scheduler_type
        self._recorder.writer.event(
            "extended",
            f"from {before:,} to {self._total:,} steps: the rate ({kind}) is laid over the new "
            f"length and goes on from {last:.3g} at step {step:,} to "
            f"{schedule.get_last_lr()[0]:.3g} at step {step + 1:,}",
            step=step,
        )
