"""Rotary positions: what config.json says of them, and how a GGUF file says it.

Knows `rope_parameters` (transformers 5, one set or one for each kind of layer) and `rope_theta`
with `rope_scaling` (version 4). Does not know families or tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.export.gguf.shape import MERGED, Config, above_zero, number, settings, whole, wrong
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

    @property
    def factor(self) -> float:
        """How far the context was stretched."""
        return above_zero(self.settings, "factor", self.limit / self.original)

    @property
    def attention(self) -> float:
        """What transformers multiplies sine and cosine with."""
        if self.settings.get("attention_factor") is not None:
            return above_zero(self.settings, "attention_factor")
        if self.factor <= 1 or self.original == 1 or self.kind not in ("yarn", "longrope"):
            return 1.0
        if self.kind == "longrope":
            return math.sqrt(1 + math.log(self.factor) / math.log(self.original))
        log = 0.1 * math.log(self.factor)
        over, under = (number(self.settings, key, 0.0) for key in ("mscale", "mscale_all_dim"))
        return (over * log + 1) / (under * log + 1) if over > 0 and under > 0 else log + 1


def ropes(config: Config, *, nested: bool, theta: float, share: float) -> tuple[Rope, Rope]:
    """Rotary positions of full and of sliding layers; the same where a family has one kind.

    Args:
        nested: whether the family may give sliding layers their own.
        theta, share: what the family takes where config.json says nothing.
    """
    found = settings(config, "rope_parameters")
    flat = settings(config, "rope_scaling") | {k: v for k, v in found.items() if k not in LAYERS}
    common = {
        "rope_theta": config.get("rope_theta") or theta,
        "partial_rotary_factor": config.get("partial_rotary_factor") or share,
    }
    full = _one(config, common | flat | settings(found, LAYERS[0]))
    if not nested:
        return full, full
    common["rope_theta"] = config.get("rope_local_base_freq") or common["rope_theta"]
    return full, _one(config, common | settings(found, LAYERS[1]))


def _one(config: Config, said: Config) -> Rope:
    limit = whole(config, "max_position_embeddings")
    kind = str(said.get("rope_type") or said.get("type") or "default")
    original = "original_max_position_embeddings"
    share = above_zero(said, "partial_rotary_factor", 1.0)
    if share > 1:
        raise wrong("partial_rotary_factor", "a number up to 1", share)
    return Rope(
        "longrope" if kind == "su" else kind,
        above_zero(said, "rope_theta", 10000.0),
        share,
        # Phi-3 keeps the original context beside the settings, and there it goes first.
        whole(config, original, whole(said, original, limit)),
        limit,
        said,
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
            MERGED,
        )
    if rope.kind == "yarn":
        odd = [key for key, usual in _BETAS.items() if number(rope.settings, key, usual) != usual]
        odd += ["truncate"] if rope.settings.get("truncate") is False else []
        if odd:
            raise Unsupported(
                f"rope type yarn with {odd[0]} {rope.settings[odd[0]]}: llama.cpp's {what} has "
                "its own.",
                MERGED,
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
            raise wrong(f"{key}_factor", f"{dim // 2} numbers", factors)
        name = f"{key}_factor"
        found[f"rope_factors_{key}.weight"] = [above_zero({name: f}, name) for f in factors]
    return found


def _llama3(rope: Rope, dim: int) -> list[float]:
    """Llama 3.1's rule: long wavelengths are stretched, short ones kept, those between blended."""
    names = ("factor", "low_freq_factor", "high_freq_factor")
    factor, low, high = (above_zero(rope.settings, name) for name in names)
    if high <= low:
        raise wrong("high_freq_factor", "more than low_freq_factor", high)
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
