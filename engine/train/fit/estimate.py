"""Peak memory, part by part, and time, before anything is loaded.

Knows a recipe with nothing left open, the sizes of a base, the machine and the lengths of the
rows. Measures nothing but a small matrix product where the run goes to the CPU (see `speed`).

The counts of activations are those of the installed transformers and PEFT: what their backward
pass keeps was listed, tensor by tensor, and a test lists it again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.machine.facts import Machine
from engine.models.folder import ModelFolder
from engine.train.fit import speed
from engine.train.fit.shape import Shape, shape_of
from engine.train.recipe import Recipe, patterned
from engine.train.shapes import targeted

if TYPE_CHECKING:
    from engine.train.counted import DataFacts

NF4_BYTES = 0.5 + 4 / 64
"""A weight in 4 bits, and a float32 scale for each block of 64."""
NF4_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Likewise with the scales in 8 bits, and a float32 for each 256 of those."""
HEAD_TOKENS, HEAD_COLUMNS = 4096, 32768
"""The tile in which TRL 1.16's fused head computes logits."""
_TILES_GPU, _TILES_CPU = 1.0, 7.0
"""How many such tiles exist at once: one in Triton's kernel, its temporaries too in torch's."""
_OVERHEAD_GPU = 900 << 20
"""The CUDA context, cuBLAS's workspace and what the allocator cannot reuse."""
_OVERHEAD_CPU = 500 << 20
"""Python with torch, transformers, PEFT and TRL imported."""
_TOUCHED_CPU = 48 << 20
"""Of these libraries, what the first step is the first to touch."""
_FRAGMENTS = 0.03
_SURE_GPU, _SURE_CPU = 0.10, 0.20
DENSE_MASKS = ("sdpa", "flex_attention", "eager")
"""Attention that sees packed rows through a mask of every pair of tokens."""
MULTIPLIED_OUT = 256
"""Tokens of a row up to which a CPU in bfloat16 multiplies attention out: see `attending`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will need.

    Attributes:
        parts: bytes by part at the peak; they sum up to `peak_bytes`.
        peak_bytes: of device memory, or of this process's where the run goes to the CPU.
        sure, sure_time: plus or minus this share.
        steps: optimizer steps to expect; tokens: real ones in a step.
    """

    parts: dict[str, int]
    peak_bytes: int
    sure: float
    steps: int
    tokens: float
    seconds_per_step: float
    total_seconds: float
    tokens_per_second: float
    sure_time: float

    @property
    def tensor_bytes(self) -> int:
        """The peak without the libraries' own share, which is what a probe can measure best."""
        return self.peak_bytes - self.parts["overhead"]


def estimate(
    recipe: Recipe,
    model: ModelFolder,
    machine: Machine,
    data: DataFacts,
    rate: float | None = None,
) -> Estimate:
    """Peak memory and time of a run.

    Args:
        recipe: with nothing left to choose; what is open counts as off, or as its larger value.
        data: of the rows to train on; `longest` and `mean_length` in tokens.
        rate: operations a second and thread of a matrix product on the CPU; None times one.
    Raises:
        WorkbenchError: the model's folder is not what it should be.
    """
    shape = shape_of(model.path)
    parts = memory_parts(recipe, shape, machine, data)
    peak = sum(parts.values())
    time = speed.predict(recipe, shape, machine, data, rate)
    on_gpu = machine.device == "cuda"
    return Estimate(
        parts=parts,
        peak_bytes=peak,
        sure=_SURE_GPU if on_gpu else _SURE_CPU,
        steps=time.steps,
        tokens=time.tokens,
        seconds_per_step=time.seconds,
        total_seconds=time.seconds * time.steps,
        tokens_per_second=time.tokens / time.seconds,
        sure_time=time.sure,
    )


def memory_parts(recipe: Recipe, shape: Shape, machine: Machine, data: DataFacts) -> dict[str, int]:
    """Bytes at the peak, which is the backward pass of the longest batch."""
    on_gpu = machine.device == "cuda"
    width = 2 if recipe.dtype == "bfloat16" else 4
    tokens = batch_tokens(recipe, data)
    ranks = ranks_of(recipe, shape)
    trained = trained_parameters(recipe, shape)
    tensors: dict[str, float] = {
        "weights": _weights(recipe, shape, width),
        "adapters": 4 * trained,
        "gradients": 4 * trained,
        "optimizer": _optimizer(recipe, trained),
        "activations": _activations(recipe, shape, ranks, tokens, width, on_gpu=on_gpu),
        "attention": _workspace(recipe, shape, tokens, width, on_gpu=on_gpu),
        "head": _head(shape, data, tokens, width, on_gpu=on_gpu),
        "libraries": 0 if on_gpu else _TOUCHED_CPU,
    }
    parts = {name: int(size) for name, size in tensors.items()}
    spare = int(_FRAGMENTS * sum(parts.values()))
    parts["overhead"] = (_OVERHEAD_GPU if on_gpu else _OVERHEAD_CPU) + spare
    return parts


def batch_tokens(recipe: Recipe, data: DataFacts) -> int:
    """Tokens of the longest batch, padding included."""
    length = recipe.max_length or data.longest
    if recipe.packing is not True:
        length = min(length, data.longest) or length
    return max(recipe.per_device_train_batch_size * sequences_of(recipe) * length, 1)


def sequences_of(recipe: Recipe) -> int:
    """Sequences of a row: a pair has two."""
    return 2 if recipe.method == "dpo" else 1


def ranks_of(recipe: Recipe, shape: Shape) -> dict[str, int]:
    """Module name -> LoRA rank, of every layer that gets an adapter."""
    patterns = patterned(recipe.rank_pattern)
    found = {}
    for name in targeted(shape.linear, recipe.target_modules):
        own = (int(n) for p, n in patterns.items() if re.match(rf"(.*\.)?({p})$", name))
        found[name] = next(own, recipe.r)
    return found


def trained_parameters(recipe: Recipe, shape: Shape) -> int:
    """Elements that are trained: r * (in + out) a layer; DoRA's magnitudes, added tokens."""
    count = shape.hidden * len(recipe.add_tokens)
    for name, rank in ranks_of(recipe, shape).items():
        rows, columns = shape.linear[name]
        count += rank * (rows + columns) + (rows if recipe.use_dora else 0)
    return count


def _weights(recipe: Recipe, shape: Shape, width: int) -> float:
    linear = shape.linear_parameters
    held: float = width
    if recipe.load_in_4bit is True:
        held = NF4_DOUBLE_BYTES if recipe.bnb_4bit_use_double_quant else NF4_BYTES
    return linear * held + (shape.parameters - linear) * width


def _optimizer(recipe: Recipe, trained: int) -> float:
    """Adam's two moments; in 8 bits with a float32 scale for each block of 256."""
    each = 2 * (1 + 4 / 256) if recipe.optim.endswith("8bit") else 8
    return trained * each


def _activations(
    recipe: Recipe,
    shape: Shape,
    ranks: dict[str, int],
    tokens: int,
    width: int,
    *,
    on_gpu: bool,
) -> float:
    """What the backward pass keeps, of every layer or of one at a time."""
    layer = tokens * layer_bytes(recipe, shape, ranks, width, on_gpu=on_gpu)
    copies = 2 * _adapter_share(shape, ranks) if width == 2 else 0.0
    last = tokens * shape.hidden * (2 * width + 4)
    if recipe.gradient_checkpointing is True:
        inputs = shape.layers * tokens * shape.hidden * width
        return inputs + layer + copies + last
    return shape.layers * layer + copies + last


def _adapter_share(shape: Shape, ranks: dict[str, int]) -> float:
    """Elements of the adapters that autocast copies to bfloat16."""
    return float(sum(rank * sum(shape.linear[name]) for name, rank in ranks.items()))


def layer_bytes(
    recipe: Recipe, shape: Shape, ranks: dict[str, int], width: int, *, on_gpu: bool = False
) -> float:
    """Bytes that one layer keeps for each token of the batch.

    Norms keep their input in float32, attention its operands and output, the MLP its two halves
    and their product's factors. Adapted layers keep their input, which those side by side share;
    with dropout, or where DoRA casts it, each has a copy of its own, and dropout its mask (a byte
    on a GPU).
    """
    hidden, wide = shape.hidden, shape.intermediate
    queries, keys = shape.queries, shape.keys
    kept: float = 2 * 4 * hidden + width * (2 * queries + 2 * keys + 3 * wide) + 4 * shape.heads + 8
    inputs: dict[str, int] = {}
    for name, rank in ranks.items():
        columns = shape.linear[name][1]
        own = recipe.lora_dropout > 0 or (recipe.use_dora and width == 2)
        kept += width * rank / shape.layers
        if own:
            kept += width * columns / shape.layers
        elif not name.endswith("o_proj"):  # That input is attention's output, kept already.
            inputs[_beside(name)] = columns
        if recipe.lora_dropout > 0:
            kept += columns * (1 if on_gpu else width) / shape.layers
        if recipe.use_dora:
            kept += 2 * width * shape.linear[name][0] / shape.layers
    return kept + width * sum(inputs.values()) / shape.layers


def _beside(name: str) -> str:
    """What layers with one and the same input have in common."""
    prefix, _, last = name.rpartition(".")
    return f"{prefix}.{'down' if last == 'down_proj' else 'in'}"


def _workspace(recipe: Recipe, shape: Shape, tokens: int, width: int, *, on_gpu: bool) -> float:
    """Workspace of attention and of the widest layer, and gradients on their way."""
    rows = recipe.per_device_train_batch_size * sequences_of(recipe)
    length = tokens // rows
    moving = tokens * width * (2 * shape.intermediate + 2 * shape.hidden)
    largest = max((math.prod(sides) for sides in shape.linear.values()), default=0)
    dense = largest * width if recipe.load_in_4bit is True else 0
    if recipe.use_dora:
        dense += 2 * 4 * largest
    scores = 0.0
    in_half = width == 2 and not on_gpu and recipe.attn_implementation == "sdpa"
    if recipe.attn_implementation == "eager" or (in_half and length <= MULTIPLIED_OUT):
        layers = 1 if recipe.gradient_checkpointing is True else shape.layers
        # Scores after softmax in float32, and in the width of the model; both are kept.
        scores = rows * shape.heads * length**2 * (4 + width) * layers
    if recipe.packing is True and recipe.attn_implementation in DENSE_MASKS:
        scores += length**2 * rows * (1 + width)
    return moving + dense + scores


def _head(shape: Shape, data: DataFacts, tokens: int, width: int, *, on_gpu: bool) -> float:
    """Tiles of logits, and the gradient of the last hidden state in float32.

    Only positions with a label are computed.
    """
    scored = tokens
    if data.tokens:
        scored = max(1, int(tokens * min(data.trained_tokens / data.tokens, 1.0)))
    tile = min(scored, HEAD_TOKENS) * min(shape.vocabulary, HEAD_COLUMNS)
    tiles = tile * (width * _TILES_GPU if on_gpu else width + 4 * _TILES_CPU)
    columns = 0.0
    if not on_gpu and width == 2:
        columns = 4 * shape.hidden * min(shape.vocabulary, HEAD_COLUMNS)
    return tiles + columns + scored * shape.hidden * (4 + 2 * width)
