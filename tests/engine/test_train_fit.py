"""What a run will need: the estimate against what the backward pass keeps, and the probe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig
from trl.trainer.utils import add_fused_lm_head

from engine.machine.facts import Gpu, this_machine
from engine.train.adapting import adapt
from engine.train.counted import DataFacts
from engine.train.fit.estimate import (
    batch_tokens,
    estimate,
    layer_bytes,
    memory_parts,
    ranks_of,
    trained_parameters,
)
from engine.train.fit.shape import folder_of, shape_of
from engine.train.recipe import Recipe, settled
from store.errors import BadInput, NotFound

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
}
ROWS, LENGTH = 2, 32
LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
DATA = DataFacts(1000, 200_000, 1024, 200.0, 100_000)


def kept(layers: int, recipe: Recipe) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights left out."""
    torch.manual_seed(0)
    half = recipe.dtype == "bfloat16"
    config = LlamaConfig(num_hidden_layers=layers, tie_word_embeddings=False, **SIZES)
    base = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, recipe.dtype))
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    targets = list(recipe.target_modules)
    lora = LoraConfig(
        r=recipe.r,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
    )
    model = get_peft_model(base, lora).train()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    adapt(model)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(0, SIZES["vocab_size"], (ROWS, LENGTH))
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=half),
    ):
        model(input_ids=ids, labels=ids, fused_lm_head=True)
    return sum(storage.nbytes() for storage in seen.values())


@pytest.mark.parametrize(
    "sets",
    [
        {"dtype": "float32"},
        {"dtype": "bfloat16"},
        {"dtype": "float32", "lora_dropout": 0.1},
        {"dtype": "bfloat16", "target_modules": ("q_proj", "v_proj")},
        {"dtype": "bfloat16", "r": 32},
    ],
    ids=str,
)
def test_a_layer_keeps_what_the_estimate_says(tmp_path: Path, sets: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "num_hidden_layers": 3}))
    recipe = settled(replace(Recipe(), **sets))  # type: ignore[arg-type]
    shape = shape_of(tmp_path)
    ranks = ranks_of(recipe, shape)
    width = 2 if recipe.dtype == "bfloat16" else 4
    expected = ROWS * LENGTH * layer_bytes(recipe, shape, ranks, width)
    if width == 2:  # And a copy in bfloat16 of the layer's adapters, whatever the batch.
        expected += 2 * trained_parameters(recipe, shape) / shape.layers
    measured = kept(3, recipe) - kept(2, recipe)
    assert measured == pytest.approx(expected, rel=0.02)


def test_recomputing_keeps_the_inputs_of_layers_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "num_hidden_layers": 3}))
    recipe = replace(settled(Recipe()), gradient_checkpointing=True, dtype="float32")
    assert kept(3, recipe) - kept(2, recipe) == 4 * ROWS * LENGTH * SIZES["hidden_size"]


def test_a_config_alone_will_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    model = folder_of(tmp_path)
    assert (model.parameters, model.layers, model.context) == (8_030_261_248, 32, 131072)
    shape = shape_of(tmp_path)
    recipe = settled(replace(Recipe(), load_in_4bit=True, r=16))
    assert trained_parameters(recipe, shape) == 41_943_040  # As peft prints for Llama-3.1-8B.
    machine = replace(this_machine(), gpus=(Gpu("NVIDIA H100 80GB HBM3", 80 << 30, (9, 0)),))
    parts = memory_parts(replace(recipe, dtype="bfloat16"), shape, machine, DATA)
    assert parts["weights"] == pytest.approx(5.7e9, rel=0.03)
    assert parts["adapters"] == parts["gradients"] == 4 * 41_943_040
    eight = replace(recipe, optim="adamw_8bit")
    assert memory_parts(eight, shape, machine, DATA)["optimizer"] < parts["optimizer"] / 3


def test_the_parts_sum_up_and_answer_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    model, machine = folder_of(tmp_path), this_machine()
    recipe = replace(settled(Recipe()), load_in_4bit=True, dtype="bfloat16", max_length=1024)
    whole = estimate(recipe, model, machine, DATA)
    assert sum(whole.parts.values()) == whole.peak_bytes
    assert whole.total_seconds == pytest.approx(whole.seconds_per_step * whole.steps)
    less = [
        estimate(changed, model, machine, DATA).peak_bytes
        for changed in (
            recipe,
            replace(recipe, per_device_train_batch_size=4, gradient_accumulation_steps=2),
            replace(recipe, gradient_checkpointing=True),
        )
    ]
    assert less == sorted(less, reverse=True) and len(set(less)) == 3
    slower = estimate(replace(recipe, gradient_checkpointing=True), model, machine, DATA)
    assert slower.seconds_per_step > whole.seconds_per_step
    assert batch_tokens(recipe, DATA) == 8 * 1024


def test_a_folder_without_sizes_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        folder_of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64}))
    with pytest.raises(BadInput, match="num_attention_heads"):
        folder_of(tmp_path)
