"""The linear layers of a base, told from its files: names and shapes.

Knows safetensors headers. Loads no weights, and does not know torch. Whether a two-dimensional
weight is a linear layer cannot be told from a file; embeddings and heads go by their usual names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.models.folder import tensor_shapes, weight_files

_TABLES = ("embed_tokens", "wte", "wpe", "lm_head", "embed_in", "embed_out", "shared")
_STATES = frozenset({"A_log", "conv", "conv1d", "q_conv1d", "time_decay", "w0", "rg_lru"})
"""Names of weights that only such layers have."""


def linear_layers(folder: Path) -> dict[str, tuple[int, int]]:
    """Module name -> (out, in) of each linear layer, heads and embeddings left out.

    Of a folder with a config alone, those that such a config makes.

    Raises:
        WorkbenchError: the folder or a file is not what it should be.
    """
    if not any(folder.glob("*.safetensors")) and (folder / "config.json").is_file():
        from engine.train.fit.shape import shape_of  # It asks here where there are files.

        return shape_of(folder).linear
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for file in weight_files(folder)
        for name, shape in tensor_shapes(file).items()
        if len(shape) == 2 and name.endswith(".weight") and _last(name) not in _TABLES
    }


def carries_state(folder: Path) -> bool:
    """Whether layers hand a state from token to token (Mamba, DeltaNet, RWKV, short convolutions).

    They would hand it across the border of packed rows. False of a folder with a config alone.
    """
    if not any(folder.glob("*.safetensors")):
        return False
    names = (name for file in weight_files(folder) for name in tensor_shapes(file))
    return any(not _STATES.isdisjoint(name.split(".")) for name in names)


def targeted(layers: dict[str, tuple[int, int]], targets: Sequence[str]) -> list[str]:
    """The modules that get an adapter, as PEFT matches names: whole, or after a dot."""
    if list(targets) == ["all-linear"]:
        return list(layers)
    return [n for n in layers if any(n == t or n.endswith(f".{t}") for t in targets)]


def _last(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
