"""Which architectures can become a GGUF file, and what each needs on the way.

Knows what llama.cpp's graphs compute. Does not know its keys (`graph`) or tensors (`convert`). A
new dense family is a new row of `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.export.gguf import ropes
from engine.export.gguf.ropes import FACTORS, PLAIN, YARN, Key, Rope
from engine.export.gguf.shape import MERGED, Config, head_dim, heads, layers, listed, whole
from store.errors import Unsupported

_ELSE = (
    "Use --to merged: a folder for transformers; or --llama-cpp DIR: the converter of a llama.cpp "
    "checkout, which may know it."
)
_PART = (
    "Take its text part, a model of its own: --to merged --out DIR writes it, trained as it is; "
    "then workbench export DIR --to gguf."
)
TEXT_PARTS = {"Gemma3ForConditionalGeneration": "Gemma3ForCausalLM"}
"""Models that also read images, and the class that their text part is."""
_QKV = ("q_proj", "k_proj", "v_proj")
_EVERY = (*_QKV, "o_proj", "gate_proj", "up_proj", "down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm", "norm")
_RMS = ("rms_norm_eps", "attention.layer_norm_rms_epsilon")
_GELU = ("gelu_pytorch_tanh", "gelu_new")
_SOFTCAPS = (
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
)
Check = Callable[[Config], str | None]
"""What of a config llama.cpp's graph does not compute, in words, or None."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table: a class of transformers, and what llama.cpp's graph for it is like.

    Attributes:
        architecture: the class name in config.json. arch: llama.cpp's name of the same graph.
        permuted: whether query and key rows go into llama.cpp's own rotary order.
        activation: names of what the graph computes between the two halves of an MLP.
        biases: last names of the layers whose biases the graph adds.
        ropes: scalings of rotary positions that the graph has.
        theta, share: rotary settings where config.json says nothing (see `ropes.Rope`).
        nested: whether sliding layers have rotary settings of their own.
        period: layers without a window, every so many; 0 for a graph without windows.
        window_last: whether the windowed layers are those from `max_window_layers` on.
        head: `any`, `tied` (the embedding, always) or `own` (stored, always).
        shift: what transformers adds to every norm's weight while it computes.
        square: whether the graph takes a head's width from hidden size and heads.
        epsilon: key in config.json (or a number) and key of the norms' epsilon.
        scalars: other numbers carried over, by their keys there and here.
        needed: whether those must be there.
        always: keys that are the same for all models of the family.
        checks: what else must hold.
    """

    architecture: str
    arch: str
    permuted: bool = False
    activation: tuple[str, ...] = ("silu", "swish")
    biases: tuple[str, ...] = _QKV
    ropes: frozenset[str] = YARN
    theta: float = 10000.0
    share: float = 1.0
    nested: bool = False
    period: int = 0
    window_last: bool = False
    head: str = "any"
    shift: float = 0.0
    square: bool = False
    epsilon: tuple[str | float, str] = _RMS
    scalars: tuple[tuple[str, str], ...] = ()
    needed: bool = True
    always: tuple[Key, ...] = ()
    checks: tuple[Check, ...] = ()


def _neutral(key: str, *values: Any) -> Check:
    """A setting that the graph does not have, and the values under which that is no loss."""

    def check(config: Config) -> str | None:
        value = config.get(key)
        return None if value in (None, False, *values) else f"{key} {value}"

    return check


def _attention_scale(large: int) -> Check:
    """Gemma's scale: told by the graph from the number of layers, `large` or another."""

    def check(config: Config) -> str | None:
        query = heads(config)[0]
        wide = layers(config) == large
        width = whole(config, "hidden_size") // query if wide else head_dim(config)
        value = config.get("query_pre_attn_scalar")
        return None if value == width else f"query_pre_attn_scalar {value} (it takes {width})"

    return check


def _no_rope_layers(config: Config) -> str | None:
    """SmolLM3 leaves every fourth layer without positions."""
    count, step = layers(config), whole(config, "no_rope_layer_interval", 4)
    usual, said = ([int((i + 1) % every != 0) for i in range(count)] for every in (4, step))
    found = listed(config, "no_rope_layers", int, count) or said
    return None if found == usual else f"no_rope_layers {found[:8]}"


def _exaone_window(config: Config) -> str | None:
    """EXAONE 4's graph has windows, and layers without positions, in the 64-layer model only."""
    window = config.get("sliding_window")
    return f"sliding_window {window}" if window and layers(config) != 64 else None


def _local_rope(config: Config) -> str | None:
    """OLMo 3's graph turns all layers by one base."""
    full, sliding = ropes.ropes(config, nested=True, theta=500000.0, share=1.0)
    return None if full.theta == sliding.theta else f"rope_theta {sliding.theta} in sliding layers"


_TWO_WAYS = _neutral("use_bidirectional_attention")

_ROWS = (
    Family("LlamaForCausalLM", "llama", True, biases=_EVERY, ropes=FACTORS),
    Family("MistralForCausalLM", "llama", True, biases=_EVERY, ropes=FACTORS),
    Family("SmolLM3ForCausalLM", "smollm3", True, theta=2e6, checks=(_no_rope_layers,)),
    Family("Qwen2ForCausalLM", "qwen2", window_last=True, square=True),
    Family("Qwen3ForCausalLM", "qwen3", window_last=True),
    Family(
        "GemmaForCausalLM",
        "gemma",
        activation=(*_GELU, "gelu"),  # transformers too takes the old name for the new one
        head="tied",
        shift=1.0,
        checks=(_TWO_WAYS,),
    ),
    Family(
        "Gemma2ForCausalLM",
        "gemma2",
        activation=_GELU,
        ropes=PLAIN,
        period=2,
        head="tied",
        shift=1.0,
        scalars=_SOFTCAPS,
        checks=(_TWO_WAYS, _attention_scale(46)),
    ),
    Family(
        "Gemma3ForCausalLM",
        "gemma3",
        activation=_GELU,
        ropes=PLAIN,
        theta=1e6,
        nested=True,
        period=6,
        shift=1.0,
        scalars=_SOFTCAPS[1:],
        needed=False,
        checks=(_TWO_WAYS, _attention_scale(62), _neutral("attn_logit_softcapping")),
    ),
    Family(
        "Phi3ForCausalLM",
        "phi3",
        biases=(),
        ropes=FACTORS - YARN | PLAIN,
        square=True,
        always=(("attention.sliding_window", "u32", 0),),  # older llama.cpp refuses to guess
    ),
    Family(
        "GraniteForCausalLM",
        "granite",
        True,
        biases=_EVERY,
        ropes=FACTORS,
        scalars=(
            ("attention_multiplier", "attention.scale"),
            ("embedding_multiplier", "embedding_scale"),
            ("residual_multiplier", "residual_scale"),
            ("logits_scaling", "logit_scale"),
        ),
    ),
    Family("Olmo2ForCausalLM", "olmo2", head="own", square=True),
    Family(
        "Olmo3ForCausalLM",
        "olmo2",
        theta=5e5,
        nested=True,
        period=4,
        head="own",
        square=True,
        checks=(_local_rope,),
    ),
    Family(
        "CohereForCausalLM",
        "command-r",
        biases=_QKV,
        theta=5e5,
        head="tied",
        square=True,
        epsilon=("layer_norm_eps", "attention.layer_norm_epsilon"),
        scalars=(("logit_scale", "logit_scale"),),
        checks=(_neutral("use_qk_norm"),),
    ),
    Family(
        "Cohere2ForCausalLM",
        "cohere2",
        period=4,
        head="tied",
        square=True,
        epsilon=("layer_norm_eps", "attention.layer_norm_epsilon"),
        scalars=(("logit_scale", "logit_scale"),),
    ),
    Family(
        "Exaone4ForCausalLM",
        "exaone4",
        ropes=FACTORS - {"longrope"},
        period=4,
        square=True,
        checks=(_exaone_window,),
    ),
    Family("SeedOssForCausalLM", "seed_oss"),
    Family("Glm4ForCausalLM", "glm4", share=0.5),
    Family("Ernie4_5ForCausalLM", "ernie4_5", biases=(*_QKV, "o_proj"), theta=5e5),
    Family("ArceeForCausalLM", "arcee", True, activation=("relu2",), ropes=YARN | {"llama3"}),
    Family(
        "Starcoder2ForCausalLM",
        "starcoder2",
        activation=_GELU,
        biases=(*_QKV, "o_proj", "c_fc", "c_proj", *_NORMS),
        square=True,
        epsilon=("norm_epsilon", "attention.layer_norm_epsilon"),
    ),
    Family(
        "NemotronForCausalLM",
        "nemotron",
        activation=("relu2",),
        biases=(*_EVERY, *_NORMS),
        share=0.5,
        shift=1.0,
        square=True,
        epsilon=("norm_eps", "attention.layer_norm_epsilon"),
    ),
    Family(
        "StableLmForCausalLM",
        "stablelm",
        biases=(*_QKV, *_NORMS),
        share=0.25,
        square=True,
        epsilon=("layer_norm_eps", "attention.layer_norm_epsilon"),
        checks=(_neutral("qk_layernorm"),),
    ),
    Family(
        "PhiForCausalLM",
        "phi2",
        activation=_GELU,
        biases=(*_QKV, "dense", "fc1", "fc2", "input_layernorm", "final_layernorm", "lm_head"),
        share=0.5,
        square=True,
        epsilon=("layer_norm_eps", "attention.layer_norm_epsilon"),
        checks=(_neutral("qk_layernorm"),),
    ),
    Family(
        "OlmoForCausalLM",
        "olmo",
        True,
        biases=_QKV,
        square=True,
        epsilon=(1e-5, "attention.layer_norm_epsilon"),
        scalars=(("clip_qkv", "attention.clamp_kqv"),),
        needed=False,
    ),
)
FAMILIES: dict[str, Family] = {family.architecture: family for family in _ROWS}


def architecture(config: Config) -> str:
    """The class name in config.json, or `unknown`."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else "unknown"


def family_of(config: Config) -> Family:
    """The row for a model, after checking that llama.cpp's graph computes what the model does.

    Raises:
        Unsupported: unknown architecture, or a setting that llama.cpp would silently ignore.
        BadInput: a needed key is missing or has a wrong type.
    """
    name = architecture(config)
    family = FAMILIES.get(name)
    if family is None:
        short = ", ".join(known.removesuffix("ForCausalLM") for known in FAMILIES)
        text = f"architecture {name}: the GGUF converter knows {short}."
        if "text_config" in config:
            text = f"architecture {name}: more than text; the GGUF converter knows text models."
        if name in TEXT_PARTS:
            raise Unsupported(text, _PART)
        raise Unsupported(text, _ELSE)
    if odd := _beyond(config, family):
        raise Unsupported(
            f"llama.cpp's '{family.arch}' does not compute {name} with {odd}.", MERGED
        )
    full, sliding = ropes_of(config, family)
    ropes.check(full, family.ropes, f"'{family.arch}'")
    if family.nested:
        ropes.check(sliding, frozenset({"default"}), f"'{family.arch}' in sliding layers")
    return family


def _beyond(config: Config, family: Family) -> str | None:
    """What of a config the graph does not compute, in words, or None."""
    said = config.get("hidden_activation") or config.get("hidden_act") or family.activation[0]
    if said not in family.activation:
        return f"activation {said} (it computes {family.activation[0]})"
    width = whole(config, "hidden_size") // heads(config)[0]
    if family.square and head_dim(config) != width:
        return f"head_dim {head_dim(config)} (it takes {width})"
    return next((odd for check in family.checks if (odd := check(config))), None)


def ropes_of(config: Config, family: Family) -> tuple[Rope, Rope]:
    """Rotary positions of full and of sliding layers, with the family's defaults."""
    return ropes.ropes(config, nested=family.nested, theta=family.theta, share=family.share)
