"""The learning rate to begin with, before anything was tried.

Knows a formula that was fitted to sweeps over many models, and what the starter likes best. Does
not know the data: a sweep of three rates around the prior finds more than any formula.

Source: `get_lr` of tinker-cookbook (Apache-2.0), after "LoRA Without Regret" (Thinking Machines,
2025): 5e-5 * 10 * (2000 / hidden) ** e, where 10 is what LoRA wants above a full fine-tune and e
was fitted per family. It holds for every rank at lora_alpha 32 with the scale alpha / r. For the
starter, far narrower than any model of that fit, it says 2.5e-3; of 3e-4, 1e-3, 3e-3, 1e-2 and
3e-2 the third ended lowest on both shipped training sets (rank 16, 100 steps of 8 rows).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.folder import ModelFolder
from engine.train.recipe.fields import PREFERENCE, Recipe

_FULL, _LORA, _HIDDEN = 5e-5, 10.0, 2000.0
_EXPONENTS = {"Llama": 0.781, "Qwen": 0.0775}
_MIDDLE = 3e-4
"""The rate that, tried alone on 35 models of the same sweeps, was within 1 % of the best loss in
nine of ten."""

_ALPHA = 32


@dataclass(frozen=True, slots=True)
class Prior:
    """A rate with its reason. `calibrated`: a measurement on such a model stands behind it."""

    rate: float
    reason: str
    calibrated: bool


def learning_rate(model: ModelFolder, recipe: Recipe) -> Prior:
    """The rate for a model's family and size, and for what the recipe does differently."""
    family = next((name for name in _EXPONENTS if model.architecture.startswith(name)), None)
    if family is None or not model.hidden:
        rate, calibrated = _MIDDLE, False
        said = [f"not calibrated for {model.architecture}: the middle of what LoRA usually wants"]
    else:
        rate = _FULL * _LORA * (_HIDDEN / model.hidden) ** _EXPONENTS[family]
        calibrated = True
        said = [f"prior for {family} models {model.hidden} wide, at any rank"]
    if recipe.method in PREFERENCE:
        rate, calibrated = rate / 10, False
        said.append(f"a tenth of it for {recipe.method}, not calibrated")
    if recipe.loraplus_lr_ratio:
        rate, calibrated = rate / 2, False
        said.append("half of it for LoRA+, not calibrated")
    if recipe.use_rslora:
        rate, calibrated = rate / max(recipe.r, 1) ** 0.5, False
        said.append(f"less by sqrt(r={recipe.r}) for use_rslora, not calibrated")
    if recipe.lora_alpha != _ALPHA and calibrated:
        calibrated = False
        said.append(f"calibrated at lora_alpha={_ALPHA}, not at {recipe.lora_alpha}")
    return Prior(float(f"{rate:.2g}"), "; ".join(said), calibrated)
