"""How many bytes a GGUF file takes in a type: llama.cpp mixes types, and this knows the mixture.

Knows shapes, the quantiser's rules for models that are not mixtures of experts (llama.cpp's
`llama_tensor_get_type`, as of 0c1e57098), and what a vocabulary takes. Reads headers only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from engine.export.safefile import Entry, contents

BLOCKS = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34), "Q4_0": (32, 18),
    "Q5_0": (32, 22), "Q5_1": (32, 24), "IQ4_NL": (32, 18), "Q6_K": (256, 210), "Q5_K": (256, 176),
    "Q4_K": (256, 144), "Q3_K": (256, 110), "Q2_K": (256, 84), "IQ4_XS": (256, 136),
    "IQ3_S": (256, 110), "IQ3_XXS": (256, 98), "IQ2_S": (256, 82), "IQ2_XXS": (256, 66),
}  # fmt: skip
"""Weights of one block, and the bytes they take."""
_PLAIN = {
    "f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q6_k": "Q6_K", "q5_k_m": "Q5_K",
    "q5_k_s": "Q5_K", "q4_k_m": "Q4_K", "q4_k_s": "Q4_K", "q4_0": "Q4_0", "iq4_xs": "IQ4_XS",
    "q3_k_m": "Q3_K", "iq3_m": "IQ3_S", "iq3_xxs": "IQ3_XXS", "q2_k": "Q2_K", "iq2_m": "IQ2_S",
    "iq2_xxs": "IQ2_XXS",
}  # fmt: skip
"""The type of most tensors."""
_NARROW = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What is taken where rows do not divide by 256; IQ4_NL for the others."""
_PARTS = {
    "embed_tokens": "embedding", "lm_head": "head", "v_proj": "v", "qkv_proj": "v", "q_proj": "q",
    "k_proj": "k", "o_proj": "o", "down_proj": "down",
}  # fmt: skip
_LAYER = re.compile(r"\.layers\.(\d+)\.")
_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class _Model:
    """What the rules ask of a model."""

    layers: int
    groups: int
    tied: bool


def gguf_bytes(base: Path, config: Mapping[str, Any], type_name: str, *, tied: bool) -> int:
    """The size of a GGUF file of the model in `base`.

    Args:
        type_name: a name from `types`.
        tied: whether the output head is the embedding, so that it is stored once.
    """
    entries = [e for e in contents(base).values() if not (tied and "lm_head" in e.name)]
    heads = int(config.get("num_attention_heads") or 1)
    groups = heads // int(config.get("num_key_value_heads") or heads)
    layers = 1 + max((layer_of(entry) for entry in entries), default=0)
    model = _Model(layers, groups, tied)
    weights = sum(_aligned(_bytes(entry, type_name, model)) for entry in entries)
    return weights + 80 * len(entries) + vocabulary_bytes(base)


def layer_of(entry: Entry) -> int:
    """The block that a tensor belongs to; 0 for those of none."""
    found = _LAYER.search(entry.name)
    return int(found[1]) if found else 0


def _bytes(entry: Entry, type_name: str, model: _Model) -> int:
    kind = tensor_type(entry, type_name, model)
    weights, size = BLOCKS[kind]
    return prod(entry.shape) // weights * size


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT


def tensor_type(entry: Entry, type_name: str, model: _Model) -> str:
    """The type that a tensor gets in a file of type `type_name`."""
    if len(entry.shape) < 2:
        return "F32"
    words = entry.name.split(".")
    part = _PARTS.get(words[-2] if len(words) > 1 else "", "other")
    columns = entry.shape[-1]
    kind = _PLAIN[type_name]
    if BLOCKS[kind][0] > 1 and type_name != "q8_0":
        kind = _mixed(part, type_name, layer_of(entry), columns, model)
    if columns % BLOCKS[kind][0]:
        kind = _NARROW.get(kind, "IQ4_NL") if BLOCKS[kind][0] > 32 else "F16"
    return "F16" if columns % BLOCKS[kind][0] else kind


def _mixed(part: str, type_name: str, layer: int, columns: int, model: _Model) -> str:
    """The type before it is seen whether rows divide."""
    plain = _PLAIN[type_name]
    if part == "head" or (part == "embedding" and model.tied):
        if columns % BLOCKS[plain][0]:
            return "Q8_0"
        return "Q5_K" if type_name in ("iq2_xxs", "iq2_m", "iq3_xxs") else "Q6_K"
    if part == "embedding":
        return {"iq2_xxs": "Q2_K", "iq2_m": "IQ3_S", "iq3_xxs": "IQ3_S"}.get(type_name, plain)
    early = layer < model.layers // 8
    more = early or layer >= 7 * model.layers // 8 or (layer - model.layers // 8) % 3 == 2
    if type_name in ("iq2_xxs", "iq2_m"):
        return _fitted(part, type_name, early=early, grouped=model.groups >= 4)
    if part == "v":
        return _values(type_name, layer, more=more, model=model)
    if part == "down":
        return {
            "q2_k": "Q3_K",
            "q3_k_m": "Q5_K" if layer < model.layers // 16 else "Q4_K",
            "iq3_m": "Q4_K" if early else plain,
            "q4_k_m": "Q6_K" if more else plain,
            "q5_k_m": "Q6_K" if more else plain,
            "q4_k_s": "Q5_K" if early else plain,
            "iq4_xs": "Q5_K" if early else plain,
        }.get(type_name, plain)
    if part == "o":
        told = {"q2_k": "Q3_K", "iq3_xxs": "IQ3_S", "q3_k_m": "Q4_K", "iq3_m": "Q4_K"}
        return told.get(type_name, plain)
    return "IQ2_S" if part in ("q", "k") and type_name == "iq3_xxs" else plain


def _fitted(part: str, type_name: str, *, early: bool, grouped: bool) -> str:
    """The types of about two bits, which spend more where it is small."""
    better = "IQ3_S" if type_name == "iq2_m" else "Q2_K"
    if part == "v":
        return "Q4_K" if grouped else better
    if part == "down" and early:
        return better
    return "IQ3_S" if part == "o" and type_name == "iq2_m" else _PLAIN[type_name]


def _values(type_name: str, layer: int, *, more: bool, model: _Model) -> str:
    """The projection to values, a small tensor where heads share it."""
    grouped = model.groups >= 4
    plain = _PLAIN[type_name]
    found = {
        "q2_k": "Q4_K" if grouped else "Q3_K",
        "iq3_xxs": "Q4_K" if grouped else plain,
        "iq3_m": "Q4_K",
        "q3_k_m": "Q5_K" if layer < 2 else "Q4_K",
        "iq4_xs": "Q5_K" if grouped else plain,
        "q4_k_m": "Q6_K" if more else plain,
        "q5_k_m": "Q6_K" if more else plain,
        "q4_k_s": "Q5_K" if layer < 4 else plain,
    }.get(type_name, plain)
    # Models of 70 B have eight heads for each of these: more bits cost them next to nothing.
    return "Q5_K" if model.layers == 80 and found in ("Q3_K", "Q4_K") else found


def vocabulary_bytes(base: Path) -> int:
    """What the keys of a file take: tokens with their kinds or scores, merges, the template."""
    file = base / "tokenizer.json"
    stat = file.stat()
    template = base / "chat_template.jinja"
    return _tokenizer_bytes(file, stat.st_size, stat.st_mtime_ns) + (
        template.stat().st_size if template.is_file() else 0
    )


@lru_cache(maxsize=8)
def _tokenizer_bytes(file: Path, size: int, changed: int) -> int:
    del size, changed  # they tell a file from what it was before
    found = json.loads(file.read_text("utf-8"))
    model = found.get("model") or {}
    vocabulary: Iterable[Any] = model.get("vocab") or ()
    tokens = [t[0] if isinstance(t, list) else t for t in vocabulary]
    tokens += [str(token["content"]) for token in found.get("added_tokens") or ()]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or ()]
    texts = sum(len(text.encode()) + 8 for text in (*tokens, *merges))
    return texts + 4 * len(tokens)
