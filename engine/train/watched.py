"""Evaluating and answering during training (heavy): a mixin for every trainer of ours.

Knows when the schedule wants what, and who writes it down. Does not know how a held-out batch is
measured: that is the trainer's `_measure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from engine.train.batches import Batch, EpochLoader
    from engine.train.trainer import TrainingParts


class Watched:
    """See the module."""

    ours: TrainingParts
    model: Any
    state: Any
    control: Any
    _initial_global_step: int

    def get_train_dataloader(self) -> EpochLoader:
        """Batches as they are: in our order, from our renderer."""
        return self.ours.loader

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out rows, the sample answers and the suites, as far as they are due."""
        parts, step = self.ours, self.state.global_step
        if 0 < step == self._initial_global_step:
            return self._take_up(step)
        values: dict[str, float] = {}
        if parts.eval_batches and parts.schedule.wants_evaluation(step):
            values = self._measure(parts.eval_batches)
            parts.recorder.evaluation(step, values)
        looking = parts.looking
        if looking.has_probes and parts.schedule.wants_probes(step):
            looking.sample(self.model, step)
        if looking.has_suites and parts.schedule.wants_suites(step):
            looking.check(self.model, step)
        if step == 0 and parts.ranks is None:
            parts.control.check()  # Nothing is lost by ending before the first step.
        parts.schedule.evaluated(step, self.control)
        # Else the end of an epoch, or of the run, would do it all once more.
        self.control.should_evaluate = False
        parts.recorder.mark()
        return values

    def _take_up(self, step: int) -> dict[str, float]:
        """Before the first step of a resume: ask the suites that a stop cut short.

        Raises:
            NothingLeft: there is no step to take.
        """
        looking, schedule = self.ours.looking, self.ours.schedule
        if looking.has_suites and schedule.wants_suites(step) and not looking.has_asked(step):
            looking.check(self.model, step)
        schedule.taken_up(step)
        self.ours.recorder.mark()
        return {}

    def _measure(self, batches: list[Batch]) -> dict[str, float]:
        """`eval_loss` and what else the method measures, every token or row weighed alike."""
        raise NotImplementedError

    def mine_of(self, batches: list[Batch]) -> list[Batch]:
        """This process's part of the held-out batches, where several share them."""
        ranks = self.ours.ranks
        return batches if ranks is None else ranks.dealt(batches)

    def over_ranks(self, sums: torch.Tensor) -> torch.Tensor:
        """The sum over all processes that share the held-out batches."""
        ranks = self.ours.ranks
        return sums if ranks is None or ranks.takes_all else ranks.summed(sums)
