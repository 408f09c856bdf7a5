"""The base in memory and LoRA upon it (heavy): dense or NF4, adapters in float32 always.

Knows transformers, PEFT and bitsandbytes. Does not know data, steps or checkpoints.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import transformers
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig
from peft.utils.other import TrainableTokensWrapper
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from engine.models.grown import token_ids
from engine.train.fit.room import is_out_of_memory
from engine.train.recipe import Recipe, patterned
from store.errors import BadInput, Unsupported


def load_base(folder: Path, recipe: Recipe, device: str) -> PreTrainedModel:
    """The frozen base, in 4-bit NF4 or dense, on `device`.

    Raises:
        BadInput: transformers cannot read the folder, or it does not fit.
        Unsupported: the attention kernel is not there, or cannot be loaded.
    """
    transformers.utils.logging.disable_progress_bar()
    dtype = getattr(torch, recipe.dtype)
    attention = recipe.attn_implementation
    quantization = None
    if recipe.load_in_4bit:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=recipe.bnb_4bit_use_double_quant,
            bnb_4bit_compute_dtype=dtype,
            # Several GPUs hold a part of the base each, and cannot part bytes that are one dtype
            # from weights that are another.
            bnb_4bit_quant_storage=dtype if recipe.devices > 1 and device == "cuda" else None,
        )
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=quantization,
            # Left to itself, transformers takes sdpa where a family has it, else eager.
            attn_implementation=None if attention == "sdpa" else attention,
            device_map={"": int(os.environ.get("LOCAL_RANK", "0"))} if device == "cuda" else None,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, KeyError, OSError, SafetensorError) as error:
        raise BadInput(
            f"{folder}: {error}", "Use a model folder that transformers knows."
        ) from error
    except (ImportError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise BadInput(
                f"{folder}: the base does not fit into the device's memory beside what is there: "
                f"{str(error).splitlines()[0]}",
                "Set load_in_4bit=true, end what else uses the device (nvidia-smi), or take a "
                "smaller base.",
            ) from error
        if not isinstance(error, ImportError):
            raise
        raise Unsupported(
            f"attn_implementation={attention}: {error}",
            "Set attn_implementation=sdpa, or install what it needs.",
        ) from error
    absent = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if absent:  # transformers would make them up.
        raise BadInput(
            f"{folder}: {len(absent)} weights are missing or of another shape, e.g. {absent[0]}",
            "Copy the weight files from the model again.",
        )
    guard_quantised(model)
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer TRL insists on; it tokenises nothing here."""
    tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def lora(recipe: Recipe, folder: Path | None = None) -> LoraConfig:
    """The adapter's shape: LoRA, DoRA or rsLoRA, with ranks by pattern and trained token rows.

    Args:
        folder: the base, grown by the recipe's `add_tokens` where it has any.
    Raises:
        BadInput: the base has not the tokens.
    """
    targets = list(recipe.target_modules)
    return LoraConfig(
        r=recipe.r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        use_rslora=recipe.use_rslora,
        use_dora=recipe.use_dora,
        rank_pattern={name: int(rank) for name, rank in patterned(recipe.rank_pattern).items()},
        alpha_pattern=patterned(recipe.alpha_pattern),
        trainable_token_indices=_trained_tokens(recipe, folder),
        task_type="CAUSAL_LM",
    )


def _trained_tokens(recipe: Recipe, folder: Path | None) -> dict[str, list[int]] | None:
    """Rows of the embedding that are trained, and of the head where it has its own."""
    if not recipe.add_tokens:
        return None
    assert folder is not None
    ids = token_ids(folder, recipe.add_tokens)
    tied = AutoConfig.from_pretrained(folder, local_files_only=True).tie_word_embeddings
    return {
        name: list(ids) for name in (("embed_tokens",) if tied else ("embed_tokens", "lm_head"))
    }


def ready(model: torch.nn.Module) -> int:
    """Make a fresh adapter fit to train, and to resume exactly; returns its elements.

    TRL computes the loss from the head's `weight` and `bias`; PEFT's wrapper of a head with trained
    rows gives the first and has not the second.
    """
    for module in model.modules():
        if isinstance(module, TrainableTokensWrapper):
            module.register_parameter("bias", None)
    return adapters_to_float32(model)


def guard_quantised(model: torch.nn.Module) -> int:
    """Keep bitsandbytes from repacking weights in place at an evaluation on a CPU.

    With avx512_bf16, `Linear4bit.forward` in eval mode without gradients converts its weights to
    an inference layout for good: later training gets wrong gradients and a merge wrong weights,
    both without an error (bitsandbytes issue 2078).

    Returns:
        How many layers are quantised.
    """
    found = 0
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
            found += 1
    assert_unpacked(model)
    return found


def assert_unpacked(model: torch.nn.Module) -> None:
    """Fail loudly if any quantised layer lost its guard or was repacked."""
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            state = module.weight.quant_state
            packed = state is not None and bool(getattr(state, "packing_format_for_cpu", False))
            if packed or module.support_avx512bf16_for_cpu:
                raise AssertionError(f"{name}: NF4 weights were repacked for inference")


def adapters_to_float32(model: torch.nn.Module) -> int:
    """Cast every trainable parameter to float32; returns how many there are (elements).

    TRL trains a fresh QLoRA adapter in bfloat16 and resumes it in float32, so that a resumed run
    drifts from the first step. In float32 always, a resume is exact.
    """
    count = 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
            count += parameter.numel()
    return count


def assert_adapters_float32(model: torch.nn.Module) -> None:
    """Fail loudly if a trainable parameter is not float32."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise AssertionError(f"{name} is {parameter.dtype}, expected float32")
