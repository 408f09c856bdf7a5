"""What the engine chooses, for this model on that machine, and what it refuses by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import assets
from engine.machine.facts import Gpu, Machine
from engine.models.folder import ModelFolder, describe
from engine.train import choosing
from engine.train import recipe as recipes
from engine.train.choosing import Choice, choose
from engine.train.counted import DataFacts
from engine.train.fit.speed import peak_of
from engine.train.recipe import AUTO, Recipe, settled, with_sets
from engine.train.recipe.prior import learning_rate
from store.errors import BadInput, Unsupported, WorkbenchError

STARTER = describe(assets.path("starter"))
CPU = Machine("Linux", "3.11", "cpu", 8, 16 << 30, cpu_bf16=True, gpus=())
GPU = replace(CPU, gpus=(Gpu("H100", 80 << 30, (9, 0)),))
OLD = replace(CPU, gpus=(Gpu("T4", 16 << 30, (7, 5)),))
DATA = DataFacts(900, 90_000, 412, 100.0, 30_000, 100)


@pytest.fixture(autouse=True)
def on_gpu_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU counts as one, whatever torch is installed here."""
    monkeypatch.setattr("engine.machine.facts._version", lambda _name: "2.13.0")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def made(machine: Machine, *sets: str, model: ModelFolder = STARTER) -> dict[str, Choice]:
    chosen = choose(with_sets(Recipe(), sets), model, machine, DATA)
    values = recipes.as_dict(chosen.recipe)
    assert AUTO not in values.values()
    assert settled(chosen.recipe) == chosen.recipe
    for choice in chosen.choices:
        assert values[choice.key] == choice.value, choice
        assert choice.reason and choice.words
    return {choice.key: choice for choice in chosen.choices}


def test_on_a_cpu_the_starter_is_dense_sorted_and_never_packed() -> None:
    on = made(CPU)
    values = {key: choice.value for key, choice in on.items()}
    assert values == {
        "loss_type": "nll", "max_length": 412, "dtype": "float32", "attn_implementation": "sdpa",
        "load_in_4bit": False, "gradient_checkpointing": False, "packing": False,
        "train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused",
        "threads": 1, "learning_rate": 0.0025, "eval_steps": 29, "save_steps": 87,
    }  # fmt: skip
    assert all(choice.chosen_by == "engine" for choice in on.values())
    assert "nothing is cut" in on["max_length"].reason


def test_what_a_person_set_stays_and_is_told_as_theirs() -> None:
    on = made(CPU, "load_in_4bit=true", "learning_rate=1e-3", "threads=5", "max_length=64")
    for key, value in (("load_in_4bit", True), ("learning_rate", 1e-3), ("threads", 5)):
        assert (on[key].value, on[key].chosen_by) == (value, "you")
    assert "the engine would take 0.0025" in on["learning_rate"].reason
    assert "412 tokens and is cut" in on["max_length"].reason


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert made(CPU)["threads"].value == 3
    assert made(CPU, "threads=5")["threads"].value == 5


def test_a_gpu_packs_only_with_a_kernel_that_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_installed", lambda _package: False)
    without = made(GPU)
    assert (without["attn_implementation"].value, without["packing"].value) == ("sdpa", False)
    assert "flash-attn is not installed" in without["attn_implementation"].reason
    monkeypatch.setattr(choosing, "_installed", lambda _package: True)
    on = made(GPU)
    assert on["attn_implementation"].value == "flash_attention_2"
    assert on["packing"].value is True
    assert on["train_sampling_strategy"].value == "random"
    assert made(GPU, "method=dpo")["packing"].value is False
    old = made(OLD)
    assert (old["dtype"].value, old["attn_implementation"].value) == ("float32", "sdpa")


def test_the_base_is_dense_while_it_fits_then_recomputed_then_nf4() -> None:
    def on(gigabytes: float) -> tuple[object, object]:
        machine = replace(GPU, gpus=(Gpu("small", int(gigabytes * 2**30), (9, 0)),))
        chosen = made(machine, "per_device_train_batch_size=512", "max_length=1024")
        return chosen["load_in_4bit"].value, chosen["gradient_checkpointing"].value

    assert on(80) == (False, False)
    assert on(6) == (False, True)
    assert on(0.5) == (True, True)
    machine = replace(GPU, gpus=(Gpu("small", 1 << 29, (9, 0)),))
    assert "may not fit" in made(machine)["load_in_4bit"].reason


def test_eight_bits_of_optimizer_where_its_state_is_large() -> None:
    assert made(GPU)["optim"].value == "adamw_torch_fused"
    assert made(GPU, "r=1024")["optim"].value == "adamw_torch_fused"
    assert "only" in made(GPU)["optim"].reason


def test_the_rate_is_the_prior_and_says_where_it_is_none() -> None:
    def rate(architecture: str, hidden: int, *sets: str) -> tuple[float, bool]:
        model = replace(STARTER, architecture=architecture, hidden=hidden)
        prior = learning_rate(model, with_sets(Recipe(), sets))
        assert prior.calibrated or "not calibrated" in prior.reason or "not at" in prior.reason
        return prior.rate, prior.calibrated

    assert rate("LlamaForCausalLM", 4096) == (2.9e-4, True)
    assert rate("Qwen3ForCausalLM", 4096) == (4.7e-4, True)
    assert rate("GemmaForCausalLM", 4096) == (3e-4, False)
    assert rate("LlamaForCausalLM", 4096, "method=dpo") == (2.9e-5, False)
    assert rate("LlamaForCausalLM", 4096, "lora_alpha=16")[1] is False
    assert rate("LlamaForCausalLM", 4096, "use_rslora=true") == (7.1e-5, False)
    assert rate("LlamaForCausalLM", 4096, "loraplus_lr_ratio=16") == (1.4e-4, False)


def test_intervals_follow_the_way_a_run_ends() -> None:
    on = made(CPU, "max_steps=1000")
    assert (on["eval_steps"].value, on["save_steps"].value) == (84, 252)
    # Every checkpoint falls on an evaluation, also on one's own.
    assert made(CPU, "max_steps=1000", "eval_steps=100")["save_steps"].value == 200
    assert made(CPU, "max_minutes=90", "num_train_epochs=100")["save_steps"].value == 100
    # 8 rows of 100 tokens a step.
    assert made(CPU, "max_tokens=80000")["eval_steps"].value == 9


def test_runs_from_before_the_engine_chose_keep_what_they_did() -> None:
    old = settled(recipes.from_dict({"max_steps": 5, "dtype": "float32", "threads": 1}))
    assert old.load_in_4bit is True and old.packing is False
    assert (old.attn_implementation, old.optim) == ("sdpa", "adamw_torch_fused")
    assert old.loss_type == "nll"


@pytest.mark.parametrize(
    ("machine", "sets", "named", "way"),
    [
        (CPU, "optim=adamw_8bit", "adamw_8bit", "adamw_torch_fused"),
        (CPU, "attn_implementation=flash_attention_2", "attn_implementation", "sdpa"),
        (CPU, "attn_implementation=kernels-community/flash-attn2", "needs a GPU", "sdpa"),
        (GPU, "devices=2", "devices=2: this machine has 1 GPU", "devices=1"),
        (OLD, "dtype=bfloat16", "T4 cannot compute", "float32"),
        (OLD, "attn_implementation=flash_attention_2", "T4", "sdpa"),
        (GPU, "attn_implementation=flash_attention_2 dtype=float32", "dtype=float32", "sdpa"),
        (CPU, "target_modules=q_prj", "did you mean 'q_proj'?", "down_proj"),
        (CPU, "rank_pattern=down_prj=4", "did you mean 'down_proj'?", "down_proj"),
        (CPU, "target_modules=q_proj alpha_pattern=down_proj=4", "alpha_pattern", "q_proj"),
    ],
)
def test_what_machine_or_model_cannot_bear_is_refused(
    machine: Machine, sets: str, named: str, way: str
) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        made(machine, *sets.split())
    assert isinstance(refusal.value, BadInput | Unsupported)
    assert named in refusal.value.message
    assert way in refusal.value.hint


def test_patience_needs_something_to_measure() -> None:
    patient = with_sets(Recipe(), ["patience=2"])
    with pytest.raises(BadInput, match="no row is held out"):
        choose(patient, STARTER, CPU, replace(DATA, held_out=0))
    assert choose(patient, STARTER, CPU, DATA).recipe.patience == 2


def test_a_model_that_hands_a_state_on_is_never_packed(tmp_path: Path) -> None:
    folder = tmp_path / "hybrid"
    shutil.copytree(STARTER.path, folder)
    save_file({"model.layers.0.mamba.A_log": np.zeros(8, np.float32)}, folder / "x.safetensors")
    flash = ("attn_implementation=flash_attention_2", "max_length=400")
    assert made(GPU, *flash)["packing"].value is True
    on = made(GPU, *flash, model=describe(folder))["packing"]
    assert on.value is False and "hands a state from token to token" in on.reason
    with pytest.raises(Unsupported, match="packing=true: hybrid has layers that hand a state"):
        made(GPU, *flash, "packing=true", model=describe(folder))


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA RTX A6000", 155e12),
        ("NVIDIA L40", 181e12),
        ("Tesla T4", 65e12),
        ("NVIDIA T400", None),
    ],
)
def test_the_peak_goes_by_the_whole_name(name: str, peak: float | None) -> None:
    assert peak_of(Gpu(name, 80 << 30, (9, 0))) == peak
