"""Which rows of an optimizer step go to which device: the same rows as on one device, shared.

Knows numbers and the recipe. Does not know processes or tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.train.recipe import PREFERENCE, Recipe
from store.errors import BadInput


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the batches of one device become those of several.

    Attributes:
        whole: every device takes batches of its own, as large as before, and fewer of them; else
            each batch is cut.
        accumulation: forward passes of each device in an optimizer step.
    """

    devices: int
    whole: bool
    accumulation: int


def share(recipe: Recipe) -> Sharing:
    """How to share an optimizer step, so that its rows stay the same.

    Raises:
        BadInput: the rows of a step cannot be shared among so many.
    """
    count, rows = recipe.devices, recipe.per_device_train_batch_size
    passes = recipe.gradient_accumulation_steps
    if recipe.method in PREFERENCE:
        if rows % count:
            raise BadInput(
                f"devices={count}: per_device_train_batch_size={rows} cannot be cut into so many "
                f"equal parts, and method={recipe.method} needs them equal",
                f"Set per_device_train_batch_size={count * max(1, round(rows / count))}.",
            )
        return Sharing(count, whole=False, accumulation=passes)
    if passes % count == 0:
        return Sharing(count, whole=True, accumulation=passes // count)
    if rows >= count:
        return Sharing(count, whole=False, accumulation=passes)
    raise BadInput(
        f"devices={count}: an optimizer step has {passes} batches of {rows} rows, which cannot be "
        "shared among so many",
        f"Set gradient_accumulation_steps={count * -(-passes // count)}, or "
        f"per_device_train_batch_size={count}.",
    )
