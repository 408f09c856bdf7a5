"""What the engine decides where a recipe leaves it open, each decision with its reason.

Knows recipe, model, machine and the numbers of the data. Pure: it reads the headers of the model's
files, and starts nothing. What the person set is never overruled; it is listed as theirs.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from engine.machine.facts import Machine
from engine.models.folder import ModelFolder
from engine.train.counted import DataFacts
from engine.train.devices.sharing import share
from engine.train.fit.estimate import memory_parts, trained_parameters
from engine.train.fit.shape import shape_of
from engine.train.recipe import AUTO, LOSSES, PREFERENCE, Recipe, Value, validate
from engine.train.recipe.fitting import (
    BF16_CAPABILITY,
    refuse_for_data,
    refuse_for_machine,
    refuse_for_model,
)
from engine.train.recipe.prior import learning_rate
from engine.train.shapes import carries_state, linear_layers
from store.errors import Unsupported

VARLEN = ("flash_attention", "kernels-community/")
"""Attention kernels that skip between packed rows; every other sees a dense mask."""

# A smaller model gains nothing from a further thread and loses much on a busy machine.
_PARAMETERS_PER_THREAD = 8_000_000
# From here on a CPU with bf16 arithmetic is faster in it than in float32.
_BF16_PARAMETERS = 32_000_000
_EVALUATIONS = 12
_CHECKPOINTS = 4
_TIMED_SAVE_STEPS = 100
"""A run that ends by the clock has no last step to divide: it saves this often at least."""
_EIGHT_BIT_STATE = 1 << 30
"""Bytes of Adam's moments from which on a quarter of them is worth an 8-bit optimizer."""
BLOCK = 512
"""Tokens of a block of text where the recipe names no max_length."""
_LONGEST = 1_000_000
_GPU_SHARE, _CPU_SHARE = 0.95, 0.8
"""Of all memory, what a run may plan with: other programs and fragments need theirs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting as it will be, why, and who decided it."""

    key: str
    value: Value
    reason: str
    chosen_by: Literal["engine", "you"] = "engine"

    @property
    def words(self) -> str:
        """One line: `load_in_4bit = false: the base in bfloat16 fits …`."""
        return f"{self.key} = {value_words(self.value)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recipe with nothing left open, and how it came about."""

    recipe: Recipe
    choices: tuple[Choice, ...]


def budget(machine: Machine) -> int:
    """Bytes that a run may plan with on its device."""
    if machine.device == "cuda":
        return int(machine.gpus[0].memory * _GPU_SHARE)
    return int(machine.memory * _CPU_SHARE)


def gigabytes(size: int) -> str:
    """`9.4 GB`, or MB below one."""
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.0f} MB"


def value_words(value: Value) -> str:
    """A value as one types it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def readable(recipe: Recipe, model: ModelFolder) -> Recipe:
    """The recipe with the longest row that the model can hold, for looking at the rows."""
    length = recipe.max_length or (BLOCK if recipe.method == "text" else _LONGEST)
    return replace(recipe, max_length=min(length, model.context) if model.context else length)


def refuse(recipe: Recipe, model: ModelFolder, machine: Machine) -> None:
    """Refuse what can be refused before any row was read.

    Raises:
        WorkbenchError: naming the key and the way out.
    """
    validate(recipe)
    refuse_for_machine(recipe, machine)
    if recipe.devices > 1:
        share(recipe)
    refuse_for_model(recipe, linear_layers(model.path))
    if recipe.packing is True and carries_state(model.path):
        raise Unsupported(
            f"packing=true: {model.path.name} has layers that hand a state from token to token, so "
            "packed rows would see each other",
            "Set packing=auto or packing=false.",
        )


def choose(recipe: Recipe, model: ModelFolder, machine: Machine, data: DataFacts) -> Chosen:
    """Decide everything that the recipe leaves open.

    Raises:
        WorkbenchError: the recipe asks for what model, machine or data cannot give.
    """
    refuse(recipe, model, machine)
    refuse_for_data(recipe, data.held_out)
    making = _Making(recipe, model, machine, data)
    making.loss()
    making.length()
    making.precision()
    making.attention()
    making.memory()
    making.order()
    making.optimizer()
    making.threads()
    making.rate()
    making.intervals()
    refuse_for_machine(making.recipe, machine)
    return Chosen(making.recipe, tuple(making.choices))


class _Making:
    """The recipe while it is being completed, in an order in which each choice knows the last."""

    def __init__(
        self, recipe: Recipe, model: ModelFolder, machine: Machine, data: DataFacts
    ) -> None:
        self.recipe = recipe
        self.choices: list[Choice] = []
        self._asked = asdict(recipe)
        self._model, self._machine, self._data = model, machine, data
        self._on_gpu = machine.device == "cuda"
        self._shape = shape_of(model.path)

    def _open(self, key: str) -> bool:
        value = self._asked[key]
        return value == AUTO or (value == 0 and not isinstance(value, bool))

    def _settle(self, key: str, value: Any, reason: str) -> None:
        """Take the engine's value where the key is open; else list the person's."""
        if self._open(key):
            self.recipe = replace(self.recipe, **{key: value})
            self.choices.append(Choice(key, value, reason))
        else:
            yours = self._asked[key]
            said = (
                "" if yours == value else f"; the engine would take {value_words(value)}: {reason}"
            )
            self.choices.append(Choice(key, yours, f"set in the recipe{said}", "you"))

    def loss(self) -> None:
        usual = LOSSES[self.recipe.method][0]
        self._settle("loss_type", usual, f"the usual one for {self.recipe.method}")

    def length(self) -> None:
        limit, longest = readable(self.recipe, self._model).max_length, self._data.longest
        if self._open("max_length"):
            value = max(min(longest, limit), 8)
            cut = longest > limit
            reason = (
                f"the model's context; the longest row has {longest:,} tokens and is cut"
                if cut
                else "the longest row; nothing is cut"
            )
            if self.recipe.method == "text":
                reason = "documents are cut into blocks of so many tokens, and none is lost"
            self._settle("max_length", value, reason)
            return
        reason = "set in the recipe"
        if limit < self.recipe.max_length:
            reason = f"the model's context; the recipe's {self.recipe.max_length:,} is beyond it"
        if longest > limit:
            reason += f"; the longest row has {longest:,} tokens and is cut"
        self.recipe = replace(self.recipe, max_length=limit)
        by: Literal["engine", "you"] = "you" if reason.startswith("set") else "engine"
        self.choices.append(Choice("max_length", limit, reason, by))

    def precision(self) -> None:
        machine = self._machine
        if self._on_gpu:
            gpu = machine.gpus[0]
            fast = gpu.capability >= BF16_CAPABILITY
            reason = f"{gpu.name} {'computes' if fast else 'does not compute'} in bfloat16"
        elif not machine.cpu_bf16:
            fast, reason = False, "this processor has no bfloat16 arithmetic"
        else:
            fast = self._model.parameters >= _BF16_PARAMETERS
            size = f"{self._model.parameters / 1e6:,.0f}M parameters"
            reason = f"this processor computes in it, and {size} gain by it"
            if not fast:
                reason = f"a model of {size} gains nothing from bfloat16 on a CPU"
        self._settle("dtype", "bfloat16" if fast else "float32", reason)

    def attention(self) -> None:
        flash = (
            self._on_gpu
            and self.recipe.dtype == "bfloat16"
            and self._machine.gpus[0].capability >= BF16_CAPABILITY
        )
        if flash and _installed("flash-attn"):
            self._settle("attn_implementation", "flash_attention_2", "flash-attn is installed")
            return
        why = "torch's own kernels"
        if flash:
            why += "; flash-attn is not installed, which packing would need"
        self._settle("attn_implementation", "sdpa", why)

    def memory(self) -> None:
        """Dense base or NF4, activations kept or recomputed: the first that fits."""
        room = budget(self._machine)
        dense = [False] if self._open("load_in_4bit") else [bool(self._asked["load_in_4bit"])]
        bits = [False, True] if self._open("load_in_4bit") else dense
        keep = self._open("gradient_checkpointing")
        again = [False, True] if keep else [bool(self._asked["gradient_checkpointing"])]
        sizes: dict[tuple[bool, bool], int] = {}
        for in_4bit, recomputed in [(b, a) for b in bits for a in again]:
            tried = replace(
                self.recipe,
                load_in_4bit=in_4bit,
                gradient_checkpointing=recomputed,
                optim="adamw_torch_fused" if self._open("optim") else self.recipe.optim,
                packing=False if self._open("packing") else self.recipe.packing,
            )
            sizes[in_4bit, recomputed] = size = self._peak(tried)
            if size <= room:
                break
        in_4bit, recomputed = next(reversed(sizes))
        need, have = gigabytes(sizes[in_4bit, recomputed]), gigabytes(room)
        over = "" if sizes[in_4bit, recomputed] <= room else (
            "; even so it may not fit: lower per_device_train_batch_size or max_length"
        )  # fmt: skip
        plain = gigabytes(sizes[next(iter(sizes))])
        if in_4bit:
            reason = f"the base in {self.recipe.dtype} would need about {plain} of {have}"
        else:
            reason = f"the base in {self.recipe.dtype} fits: about {need} of {have}"
        self._settle("load_in_4bit", in_4bit, reason + over)
        kept = gigabytes(sizes.get((in_4bit, False), sizes[in_4bit, recomputed]))
        reason = f"keeping activations would need about {kept} of {have}"
        if not recomputed:
            reason = f"activations fit: about {need} of {have}"
        self._settle("gradient_checkpointing", recomputed, reason + over)

    def _peak(self, recipe: Recipe) -> int:
        return sum(memory_parts(recipe, self._shape, self._machine, self._data).values())

    def order(self) -> None:
        """Pack where attention can skip between rows; else keep rows of one length together."""
        recipe, data = self.recipe, self._data
        varlen = self._on_gpu and recipe.attn_implementation.startswith(VARLEN)
        pack = False
        if recipe.method in PREFERENCE:
            reason = f"{recipe.method} compares whole answers"
        elif not self._on_gpu:
            reason = "on a CPU attention over packed rows costs more than padding"
        elif not varlen:
            reason = f"{recipe.attn_implementation} would look at every pair of packed tokens"
        elif carries_state(self._model.path):
            reason = "this model hands a state from token to token, across packed rows as well"
        elif data.mean_length > 0.9 * recipe.max_length:
            reason = "nearly every row is as long as the longest: there is nothing to fill"
        else:
            pack = True
            reason = (
                f"rows of {data.mean_length:,.0f} tokens fill sequences of {recipe.max_length:,}"
            )
        self._settle("packing", pack, reason)
        if self.recipe.packing:
            self._settle("train_sampling_strategy", "random", "packed rows need no sorting")
        else:
            reason = "batches of similar length waste almost no padding"
            self._settle("train_sampling_strategy", "group_by_length", reason)

    def optimizer(self) -> None:
        trained = trained_parameters(self.recipe, self._shape)
        state = 8 * trained
        if self._on_gpu and state >= _EIGHT_BIT_STATE:
            reason = f"Adam's moments would take {gigabytes(state)} in 32 bits"
            self._settle("optim", "adamw_8bit", reason)
            return
        where = f"; its state is only {state / 2**20:,.0f} MB" if self._on_gpu else ""
        self._settle("optim", "adamw_torch_fused", f"one kernel for all parameters{where}")

    def threads(self) -> None:
        inherited = os.environ.get("OMP_NUM_THREADS", "")
        if inherited.isdigit() and int(inherited):
            self._settle("threads", int(inherited), "OMP_NUM_THREADS says so")
            return
        useful = 1 + self._model.parameters // _PARAMETERS_PER_THREAD
        value = min(self._machine.cores, useful)
        every = value == self._machine.cores
        reason = "every core" if every else "a model this small gains nothing from more"
        self._settle("threads", value, reason)

    def rate(self) -> None:
        prior = learning_rate(self._model, self.recipe)
        self._settle("learning_rate", prior.rate, prior.reason)

    def intervals(self) -> None:
        steps = _steps(self.recipe, self._data)
        timed = _TIMED_SAVE_STEPS if self.recipe.max_minutes else steps
        every = max(1, min(-(-steps // _EVALUATIONS), timed))
        reason = f"{_times(-(-steps // every), 'evaluation')} in about {_times(steps, 'step')}"
        if not self._data.held_out:
            reason += "; with nothing held out they give sample answers only"
        self._settle("eval_steps", every, reason)
        every = self.recipe.eval_steps
        # At an evaluation, so that every checkpoint has a loss to be chosen by.
        saves = every * max(1, round(min(steps / _CHECKPOINTS, timed) / every))
        reason = f"{_times(-(-steps // saves), 'checkpoint')} in about {_times(steps, 'step')}"
        if self.recipe.max_minutes:
            reason = f"a run that ends by the clock saves about every {_TIMED_SAVE_STEPS} steps"
        self._settle("save_steps", saves, reason)


def _steps(recipe: Recipe, data: DataFacts) -> int:
    """Optimizer steps to expect, a stop by the clock or by patience not counted."""
    batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    if recipe.max_steps > 0:
        return recipe.max_steps
    if recipe.packing:
        tokens = recipe.max_tokens or data.tokens * recipe.num_train_epochs
        return max(1, math.ceil(tokens / (recipe.max_length * batch)))
    if recipe.max_tokens:
        return max(1, math.ceil(recipe.max_tokens / max(data.mean_length * batch, 1)))
    return max(1, math.ceil(math.ceil(data.rows / batch) * recipe.num_train_epochs))


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _installed(package: str) -> bool:
    """Whether the very package is, and not another of its family in the same folder."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
