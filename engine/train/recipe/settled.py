"""What a recipe means where nobody decided what it leaves open.

Knows what runs did before the engine chose. Does not look at model, machine or data.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from engine.train.recipe.checking import LOSSES
from engine.train.recipe.describing import AUTO
from engine.train.recipe.fields import Recipe

_PLAIN: dict[str, Any] = {
    "load_in_4bit": True,
    "packing": False,
    "gradient_checkpointing": False,
    "train_sampling_strategy": "group_by_length",
    "attn_implementation": "sdpa",
    "optim": "adamw_torch_fused",
    "dtype": "float32",
}


def settled(recipe: Recipe) -> Recipe:
    """The recipe without any `auto`: a worker can take each value at its word.

    Recipes written by `choosing` come back unchanged; those of runs from before it existed get
    what such runs did.
    """
    values = asdict(recipe)
    open_ = {name: plain for name, plain in _PLAIN.items() if values[name] == AUTO}
    if recipe.loss_type == AUTO:
        open_["loss_type"] = LOSSES[recipe.method][0]
    return replace(recipe, **open_) if open_ else recipe
