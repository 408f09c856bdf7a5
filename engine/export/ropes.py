"""Rotary positions: what config.json says of them, and how a GGUF file says it.

Knows `rope_parameters` (transformers 5, one set or one for each kind of layer) and `rope_theta`
with `rope_scaling` (version 4). Does not know families or tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.export.shape import Config, whole, wrong
from store.errors import Unsupported

Value = int | float | str | list[bool]
Key = tuple[str, str, Value]
"""A GGUF key without the architecture's prefix, its type (`u32`, `f32`, `str`, `bools`), value."""

PLAIN = frozenset({"default", "linear"})
YARN = PLAIN | {"yarn"}
FACTORS = YARN | {"llama3", "longrope"}
"""Scalings: where a graph takes a factor for all frequencies, YaRN (arXiv 2309.00071) besides, or
a list of factors besides, as Llama 3.1 and LongRoPE (arXiv 2402.13753) have them."""

LAYERS = ("full_attention", "sliding_attention")
_MERGED = "Use --to merged: a folder for transformers, which other converters read."
_BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions of one kind of layer.

    Attributes:
        kind: `default`, `linear`, `yarn`, `llama3` or `longrope`.
        theta: base of the wavelengths. share: the part of a head that rotates, up to 1.
        original: context before it was stretched; limit: the context of the model now.
        settings: the scaling's own settings as config.json has them.
    """

    kind: str
    theta: float
    share: float
    original: int
    limit: int
    settings: Mapping[str, Any]

    def number(self, key: str) -> float:
        """A setting that this kind of scaling cannot do without."""
        value = self.settings.get(key)
        if not isinstance(value, int | float):
            raise wrong(f"rope_parameters: {key}", f"a number for {self.kind}", value)
        return float(value)

    @property
    def factor(self) -> float:
        """How far the context was stretched."""
        found = self.settings.get("factor")
        return float(found) if found else self.limit / self.original

    @property
    def attention(self) -> float:
        """What transformers multiplies sine and cosine with."""
        if (explicit := self.settings.get("attention_factor")) is not None:
            return float(explicit)
        if self.factor <= 1 or self.kind not in ("yarn", "longrope"):
            return 1.0
        if self.kind == "longrope":
            return math.sqrt(1 + math.log(self.factor) / math.log(self.original))
        log = 0.1 * math.log(self.factor)
        over, under = self.settings.get("mscale"), self.settings.get("mscale_all_dim")
        return (over * log + 1) / (under * log + 1) if over and under else log + 1


def ropes(config: Config, *, nested: bool, theta: float, share: float) -> tuple[Rope, Rope]:
    """Rotary positions of full and of sliding layers; the same where a family has one kind.

    Args:
        nested: whether the family may give sliding layers their own.
        theta, share: what the family takes where config.json says nothing.
    """
    found = config.get("rope_parameters") or {}
    settings = dict(config.get("rope_scaling") or {}) | {
        key: value for key, value in found.items() if key not in LAYERS
    }
    common = {
        "rope_theta": config.get("rope_theta") or theta,
        "partial_rotary_factor": config.get("partial_rotary_factor") or share,
    }
    full = _one(config, common | settings | (found.get(LAYERS[0]) or {}))
    if not nested:
        return full, full
    common["rope_theta"] = config.get("rope_local_base_freq") or common["rope_theta"]
    return full, _one(config, common | (found.get(LAYERS[1]) or {}))


def _one(config: Config, settings: Mapping[str, Any]) -> Rope:
    limit = whole(config, "max_position_embeddings")
    kind = str(settings.get("rope_type") or settings.get("type") or "default")
    # Phi-3 keeps the original context beside the settings, and there it goes first.
    original = config.get("original_max_position_embeddings")
    original = original or settings.get("original_max_position_embeddings") or limit
    return Rope(
        "longrope" if kind == "su" else kind,
        float(settings.get("rope_theta") or 10000.0),
        float(settings.get("partial_rotary_factor") or 1.0),
        int(original),
        limit,
        settings,
    )


def check(rope: Rope, known: frozenset[str], what: str) -> None:
    """Refuse what llama.cpp's graph `what` would ignore or compute otherwise.

    Raises:
        Unsupported: such a scaling or setting.
    """
    if rope.kind not in known:
        raise Unsupported(
            f"rope type {rope.kind}: the GGUF converter knows {', '.join(sorted(known))} "
            f"for llama.cpp's {what}.",
            _MERGED,
        )
    if rope.kind == "yarn":
        settings = {key: rope.settings.get(key) or usual for key, usual in _BETAS.items()}
        odd = [key for key, usual in _BETAS.items() if float(settings[key]) != usual]
        odd += ["truncate"] if rope.settings.get("truncate") is False else []
        if odd:
            raise Unsupported(
                f"rope type yarn with {odd[0]} {rope.settings[odd[0]]}: llama.cpp's {what} has "
                "its own.",
                _MERGED,
            )


def keys(rope: Rope, dim: int) -> list[Key]:
    """llama.cpp's settings for rotary positions of `dim` values a head."""
    listed: list[Key] = [
        ("rope.dimension_count", "u32", dim),
        ("rope.freq_base", "f32", rope.theta),
    ]
    if rope.kind in ("default", "llama3"):
        return listed
    listed.append(("rope.scaling.type", "str", rope.kind))
    if rope.kind != "longrope":
        listed.append(("rope.scaling.factor", "f32", rope.factor))
    if rope.kind != "linear":
        listed.append(("rope.scaling.original_context_length", "u32", rope.original))
    # llama.cpp's YaRN multiplies with the paper's factor by itself.
    own = 0.1 * math.log(rope.factor) + 1 if rope.kind == "yarn" and rope.factor > 1 else 1.0
    if not math.isclose(rope.attention, own):
        listed.append(("rope.scaling.attn_factor", "f32", rope.attention / own))
    return listed


def tensors(rope: Rope, dim: int) -> dict[str, list[float]]:
    """Divisors of the rotary frequencies by the name llama.cpp reads them under, dim / 2 each."""
    if rope.kind == "llama3":
        return {"rope_freqs.weight": _llama3(rope, dim)}
    if rope.kind != "longrope":
        return {}
    found = {}
    for key in ("long", "short"):
        factors = rope.settings.get(f"{key}_factor")
        if not isinstance(factors, list) or len(factors) != dim // 2:
            raise wrong(f"rope_parameters: {key}_factor", f"{dim // 2} numbers", factors)
        found[f"rope_factors_{key}.weight"] = [float(factor) for factor in factors]
    return found


def _llama3(rope: Rope, dim: int) -> list[float]:
    """Llama 3.1's rule: long wavelengths are stretched, short ones kept, those between blended."""
    factor, low, high = map(rope.number, ("factor", "low_freq_factor", "high_freq_factor"))
    factors = []
    for i in range(0, dim, 2):
        wavelength = 2 * math.pi * rope.theta ** (i / dim)
        if wavelength < rope.original / high:
            factors.append(1.0)
        elif wavelength > rope.original / low:
            factors.append(factor)
        else:
            smooth = (rope.original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors
