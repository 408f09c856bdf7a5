"""The sizes of a base that memory and time follow from, told from its config.json.

Knows the names that decoder-only models of transformers use. Loads no weights; a folder with a
config alone will do. Does not know recipes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.models.folder import ModelFolder, describe, read_json
from engine.train.shapes import linear_layers
from store.errors import BadInput, NotFound

_WEIGHTS = "*.safetensors"
_ALIASES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocab_size": ("vocab_size",),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "n_ctx"),
    "intermediate_size": ("intermediate_size", "n_inner", "ffn_dim"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A base in numbers.

    Attributes:
        linear: module name -> (out, in) of each linear layer, the head left out.
        tied: the head is the embedding.
        parameters: elements in all.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    linear: dict[str, tuple[int, int]]
    parameters: int

    @property
    def queries(self) -> int:
        """Width of all queries of a token."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all keys of a token; its values have the same."""
        return self.kv_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """Elements of the linear layers: what NF4 makes smaller."""
        return sum(math.prod(shape) for shape in self.linear.values())


def folder_of(path: Path) -> ModelFolder:
    """A model folder; one with a config.json alone is taken for what its config promises.

    Raises:
        NotFound: no config.json. BadInput: it lacks a size.
    """
    if any(path.glob(_WEIGHTS)) or not (path / "config.json").is_file():
        return describe(path)
    shape = shape_of(path)
    config = read_json(path / "config.json")
    names = config.get("architectures")
    return ModelFolder(
        path=path,
        architecture=str(names[0]) if isinstance(names, list) and names else "unknown",
        parameters=shape.parameters,
        bytes=2 * shape.parameters,
        vocabulary=shape.vocabulary,
        hidden=shape.hidden,
        layers=shape.layers,
        context=_size(path, _text(config), "max_position_embeddings", 0),
    )


def shape_of(path: Path) -> Shape:
    """Sizes from config.json; layers as the weight files have them, where there are any.

    Raises:
        NotFound: no config.json. BadInput: it lacks a size.
    """
    file = path / "config.json"
    if not file.is_file():
        raise NotFound(f"{path}: no config.json", "Point to a folder with a model's config.")
    config = _text(read_json(file))
    hidden = _size(path, config, "hidden_size")
    heads = _size(path, config, "num_attention_heads")
    shape = Shape(
        hidden=hidden,
        intermediate=_size(path, config, "intermediate_size", 4 * hidden),
        layers=_size(path, config, "num_hidden_layers"),
        heads=heads,
        kv_heads=_number(path, config, "num_key_value_heads", heads),
        head_dim=_number(path, config, "head_dim", hidden // heads),
        vocabulary=_size(path, config, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        linear={},
        parameters=0,
    )
    if any(path.glob(_WEIGHTS)):
        parameters = describe(path).parameters
        return _with(shape, linear_layers(path), parameters)
    linear = _llama_layers(shape)
    tables = shape.vocabulary * hidden * (1 if shape.tied else 2)
    norms = hidden * (2 * shape.layers + 1)
    made = sum(math.prod(sides) for sides in linear.values())
    return _with(shape, linear, made + tables + norms)


def _llama_layers(shape: Shape) -> dict[str, tuple[int, int]]:
    """The linear layers of a Llama, Qwen, Mistral or Gemma of these sizes."""
    hidden, wide, queries, keys = shape.hidden, shape.intermediate, shape.queries, shape.keys
    each = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (wide, hidden),
        "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide),
    }
    return {
        f"model.layers.{layer}.{name}": sides
        for layer in range(shape.layers)
        for name, sides in each.items()
    }


def _with(shape: Shape, linear: dict[str, tuple[int, int]], parameters: int) -> Shape:
    return Shape(
        shape.hidden,
        shape.intermediate,
        shape.layers,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
        shape.vocabulary,
        shape.tied,
        linear,
        parameters,
    )


def _text(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that is about text, in models that also see."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def _size(path: Path, config: dict[str, Any], key: str, absent: int | None = None) -> int:
    """A size under any of its names."""
    name = next((n for n in _ALIASES[key] if config.get(n) is not None), key)
    return _number(path, config, name, absent)


def _number(path: Path, config: dict[str, Any], key: str, absent: int | None) -> int:
    value = config.get(key)
    if value is None and absent is not None:
        return absent
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadInput(
            f"{path / 'config.json'}: key {key}: expected a whole number of at least 1",
            "Copy the file again.",
        )
    return value
