"""The measures of a model as config.json gives them: heads, their width, blocks.

Knows the keys that all families share. Does not know families.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.errors import BadInput

Config = Mapping[str, Any]


def heads(config: Config) -> tuple[int, int]:
    """Query heads and key/value heads."""
    query = whole(config, "num_attention_heads")
    return query, int(config.get("num_key_value_heads") or query)


def head_dim(config: Config) -> int:
    """Width of one attention head."""
    explicit = config.get("head_dim")
    return int(explicit) if explicit else whole(config, "hidden_size") // heads(config)[0]


def layers(config: Config) -> int:
    """Number of blocks."""
    return whole(config, "num_hidden_layers")


def whole(config: Config, key: str) -> int:
    """A setting that no model can do without.

    Raises:
        BadInput: it is missing or not a positive whole number.
    """
    value = config.get(key)
    if not isinstance(value, int) or value <= 0:
        raise wrong(key, "a positive whole number", value)
    return value


def wrong(key: str, expected: str, value: object) -> BadInput:
    """A setting that is missing or has a wrong type."""
    return BadInput(
        f"config.json: key {key}: expected {expected}, found {value!r}.",
        "Restore config.json as the model's author published it.",
    )
