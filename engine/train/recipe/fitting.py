"""What a machine, a model or the data at hand cannot bear of a recipe.

Knows the facts of all three, and nothing of torch. Every refusal names the key and the way out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from engine.machine.facts import Machine
from engine.train.recipe.checking import patterned
from engine.train.recipe.fields import Recipe
from engine.train.shapes import targeted
from store.errors import BadInput, Unsupported

BF16_CAPABILITY = (8, 0)
"""From this compute capability on, an NVIDIA device computes in bfloat16."""

_ON_GPU_ONLY = ("flash_attention", "kernels-community/")


def refuse_for_machine(recipe: Recipe, machine: Machine) -> None:
    """Refuse what needs a device that is not there.

    Raises:
        Unsupported: naming key and way out.
    """
    if machine.device != "cuda":
        _refuse_on_cpu(recipe, machine)
        return
    gpu = machine.gpus[0]
    if recipe.dtype == "bfloat16" and gpu.capability < BF16_CAPABILITY:
        raise Unsupported(
            f"dtype=bfloat16: {gpu.name} cannot compute in it", "Set dtype=auto or dtype=float32."
        )
    flash = recipe.attn_implementation.startswith(_ON_GPU_ONLY)
    if flash and (gpu.capability < BF16_CAPABILITY or recipe.dtype == "float32"):
        why = "dtype=float32" if recipe.dtype == "float32" else gpu.name
        raise Unsupported(
            f"attn_implementation={recipe.attn_implementation}: it cannot work with {why}",
            "Set attn_implementation=sdpa.",
        )
    if recipe.devices > len(machine.gpus):
        raise Unsupported(
            f"devices={recipe.devices}: this machine has {len(machine.gpus)} GPU"
            f"{'s' if len(machine.gpus) > 1 else ''}",
            f"Set devices={len(machine.gpus)}.",
        )


def _refuse_on_cpu(recipe: Recipe, machine: Machine) -> None:
    if recipe.devices > max(machine.cores, 2):
        raise Unsupported(
            f"devices={recipe.devices}: this machine has no GPU, and {machine.cores} cores for "
            "processes that share a run",
            f"Set devices={machine.cores}, or leave it at 1: one process uses every core as well.",
        )
    if recipe.optim.endswith("8bit"):
        raise Unsupported(
            f"optim={recipe.optim}: 8-bit optimizers need a GPU, and this machine has none",
            "Add --set optim=adamw_torch_fused; it computes the same in 32 bits.",
        )
    if recipe.attn_implementation.startswith(_ON_GPU_ONLY):
        raise Unsupported(
            f"attn_implementation={recipe.attn_implementation}: flash attention needs a GPU, and "
            "this machine has none",
            "Set attn_implementation=auto or sdpa.",
        )


def refuse_for_model(recipe: Recipe, layers: Mapping[str, tuple[int, int]]) -> None:
    """Refuse names that are nowhere in the model.

    Args:
        layers: linear layers by name, as `shapes.linear_layers` gives them; empty is unknown.
    Raises:
        BadInput: naming key, nearest name and way out.
    """
    if not layers:
        return
    known = sorted({name.rpartition(".")[2] for name in layers})
    for target in recipe.target_modules:
        if target != "all-linear" and not targeted(dict(layers), [target]):
            raise BadInput(
                f"target_modules: {target}: this model has no such linear layer"
                f"{_nearest(target, known)}",
                f"It has {', '.join(known)}.",
            )
    with_adapter = targeted(dict(layers), recipe.target_modules)
    for key, pairs in (
        ("rank_pattern", recipe.rank_pattern),
        ("alpha_pattern", recipe.alpha_pattern),
    ):
        for pattern in patterned(pairs):
            if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in with_adapter):
                raise BadInput(
                    f"{key}: {pattern}: no layer with an adapter has such a name"
                    f"{_nearest(pattern, known)}",
                    f"Layers with an adapter end in {', '.join(_last_names(with_adapter))}.",
                )


def refuse_for_data(recipe: Recipe, held_out: int) -> None:
    """Refuse to wait for a measurement that never comes.

    Raises:
        BadInput: patience on the held-out loss without held-out rows.
    """
    if recipe.patience and recipe.patience_metric == "eval_loss" and held_out == 0:
        raise BadInput(
            f"patience={recipe.patience}: no row is held out, so eval_loss is never measured",
            "Set test_size=0.1, or patience=0.",
        )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _last_names(names: list[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})
