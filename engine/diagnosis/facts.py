"""What is known of a run besides its curves: its recipe, its rows, its model.

Knows plain numbers; None is "not known", as of a run that was made elsewhere. Does not know where
they come from (see `reading`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

USUAL_RATES = (1e-4, 3e-4)
"""LoRA rates that guides name for models of 7B parameters (axolotl, Unsloth; tens of times a full
fine-tune's 1e-5)."""

_HIDDEN, _POWER = 2000.0, 0.781
_FACTS = {
    "learning_rate": float,
    "lora_alpha": float,
    "r": int,
    "lora_dropout": float,
    "max_grad_norm": float,
    "weight_decay": float,
    "num_train_epochs": float,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """See the module. Rates are peak rates; rows are those that are trained on.

    Attributes:
        batch: rows of one optimizer step, accumulation included.
        accumulation: forward passes of one optimizer step.
        total_steps: planned optimizer steps; ended: whether no further step will come.
        hidden: width of the base, in features.
        held_out: rows that are evaluated on; 0 where there are none.
        duplicates: held-out rows that say exactly what a training row says.
        trained_tokens, tokens: of one pass, with loss and in all.
        checkpoints: (step, held-out loss) of those that are kept, the loss None if not measured.
        rows_at: the lines of the rows of a step, by step.
        doubts: (step, words) of what the run itself found wrong with its answers, and still does.
    """

    learning_rate: float | None = None
    scheduler: str | None = None
    r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    max_grad_norm: float | None = None
    weight_decay: float | None = None
    num_train_epochs: float | None = None
    batch: int | None = None
    accumulation: int = 1
    method: str = "sft"
    hidden: int | None = None
    rows: int | None = None
    held_out: int | None = None
    duplicates: int | None = None
    trained_tokens: int | None = None
    tokens: int | None = None
    total_steps: int | None = None
    ended: bool = False
    checkpoints: tuple[tuple[int, float | None], ...] = ()
    rows_at: Callable[[int], Sequence[int]] | None = None
    doubts: tuple[tuple[int, str], ...] = ()

    @property
    def suited_rates(self) -> tuple[float, float]:
        """The usual rates, raised for a model that is narrower than those they come from.

        A tenth of them where no adapter's rank is known: it may have been a full fine-tune.

        Source: `get_lr` of tinker-cookbook, (2000 / hidden)^0.781 for Llama shapes and 10 between
        LoRA and a full fine-tune; a wider model than 2,000 keeps the usual rates.
        """
        scale = max((_HIDDEN / self.hidden) ** _POWER, 1.0) if self.hidden else 1.0
        scale *= 1.0 if self.r else 0.1
        return USUAL_RATES[0] * scale, USUAL_RATES[1] * scale

    @property
    def language(self) -> bool:
        """Whether the loss is the mean surprise of a token; a preference's is not."""
        return self.method in ("sft", "text")

    @property
    def epoch_steps(self) -> float | None:
        """Optimizer steps of one pass."""
        return self.rows / self.batch if self.rows and self.batch else None


def of(recipe: Mapping[str, object], **known: object) -> Facts:
    """Facts from the plain values of a recipe and whatever else is known.

    A key that is absent or holds something else than a number is not known.
    """
    found: dict[str, object] = {}
    for name, kind in _FACTS.items():
        value = number(recipe.get(name))
        if value is not None:
            found[name] = kind(value)
    if found.get("learning_rate") == 0.0:
        del found["learning_rate"]  # It is chosen later.
    scheduler, method = recipe.get("lr_scheduler_type"), recipe.get("method")
    found |= {"scheduler": scheduler} if isinstance(scheduler, str) else {}
    found |= {"method": method} if isinstance(method, str) else {}
    size = number(recipe.get("per_device_train_batch_size"))
    times = number(recipe.get("gradient_accumulation_steps")) or 1
    found |= {"batch": max(int(size * times), 1)} if size else {}
    found["accumulation"] = max(int(times), 1)
    return Facts(**{**found, **known})  # type: ignore[arg-type]


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
