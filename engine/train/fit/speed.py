"""How long a step takes: floating-point operations over what the device does of them.

Method: 4 operations a parameter and token (forward and backward through frozen weights, without
their gradients), as NVIDIA counts LoRA; attention and head are counted beside. Knows peaks of
GPUs, and times a matrix product on the CPU. Does not know memory.
"""

from __future__ import annotations

import functools
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.machine.facts import Gpu, Machine
from engine.train.fit.shape import Shape
from engine.train.recipe import Recipe

if TYPE_CHECKING:
    from engine.train.counted import DataFacts

PEAKS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "GH200": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H800": 989e12,
    "H20": 148e12,
    "A100": 312e12,
    "A800": 312e12,
    "A40": 150e12,
    "A30": 165e12,
    "A10G": 70e12,
    "A10": 125e12,
    "A6000": 155e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "T4": 65e12,
    "V100": 125e12,
    "RTX PRO 6000": 500e12,
    "RTX 6000 Ada": 364e12,
    "5090": 209e12,
    "4090": 165e12,
    "4080": 97e12,
    "4070": 58e12,
    "3090": 71e12,
    "3080": 59e12,
}
"""Dense bfloat16 (float16 where there is none) operations a second, summed up in float32, by words
of the name; from NVIDIA's data sheets, those with sparsity halved."""
_UNKNOWN_PEAK = 60e12
_SHARE_DENSE, _SHARE_NF4 = 0.30, 0.22
_FLOAT32_SHARE = 0.25
"""Arithmetic in float32 (TF32 off) against bfloat16 on a GPU."""
_RECOMPUTED = 1.3
PRODUCT_SIDE, PRODUCT_TRIES = 256, 12
_LAUNCH_SECONDS, _LAUNCHES_PER_LAYER = 7e-6, 406
"""A forward, backward and optimizer step of one layer with seven adapters, counted."""
_CPU_BF16, _CPU_BF16_PARAMETERS = 4.3, 100_000_000
"""How much faster a CPU with bfloat16 arithmetic is in it, from so many parameters on."""
_CPU_SHARE, _CPU_SHARE_NF4 = 0.30, 0.25
"""What a training step reaches of a plain product's speed."""
_CPU_CALL_SECONDS = 12e-6
"""A dispatched operation on a CPU, whatever its size."""
_GROUPED_FULL, _RANDOM_FULL, _PACKED_FULL = 0.97, 0.5, 0.98
"""Share of a batch that is no padding."""


@dataclass(frozen=True, slots=True)
class Time:
    """Optimizer steps, real tokens and seconds of one, plus or minus a share."""

    steps: int
    tokens: float
    seconds: float
    sure: float


def predict(
    recipe: Recipe, shape: Shape, machine: Machine, data: DataFacts, rate: float | None = None
) -> Time:
    """Seconds of a mean step, and how many there will be."""
    batch, again = recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps
    if recipe.method == "dpo":
        batch *= 2  # A pair has two sequences.
    length = data.mean_length or float(data.longest) or 1.0
    if recipe.packing is True:
        tokens = batch * again * (recipe.max_length or length) * _PACKED_FULL
        full = _PACKED_FULL
    else:
        grouped = recipe.train_sampling_strategy == "group_by_length"
        even = batch == 1 or data.longest <= 1.1 * length
        full = 1.0 if even else _GROUPED_FULL if grouped else _RANDOM_FULL
        tokens = batch * again * min(length, recipe.max_length or length)
    operations = tokens / full * flops_per_token(recipe, shape, data)
    floor = again * shape.layers * _LAUNCHES_PER_LAYER
    if machine.device == "cuda":
        seconds = max(operations / _gpu_rate(recipe, machine.gpus[0]), floor * _LAUNCH_SECONDS)
    else:
        seconds = operations / _cpu_rate(recipe, shape, machine, rate) + floor * _CPU_CALL_SECONDS
    return Time(steps_of(recipe, data, tokens, seconds), tokens, seconds, 0.5)


def flops_per_token(recipe: Recipe, shape: Shape, data: DataFacts) -> float:
    """Floating-point operations for each token of a batch."""
    length = min(data.mean_length or data.longest, recipe.max_length or math.inf)
    attention = 6 * shape.queries * length * shape.layers
    if recipe.packing is True and not _skips(recipe):
        attention *= max((recipe.max_length or length) / max(length, 1), 1)
    body = 4 * shape.linear_parameters + attention
    if recipe.gradient_checkpointing is True:
        body *= _RECOMPUTED
    scored = 1.0
    if data.tokens:
        scored = min(data.trained_tokens / data.tokens, 1.0)
    body *= 1 + 0.5 * _looks(recipe)
    # Logits, again in the backward pass, and their gradient.
    return body + 6 * shape.vocabulary * shape.hidden * scored


def _looks(recipe: Recipe) -> int:
    """Forward passes without gradients beside the one that is trained: the reference's, and of
    KTO both models' on mismatched pairs."""
    if recipe.method == "kto":
        return 3 if recipe.loss_type in ("auto", "kto") else 1
    return 1 if recipe.method == "dpo" else 0


def steps_of(recipe: Recipe, data: DataFacts, tokens: float, seconds: float) -> int:
    """Optimizer steps to expect."""
    if recipe.max_steps > 0:
        steps = float(recipe.max_steps)
    elif recipe.max_tokens:
        steps = recipe.max_tokens / tokens
    elif recipe.packing is True:
        steps = math.ceil(data.tokens / tokens) * recipe.num_train_epochs
    else:
        rows = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
        steps = math.ceil(data.rows / rows) * recipe.num_train_epochs
    if recipe.max_minutes:
        steps = min(steps, recipe.max_minutes * 60 / seconds)
    return max(1, math.ceil(steps))


def peak_of(gpu: Gpu) -> float | None:
    """Dense operations a second of a GPU in bfloat16.

    None for one that is not known, for a part of one (MIG) and for a laptop's: they go by the name
    of a larger one.
    """
    if {"MIG", "Laptop"} & set(gpu.name.split()):
        return None
    spaced = f" {gpu.name.replace('-', ' ')} "
    return next((PEAKS[name] for name in PEAKS if f" {name} " in spaced), None)


def _gpu_rate(recipe: Recipe, gpu: Gpu) -> float:
    share = _SHARE_NF4 if recipe.load_in_4bit is True else _SHARE_DENSE
    if recipe.dtype != "bfloat16":
        share *= _FLOAT32_SHARE
    return (peak_of(gpu) or _UNKNOWN_PEAK) * share


def _cpu_rate(recipe: Recipe, shape: Shape, machine: Machine, rate: float | None) -> float:
    share = _CPU_SHARE_NF4 if recipe.load_in_4bit is True else _CPU_SHARE
    large = shape.parameters >= _CPU_BF16_PARAMETERS
    half = recipe.dtype == "bfloat16" and machine.cpu_bf16
    faster = _CPU_BF16 if half and large else 1.0
    threads = min(recipe.threads or machine.cores, machine.cores)
    return (rate or product_rate()) * threads * share * faster


@functools.cache
def product_rate() -> float:
    """Operations a second and thread of a float32 matrix product, timed once."""
    side = PRODUCT_SIDE
    import numpy as np  # a window that only looks at runs does not wait for it

    a = np.ones((side, side), np.float32)
    best = math.inf
    for _ in range(PRODUCT_TRIES):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best / _product_threads()


def _product_threads() -> int:
    """Threads that numpy's product uses."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return int(value)
    return os.cpu_count() or 1


def _skips(recipe: Recipe) -> bool:
    """Whether attention does not look across packed rows."""
    return "flash" in recipe.attn_implementation or "varlen" in recipe.attn_implementation
