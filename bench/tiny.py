"""Tiny models with random weights in the real shapes of every family, and how far files are off.

Knows what is peculiar to each family: heads wider than hidden size / heads, fewer key heads than
query heads, tied and untied heads, windows, scaled rotary positions. Weights are wide enough that
next-token distributions are far from flat: a lost permutation shows as a divergence of order one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import assets
from engine.export.gguf.families import FAMILIES
from engine.export.proof.divergence import Divergence
from engine.export.proof.reference import Reference
from engine.export.stages import Source
from engine.llama.client import LlamaWorker

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
LENGTH, SEQUENCES = 96, 3

_COMMON: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
    "bos_token_id": 1,
    "eos_token_id": 5,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's class without its ending, and how it differs from the common shape.

    Attributes:
        adapted: last names of the layers that a LoRA adapter goes on.
    """

    architecture: str
    config: dict[str, Any] = field(default_factory=dict)
    adapted: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "down_proj")


def _rope(kind: str, theta: float = 10000.0, **settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **settings}}


_LLAMA3 = _rope(
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
_YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=128)
_LONGROPE = _rope(
    "longrope",
    partial_rotary_factor=0.75,
    short_factor=[1 + i / 10 for i in range(6)],
    long_factor=[2.0 + i for i in range(6)],
)
_TIED = {"tie_word_embeddings": True}
_WIDE = {"head_dim": 32}
_GEMMA = {**_WIDE, "query_pre_attn_scalar": 32, "sliding_window": 24, "initializer_range": 0.06}
_PHI = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")

SHAPES: dict[str, Shape] = {
    "Llama 2, TinyLlama": Shape("Llama", {**_WIDE, "attention_bias": True, "mlp_bias": True}),
    "Llama 3, SmolLM2": Shape("Llama", {**_LLAMA3, **_TIED}),
    "Llama, linear": Shape("Llama", _rope("linear", 5000.0, factor=4.0)),
    "Llama, yarn": Shape("Llama", _YARN),
    "Mistral": Shape("Mistral", {"sliding_window": None, **_WIDE}),
    "Mistral, capped to its window": Shape("Mistral", {"sliding_window": 128}),
    "SmolLM3": Shape("SmolLM3", {**_TIED, "num_hidden_layers": 5}),
    "Qwen2, Qwen2.5, tied": Shape("Qwen2", _TIED),
    "Qwen2, Qwen2.5-Coder, yarn": Shape("Qwen2", _YARN),
    "Qwen2, yarn with its own attention": Shape(
        "Qwen2",
        _rope("yarn", factor=4.0, original_max_position_embeddings=128, attention_factor=0.8),
    ),
    "Qwen3": Shape("Qwen3", _WIDE),
    "Gemma": Shape("Gemma", {**_WIDE, **_TIED, "initializer_range": 0.06}),
    "Gemma 2": Shape("Gemma2", {**_GEMMA, **_TIED, "num_hidden_layers": 3}),
    "Gemma 3": Shape("Gemma3", {**_GEMMA, **_TIED, "num_hidden_layers": 7}),
    "Gemma 3, odd layers, stretched": Shape(
        "Gemma3",
        {
            **_GEMMA,
            "num_hidden_layers": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "final_logit_softcapping": 20.0,
        },
    ),
    "Phi-3": Shape("Phi3", adapted=_PHI),
    "Phi-3.5, Phi-4-mini, longrope": Shape(
        "Phi3",
        {
            **_LONGROPE,
            **_TIED,
            "original_max_position_embeddings": 512,
            "max_position_embeddings": 4096,
        },
        _PHI,
    ),
    "Granite": Shape(
        "Granite",
        {
            "attention_multiplier": 0.2,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "logits_scaling": 0.5,
        },
    ),
    "OLMo": Shape("Olmo", {"clip_qkv": 1.0}),
    "OLMo 2": Shape("Olmo2"),
    "OLMo 2, tied": Shape("Olmo2", _TIED),
    "OLMo 3": Shape(
        "Olmo3",
        {
            "num_hidden_layers": 5,
            "sliding_window": 24,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
    ),
    "Command R": Shape("Cohere", {**_TIED, "logit_scale": 1.0}),
    "Command R7B": Shape(
        "Cohere2",
        {
            **_TIED,
            "num_hidden_layers": 5,
            "sliding_window": 24,
            "logit_scale": 1.0,
            "rotary_pct": 1.0,
        },
    ),
    "EXAONE 4": Shape("Exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 2}),
    "Seed-OSS": Shape("SeedOss", _WIDE),
    "GLM-4": Shape("Glm4", {"head_dim": 16}),
    "ERNIE 4.5": Shape("Ernie4_5", {**_WIDE, **_TIED}),
    "Arcee": Shape("Arcee", _WIDE),
    "StarCoder2": Shape("Starcoder2", adapted=("q_proj", "k_proj", "c_fc", "c_proj")),
    "Nemotron": Shape("Nemotron"),
    "StableLM 2": Shape("StableLm", {"use_qkv_bias": True}),
    "StableLM, parallel": Shape("StableLm", {"use_parallel_residual": True}),
    "Phi-2": Shape("Phi", adapted=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2")),
}


def build(shape: Shape, folder: Path) -> Path:
    """Write a random model of `shape` with the starter's tokenizer as a model folder."""
    import transformers

    name = shape.architecture
    config_class = getattr(
        transformers, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config"
    )
    model_class = getattr(transformers, f"{name}ForCausalLM")
    torch.manual_seed(0)
    model = model_class(config_class(**{**_COMMON, **shape.config}))
    rest = 1.0 - FAMILIES[f"{name}ForCausalLM"].shift
    for key, parameter in model.named_parameters():
        if key.endswith(".bias") or "norm" in key:
            mean = rest if "norm" in key and not key.endswith(".bias") else 0.0
            torch.nn.init.normal_(parameter, mean, 0.2)
    model.save_pretrained(folder)
    for file in TOKENIZER:
        shutil.copyfile(assets.path("starter") / file, folder / file)
    return folder


def adapt(
    base: Path, folder: Path, adapted: tuple[str, ...], *, strength: float = 0.1, **config: Any
) -> Path:
    """Write a random LoRA adapter that changes what the model says."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": list(adapted), "task_type": "CAUSAL_LM"}
    peft = get_peft_model(model, LoraConfig(**{**settings, **config}))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad and ("lora_B" in name or "embedding_" in name):
                parameter.normal_(0.0, strength)
            elif parameter.requires_grad and ("magnitude" in name or "modules_to_save" in name):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.4))
    peft.save_pretrained(folder)
    return folder


def source_of(base: Path, adapter: Path | None = None, **changes: Any) -> Source:
    """A trained model as files."""
    values: dict[str, Any] = {"ref": "tiny", "base": str(base), "base_ref": "tiny"}
    return Source(**{**values, "adapter": str(adapter) if adapter else None, **changes})


def ids_for(vocabulary: int) -> list[list[int]]:
    """Fixed random sequences of ids, all but the special ones."""
    drawn = torch.Generator().manual_seed(2)
    shape = (SEQUENCES, LENGTH)
    found: list[list[int]] = torch.randint(6, vocabulary, shape, generator=drawn).tolist()
    return found


def divergences(file: Path, log: Path, *trained: Source) -> list[dict[str, float]]:
    """How far a GGUF file is from each model in 32 bit: see `Divergence.numbers`."""
    sequences = ids_for(2048)
    with LlamaWorker.open(file, log) as llama:
        said = [llama.logits([ids]) for ids in sequences]
    found = []
    for source in trained:
        reference, divergence = Reference(source), Divergence()
        for ids, logits in zip(sequences, said, strict=True):
            divergence.add(reference.logits(ids), logits, ids, [1] * len(ids))
        found.append(divergence.numbers())
    return found
