"""(heavy) A PEFT LoRA adapter as differences to weights, in 32-bit arithmetic.

Knows adapter_config.json and adapter_model.safetensors: plain LoRA, rsLoRA, rank and alpha
patterns, DoRA (arXiv 2402.09353), LoRA on embeddings, trained rows of tokens, whole modules
trained beside. Does not know models or files to write. What it does not know it refuses: an
ignored part would be a silent loss.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from engine.models.folder import read_json
from store.errors import BadInput, NotFound, Unsupported

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PICKLED = "adapter_model.bin"

_ROOT = "base_model.model."
_HINT = "Export the adapter with --to adapter and merge it with PEFT itself."
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "lora_bias": (False,),
    "use_qalora": (False,),
    "use_bdlora": (None, False),
    "layer_replication": (None,),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None,),
    "arrow_config": (None,),
    "kasa_config": (None,),
    "velora_config": (None,),
    "monteclora_config": (None,),
    "ensure_weight_tying": (False,),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
"""Settings that would change the merge, with the values under which they do not. The initial
weights are among them: PiSSA, OLoRA, CorDA and LoftQ change the base itself."""


@dataclass
class Part:
    """What the adapter holds for one module, as PEFT stored it."""

    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    magnitude: torch.Tensor | None = None
    replacement: torch.Tensor | None = None
    base: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    numbers: tuple[int, ...] = ()
    embedding: bool = False


@dataclass
class Adapter:
    """An adapter's differences, by module name as the base model names it.

    Attributes:
        config: adapter_config.json.
        consumed: the modules that `apply` has been asked for; see `unconsumed`.
    """

    config: Mapping[str, Any]
    _parts: dict[str, Part]
    consumed: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read an adapter folder.

        Raises:
            NotFound: a file is missing. BadInput: a file is broken.
            Unsupported: the adapter holds something that cannot be merged exactly.
        """
        if (folder / PICKLED).is_file() and not (folder / WEIGHTS).is_file():
            raise Unsupported(
                f"{folder}: {PICKLED}: pickled weights can run code and are never opened.",
                "Save the adapter again as safetensors, with PEFT's save_pretrained.",
            )
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise NotFound(f"{folder}: no {name}.", "Name a checkpoint with a whole adapter.")
        config = read_json(folder / CONFIG)
        _check(config, folder / CONFIG)
        try:
            stored = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise BadInput(
                f"{folder / WEIGHTS}: not a whole safetensors file ({error}).",
                "Choose another checkpoint, or resume the run to write a new one.",
            ) from error
        parts: dict[str, Part] = {}
        for name, tensor in stored.items():
            _place(parts, name, tensor.float(), folder / WEIGHTS)
        _number_rows(parts, config, folder / CONFIG)
        for module, part in parts.items():
            _check_part(module, part, config, folder / WEIGHTS)
        return cls(config, parts)

    def renamed(self, rename: Callable[[dict[str, Part]], dict[str, Part]]) -> Adapter:
        """The same with other names for its modules; those that get none are left out."""
        return Adapter(self.config, rename(self._parts))

    @property
    def modules(self) -> frozenset[str]:
        """Names of the modules that the adapter changes."""
        return frozenset(self._parts)

    def part(self, module: str) -> Part:
        """What it holds for one of `modules`."""
        return self._parts[module]

    @property
    def rewritten(self) -> frozenset[str]:
        """Modules that change otherwise than by rows of tokens, which a tied head shares."""
        return frozenset(name for name, part in self._parts.items() if part.rows is None)

    @property
    def unconsumed(self) -> list[str]:
        """Modules that nobody asked for: a merge that leaves any is not the trained model."""
        return sorted(self._parts.keys() - self.consumed)

    def apply_rows(self, module: str, piece: torch.Tensor, first: int, total: int) -> torch.Tensor:
        """`apply` to a piece of a weight of `total` rows of which only some are trained, if any.

        Args:
            piece: rows from `first` on.
        """
        part = self._parts.get(module)
        if part is None:
            return piece
        assert part.rows is not None
        self.consumed.add(module)
        if part.rows.shape[1] != piece.shape[1] or max(part.numbers) >= total:
            raise BadInput(
                f"adapter: module {module}: rows up to {max(part.numbers)}, the base has "
                f"{(total, piece.shape[1])}.",
                "Use the base that the adapter was trained on, its added tokens included.",
            )
        numbers = torch.tensor(part.numbers) - first
        here = (numbers >= 0) & (numbers < piece.shape[0])
        rows = part.rows[here].to(piece.device)
        return piece.index_copy(0, numbers[here].to(piece.device), rows)

    def apply(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """The trained weight of `module` from its base `weight` ([out, in], float32)."""
        part = self._parts.get(module)
        if part is None:
            return weight
        self.consumed.add(module)
        if part.replacement is not None:
            return _same_shape(part.replacement, weight, module)
        if part.rows is not None:
            return self.apply_rows(module, weight, 0, weight.shape[0])
        assert part.up is not None and part.down is not None
        if part.base is not None:
            weight = _same_shape(part.base, weight, module)
        up, down = part.up.to(weight.device), part.down.to(weight.device)
        delta = up @ down * scaling(self.config, module, down.shape[0])
        merged = weight + _same_shape(delta.T if part.embedding else delta, weight, module)
        if part.magnitude is None:
            return merged
        norm = torch.linalg.vector_norm(merged, dim=1, keepdim=True)
        factor: torch.Tensor = part.magnitude.to(weight.device).reshape(-1, 1) / norm
        return factor * merged


def scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """PEFT's factor on B·A: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv 2312.03732)."""
    alpha = float(_patterned(config.get("alpha_pattern"), module, config["lora_alpha"]))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _patterned(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of `module`, as PEFT matches it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _check(config: Mapping[str, Any], path: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise Unsupported(
            f"{path}: key peft_type: {config.get('peft_type')!r}; expected LORA.", _HINT
        )
    for key, allowed in _NEUTRAL.items():
        value = config.get(key, allowed[0])
        if value not in allowed:
            raise Unsupported(
                f"{path}: key {key}: {value!r} cannot be merged exactly (expected {allowed[0]!r}).",
                _HINT,
            )


_SUFFIXES = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_embedding_A": "down",
    ".lora_embedding_B": "up",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".token_adapter.trainable_tokens_delta": "rows",
    ".base_layer.weight": "base",  # PEFT saves an adapted embedding beside its adapter
}


def _place(parts: dict[str, Part], name: str, tensor: torch.Tensor, path: Path) -> None:
    """Put one stored tensor where it belongs."""
    bare = name.removeprefix(_ROOT)
    for suffix, slot in _SUFFIXES.items():
        if bare.endswith(suffix):
            part = parts.setdefault(bare.removesuffix(suffix), Part())
            part.embedding = part.embedding or "embedding" in suffix
            setattr(part, slot, tensor)
            return
    if "lora" not in bare and bare.endswith(".weight") and name.startswith(_ROOT):
        parts.setdefault(bare.removesuffix(".weight"), Part()).replacement = tensor
        return
    raise Unsupported(f"{path}: tensor {name} is not known to the merge.", _HINT)


def _number_rows(parts: dict[str, Part], config: Mapping[str, Any], path: Path) -> None:
    """Say of trained rows which they are.

    Raises:
        BadInput: the config names others, or none. Unsupported: it names rows that are not there.
    """
    named = config.get("trainable_token_indices")
    if isinstance(named, list):  # PEFT's short form for the embedding
        named = {"embed_tokens": named}
    stored = {module.rpartition(".")[2] for module, part in parts.items() if part.rows is not None}
    if absent := sorted(set(named or {}) - stored):
        raise Unsupported(
            f"{path}: key trainable_token_indices: {absent[0]}: no such rows in {WEIGHTS}.", _HINT
        )
    for module, part in parts.items():
        if part.rows is None:
            continue
        key = module.rpartition(".")[2]
        numbers = (named or {}).get(key)
        if not isinstance(numbers, list) or len(numbers) != part.rows.shape[0]:
            raise BadInput(
                f"{path}: key trainable_token_indices: {key}: expected {part.rows.shape[0]} ids.",
                "Restore the adapter folder as training wrote it.",
            )
        part.numbers = tuple(map(int, numbers))


def _check_part(module: str, part: Part, config: Mapping[str, Any], path: Path) -> None:
    alone = part.replacement is not None or part.rows is not None
    if alone and part.up is None and part.down is None:
        return
    if part.up is None or part.down is None or part.replacement is not None:
        raise BadInput(
            f"{path}: module {module}: expected lora_A and lora_B, or one whole weight.",
            "Choose another checkpoint, or resume the run to write a new one.",
        )
    rank = int(_patterned(config.get("rank_pattern"), module, config["r"]))
    if part.down.shape[0] != rank or part.up.shape[1] != rank:
        raise BadInput(
            f"{path}: module {module}: rank {part.down.shape[0]}, expected {rank} from {CONFIG}.",
            "Restore the adapter folder as training wrote it.",
        )
    if bool(config.get("use_dora")) != (part.magnitude is not None) or (
        part.magnitude is not None and part.embedding
    ):
        raise Unsupported(f"{path}: module {module}: unexpected DoRA content.", _HINT)


def _same_shape(found: torch.Tensor, weight: torch.Tensor, module: str) -> torch.Tensor:
    if found.shape != weight.shape:
        raise BadInput(
            f"adapter: module {module}: shape {tuple(found.shape)}, the base has "
            f"{tuple(weight.shape)}.",
            "Use the base that the adapter was trained on.",
        )
    return found.to(weight.device)
