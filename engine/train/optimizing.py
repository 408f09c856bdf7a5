"""The optimizer of an adapter where it is not the trainer's own (heavy): LoRA+.

Knows PEFT's grouping of parameters. Does not know schedules, which act on every group alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft.optimizers import create_loraplus_optimizer

if TYPE_CHECKING:
    from engine.train.trainer import TrainingParts


class Optimizing:
    """A trainer whose B matrices learn faster than its A (LoRA+, arXiv 2402.12354)."""

    ours: TrainingParts
    model: Any
    args: Any
    optimizer: Any

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The trainer's own, unless the recipe has a `loraplus_lr_ratio`."""
        ratio = self.ours.recipe.loraplus_lr_ratio
        if not ratio or self.optimizer is not None:
            plain: torch.optim.Optimizer = super().create_optimizer(model)  # type: ignore[misc]
            return plain
        whole = self.model if model is None else model
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args, whole)  # type: ignore[attr-defined]
        made: torch.optim.Optimizer = create_loraplus_optimizer(
            whole,
            kind,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=self.args.weight_decay,
            **settings,
        )
        self.optimizer = made
        return made
