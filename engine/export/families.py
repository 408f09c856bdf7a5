"""Which architectures can become a GGUF file, and what each needs on the way.

Knows config.json as Hugging Face writes it (versions 4 and 5) and llama.cpp's keys for it. Does
not know tensors. A new dense family is a new row of `FAMILIES`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import BadInput, Unsupported

Config = Mapping[str, Any]
Key = tuple[str, str, int | float | str]
"""A GGUF key without the architecture's prefix, its type (`u32`, `f32`, `str`) and its value."""

_MERGED = "Use --to merged: a folder for transformers, which other converters read."


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    Attributes:
        architecture: the class name in config.json.
        arch: llama.cpp's name of the same graph.
        permuted: last names of the layers whose rows llama.cpp wants in its own rotary order.
        windowed: whether llama.cpp's graph applies a sliding window.
    """

    architecture: str
    arch: str
    permuted: tuple[str, ...] = ()
    windowed: bool = False


_ROTARY = ("q_proj", "k_proj")

FAMILIES: dict[str, Family] = {
    family.architecture: family
    for family in (
        Family("LlamaForCausalLM", "llama", _ROTARY),
        Family("MistralForCausalLM", "llama", _ROTARY),
    )
}


def architecture(config: Config) -> str:
    """The class name in config.json, or `unknown`."""
    names = config.get("architectures") or ["unknown"]
    return str(names[0])


def family_of(config: Config) -> Family:
    """The row for a model, after checking that llama.cpp's graph computes what the model does.

    Raises:
        Unsupported: unknown architecture, or a setting that llama.cpp would silently ignore.
        BadInput: a needed key is missing or has a wrong type.
    """
    name = architecture(config)
    family = FAMILIES.get(name)
    if family is None:
        raise Unsupported(
            f"architecture {name}: the GGUF converter knows {', '.join(FAMILIES)}.", _MERGED
        )
    _check_window(config, family)
    _check_plain(config, family)
    rope(config)
    return family


def _check_window(config: Config, family: Family) -> None:
    window = config.get("sliding_window")
    if window and not family.windowed and int(window) < _whole(config, "max_position_embeddings"):
        raise Unsupported(
            f"{family.architecture} with sliding_window {window}: llama.cpp ignores the window for "
            f"'{family.arch}' and would answer differently.",
            _MERGED,
        )


def _check_plain(config: Config, family: Family) -> None:
    """Settings that change the computation and that llama.cpp's graph does not have."""
    activation = str(config.get("hidden_act", "silu"))
    if activation not in ("silu", "swish"):
        raise Unsupported(
            f"{family.architecture} with hidden_act {activation}: llama.cpp computes silu.", _MERGED
        )
    if float(config.get("partial_rotary_factor") or 1.0) != 1.0:
        raise Unsupported(
            f"{family.architecture} with partial_rotary_factor: not known to the converter.",
            _MERGED,
        )


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions: `kind` is `default`, `linear` or `llama3`."""

    kind: str
    theta: float
    settings: Mapping[str, Any]


def rope(config: Config) -> Rope:
    """Rotary settings from `rope_parameters` (version 5) or `rope_theta` + `rope_scaling` (4).

    Raises:
        Unsupported: a scaling that llama.cpp would ignore here.
    """
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = settings.get("rope_theta") or config.get("rope_theta") or 10000.0
    kind = str(settings.get("rope_type") or settings.get("type") or "default")
    if kind not in ("default", "linear", "llama3"):
        raise Unsupported(
            f"rope type {kind}: the GGUF converter knows default, linear and llama3.", _MERGED
        )
    if float(settings.get("partial_rotary_factor") or 1.0) != 1.0:
        raise Unsupported("partial_rotary_factor: not known to the GGUF converter.", _MERGED)
    return Rope(kind, float(theta), settings)


def llama3_factors(config: Config) -> list[float]:
    """Divisors of the rotary frequencies, head_dim / 2 of them (Llama 3.1's long-context rule)."""
    found = rope(config)
    factor, low, high, original = (
        float(found.settings[name])
        for name in (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        )
    )
    factors = []
    dim = head_dim(config)
    for i in range(0, dim, 2):
        wavelength = 2 * math.pi * found.theta ** (i / dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def heads(config: Config) -> tuple[int, int]:
    """Query heads and key/value heads."""
    query = _whole(config, "num_attention_heads")
    return query, int(config.get("num_key_value_heads") or query)


def head_dim(config: Config) -> int:
    """Width of one attention head."""
    explicit = config.get("head_dim")
    return int(explicit) if explicit else _whole(config, "hidden_size") // heads(config)[0]


def layers(config: Config) -> int:
    """Number of blocks."""
    return _whole(config, "num_hidden_layers")


def keys(config: Config, rows: int) -> list[Key]:
    """llama.cpp's settings of the graph; `rows` is the number of embedding rows."""
    query, key_value = heads(config)
    found = rope(config)
    listed: list[Key] = [
        ("block_count", "u32", layers(config)),
        ("context_length", "u32", _whole(config, "max_position_embeddings")),
        ("embedding_length", "u32", _whole(config, "hidden_size")),
        ("feed_forward_length", "u32", _whole(config, "intermediate_size")),
        ("attention.head_count", "u32", query),
        ("attention.head_count_kv", "u32", key_value),
        ("attention.layer_norm_rms_epsilon", "f32", float(config.get("rms_norm_eps", 1e-6))),
        ("attention.key_length", "u32", head_dim(config)),
        ("attention.value_length", "u32", head_dim(config)),
        ("rope.dimension_count", "u32", head_dim(config)),
        ("rope.freq_base", "f32", found.theta),
        ("vocab_size", "u32", rows),
    ]
    if found.kind == "linear":
        listed += [
            ("rope.scaling.type", "str", "linear"),
            ("rope.scaling.factor", "f32", float(found.settings["factor"])),
        ]
    return listed


def _whole(config: Config, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value <= 0:
        raise BadInput(
            f"config.json: key {key}: expected a positive whole number, found {value!r}.",
            "Restore config.json as the model's author published it.",
        )
    return value
