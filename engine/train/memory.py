"""How much memory a run needs at its peak, roughly and from above.

Knows sizes of weights, adapters and activations. Does not know time, and measures nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.machine.facts import Machine
from engine.models.folder import ModelFolder
from engine.train.recipe import Recipe, patterned
from engine.train.shapes import linear_layers, targeted

if TYPE_CHECKING:
    from engine.train.choosing import DataFacts

_GPU_SHARE, _CPU_SHARE = 0.92, 0.8
"""Of all memory, what a run may plan with: the driver, other programs and fragments need theirs."""
_NF4_BYTES = 0.53
_STATE_BYTES = 16
"""Weight, gradient and two moments of a trained parameter, each float32."""
_KEPT = 17
"""Values of the width of the model that a layer keeps for the backward pass, MLP included."""
_OVERHEAD_GPU, _OVERHEAD_CPU = 1 << 30, 1 << 28
_HEAD_TOKENS = 4096
"""Positions whose logits exist at a time: the loss is computed in tiles."""


def budget(machine: Machine) -> int:
    """Bytes that a run may plan with on its device."""
    if machine.device == "cuda":
        return int(machine.gpus[0].memory * _GPU_SHARE)
    return int(machine.memory * _CPU_SHARE)


def fits(size: int, room: int) -> bool:
    """Whether a run of that size may be started."""
    return size <= room


def gigabytes(size: int) -> str:
    """`9.4 GB`, or MB below one."""
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.0f} MB"


def adapter_parameters(recipe: Recipe, layers: Mapping[str, tuple[int, int]]) -> int:
    """Elements that are trained: r * (in + out) a layer, DoRA's magnitudes included."""
    ranks = patterned(recipe.rank_pattern)
    count = 0
    for name in targeted(dict(layers), recipe.target_modules):
        rows, columns = layers[name]
        rank = next(
            (int(n) for p, n in ranks.items() if re.match(rf"(.*\.)?({p})$", name)), recipe.r
        )
        count += rank * (rows + columns) + (rows if recipe.use_dora else 0)
    return count


def peak_bytes(recipe: Recipe, model: ModelFolder, machine: Machine, data: DataFacts) -> int:
    """Weights, trained state, activations of the longest batch, and the tiles of the loss."""
    layers = linear_layers(model.path)
    width = 2 if recipe.dtype == "bfloat16" else 4
    linear = sum(math.prod(shape) for shape in layers.values())
    dense = max(model.parameters - linear, 0) * width
    held = linear * (_NF4_BYTES if recipe.load_in_4bit is True else width)
    state = adapter_parameters(recipe, layers) * (
        10 if recipe.optim.endswith("8bit") else _STATE_BYTES
    )
    length = min(data.longest, recipe.max_length) if not recipe.packing else recipe.max_length
    tokens = recipe.per_device_train_batch_size * length
    layer = tokens * model.hidden * _KEPT * width
    kept = layer * model.layers
    if recipe.gradient_checkpointing is True:
        kept = layer + tokens * model.hidden * width * model.layers
    head = min(tokens, _HEAD_TOKENS) * model.vocabulary * 4
    overhead = _OVERHEAD_GPU if machine.device == "cuda" else _OVERHEAD_CPU
    return int(dense + held + state + kept + head + overhead)
