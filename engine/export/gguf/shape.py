"""The measures of a model as config.json gives them: heads, their width, blocks.

Knows the keys that all families share, and how a value is read that anybody may have written. Does
not know families.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from store.errors import BadInput

Config = Mapping[str, Any]

MERGED = "Use --to merged: a folder for transformers and vLLM, which answer like the training."
"""The way out of what llama.cpp cannot compute."""
_MOST = 1 << 30
_MOST_LAYERS = 512
"""What llama.cpp holds (LLAMA_MAX_LAYERS)."""


def heads(config: Config) -> tuple[int, int]:
    """Query heads and key/value heads."""
    query = whole(config, "num_attention_heads")
    return query, whole(config, "num_key_value_heads", query)


def head_dim(config: Config) -> int:
    """Width of one attention head."""
    return whole(config, "head_dim", whole(config, "hidden_size") // heads(config)[0] or None)


def layers(config: Config) -> int:
    """Number of blocks."""
    return whole(config, "num_hidden_layers", most=_MOST_LAYERS)


def whole(config: Config, key: str, usual: int | None = None, *, most: int = _MOST) -> int:
    """A positive whole number; `usual` where it is missing, if there is a usual one.

    Raises:
        BadInput: it is something else, or missing.
    """
    value = config.get(key)
    if value is None and usual is not None:
        return usual
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise wrong(key, f"a positive whole number up to {most}", value)
    return value


def number(config: Config, key: str, usual: float | None = None) -> float:
    """A finite number; `usual` where it is missing, if there is a usual one.

    Raises:
        BadInput: it is something else, or missing.
    """
    value = config.get(key)
    if value is None and usual is not None:
        return usual
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise wrong(key, "a number", value)
    return float(value)


def above_zero(config: Config, key: str, usual: float | None = None) -> float:
    """A `number` that cannot be zero or less."""
    value = number(config, key, usual)
    if not 0 < value < _MOST:
        raise wrong(key, "a number above 0", value)
    return value


def listed(config: Config, key: str, kind: type, count: int) -> list[Any] | None:
    """The first `count` of a list with one value of `kind` for each block, or None.

    Raises:
        BadInput: it is something else, or shorter.
    """
    value = config.get(key)
    if value is None:
        return None
    whole_list = isinstance(value, list) and all(isinstance(item, kind) for item in value)
    if not whole_list or len(value) < count:
        raise wrong(key, f"a list with one {kind.__name__} for each of {count} layers", value)
    return list(value[:count])


def settings(config: Config, key: str) -> dict[str, Any]:
    """A group of settings; none where it is missing.

    Raises:
        BadInput: it is something else.
    """
    value = config.get(key)
    if value is not None and not isinstance(value, dict):
        raise wrong(key, "a group of settings", value)
    return value or {}


def wrong(key: str, expected: str, value: object) -> BadInput:
    """A setting that is missing or has a wrong type."""
    return BadInput(
        f"config.json: key {key}: expected {expected}, found {value!r:.80}.",
        "Restore config.json as the model's author published it.",
    )
