"""Every kind of adapter trained for real on the starter: saved, resumed bit for bit, and merged.

The jobs run in this process, one after the other, so that torch is imported once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from engine.models import refs
from engine.train import checkpoints, client
from engine.train.recipe import Recipe, load, with_sets
from store import runs
from store.catalogue import Catalogue
from store.runs import Run
from tests.engine.export_models import tiny_llama
from tests.engine.train_fixtures import losses, small_data

pytestmark = pytest.mark.long

STEPS, SAVED = 4, 2
SHORT = (
    f"max_steps={STEPS}",
    f"save_steps={SAVED}",
    f"eval_steps={STEPS}",
    "per_device_train_batch_size=4",
    "max_length=64",
    "lora_dropout=0.05",
    "probe_tokens=0",
    "threads=1",
    "r=4",
)
VARIANTS = {
    "dense": ("load_in_4bit=false",),
    "nf4": ("load_in_4bit=true",),
    "nf4-single": ("load_in_4bit=true", "bnb_4bit_use_double_quant=false"),
    "bfloat16": ("load_in_4bit=false", "dtype=bfloat16"),
    "bfloat16-nf4": ("load_in_4bit=true", "dtype=bfloat16"),
    "dora": ("load_in_4bit=false", "use_dora=true"),
    "dora-nf4": ("load_in_4bit=true", "use_dora=true"),
    "rslora-patterns": (
        "load_in_4bit=false",
        "use_rslora=true",
        "rank_pattern=down_proj=8,layers.0.*q_proj=2",
        "alpha_pattern=down_proj=64",
    ),
    "loraplus": ("load_in_4bit=false", "loraplus_lr_ratio=16"),
    "tokens": ("load_in_4bit=false", "add_tokens=<tool>,<answer>"),
    "tokens-nf4-loraplus": ("load_in_4bit=true", "add_tokens=<tool>", "loraplus_lr_ratio=4"),
}


@pytest.fixture
def job(cat: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Start a run as ever, but do its job in this process."""

    def here(catalogue: Catalogue, run_id: int, *_: Any, **__: Any) -> Run:
        return runs.get(catalogue, run_id)

    monkeypatch.setattr(client, "launch", here)

    def do(recipe: Recipe, data: Path, model: str = "starter") -> Run:
        run = client.start(cat, data, model, recipe)
        again(cat, run.id)
        return client.refresh(cat, run.id)

    return do


def again(cat: Catalogue, run_id: int) -> None:
    from engine.train import worker

    folder = cat.workspace.run_dir(run_id)
    assert worker.main([str(folder)]) == 0, list(client.reader(cat, run_id).events())


def recipe(*sets: str) -> Recipe:
    return with_sets(load("default"), [*SHORT, *sets])


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_and_resumes_bit_for_bit(
    cat: Catalogue, job: Callable[..., Run], tmp_path: Path, name: str
) -> None:
    run = job(recipe(*VARIANTS[name]), small_data(tmp_path))
    assert run.status == "finished"
    folder = cat.workspace.run_dir(run.id)
    undisturbed = losses(cat, run.id)
    assert [step for step, _ in undisturbed] == list(range(1, STEPS + 1))
    with client.reader(cat, run.id) as run_db:
        (_, before), (_, after) = run_db.exact("eval_loss")
    assert before is not None and after is not None and after < before
    end = checkpoints.folder(folder, STEPS)
    weights = load_file(end / "adapter_model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"float32"}
    shutil.rmtree(end)
    again(cat, run.id)
    assert losses(cat, run.id) == undisturbed
    repeated = load_file(end / "adapter_model.safetensors")
    assert weights.keys() == repeated.keys()
    assert all((weights[key] == repeated[key]).all() for key in weights)
    _looks_like(name, end, weights)
    assert merged_is_trained(cat, run.id) < 1e-4


def merged_is_trained(cat: Catalogue, run_id: int) -> float:
    """How far the merged weights' logits are from those of PEFT's own forward pass."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from engine.export.merge import Merged
    from engine.export.plan import source_of
    from engine.export.proof.reference import Reference

    source = source_of(cat, refs.resolve(cat, f"run:{run_id}"))
    merged = Merged(source)
    config = AutoConfig.from_pretrained(source.base)
    config.tie_word_embeddings = merged.tied
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    tensors = {item.name: merged.tensor(item) for item in merged.plan()}
    merged.finish()
    model.load_state_dict(tensors, strict=not merged.tied)
    last = config.vocab_size - 1
    ids = [1, 5, 7, 300, last, 12, last]
    with torch.no_grad():
        ours = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    return float(abs(ours - Reference(source).logits(ids)).max())


def _looks_like(name: str, folder: Path, weights: dict[str, Any]) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    assert any("magnitude" in key for key in weights) is name.startswith("dora")
    if name == "rslora-patterns":
        ranks = {
            key.split(".lora_A")[0].split("model.layers.")[1]: value.shape[0]
            for key, value in weights.items()
            if "lora_A" in key
        }
        assert (ranks["1.mlp.down_proj"], ranks["0.self_attn.q_proj"]) == (8, 2)
        assert ranks["1.self_attn.q_proj"] == 4
        assert config["use_rslora"] and config["alpha_pattern"] == {"down_proj": 64.0}
    if name.startswith("tokens"):
        (key,) = [key for key in weights if "trainable_tokens" in key]
        tokens = json.loads((folder / "added_tokens.json").read_text())
        assert len(tokens) == weights[key].shape[0]
        assert sorted(tokens.values()) == config["trainable_token_indices"]["embed_tokens"]
    if name.endswith("loraplus"):
        import torch

        state = torch.load(folder / "optimizer.pt", weights_only=True)
        rates = {group["lr"] for group in state["param_groups"] if group["params"]}
        assert len(rates) == 2 or rates == {0.0}


def test_added_tokens_belong_to_the_run_and_are_trained(
    cat: Catalogue, job: Callable[..., Run], tmp_path: Path
) -> None:
    from engine.render import Renderer

    data = tmp_path / "tools.jsonl"
    row = '{{"prompt": "What is {0} plus 1?", "completion": "<tool> {1}"}}\n'
    data.write_text("".join(row.format(n, n + 1) for n in range(20)))
    run = job(recipe("add_tokens=<tool>", "load_in_4bit=false", "learning_rate=1e-2"), data)
    model = refs.resolve(cat, f"run:{run.id}")
    assert model.base is not None and model.base.parent == cat.workspace.bases
    assert model.adapter is not None
    renderer = Renderer.load(model.base)
    (number,) = json.loads((model.adapter / "added_tokens.json").read_text()).values()
    assert renderer.render_text("Use <tool> now").ids.count(number) == 1
    table = load_file(model.adapter / "adapter_model.safetensors")
    (rows,) = [value for key, value in table.items() if "trainable_tokens" in key]
    assert rows.shape == (1, 256)
    started = grown_row(model.base, number)
    assert abs(rows[0] - started).max() > 1e-3, "the row was trained"
    from engine.export.folder import write_adapter
    from engine.export.plan import source_of

    write_adapter(source_of(cat, model), tmp_path / "out")
    assert {"tokenizer.json", "added_tokens.json"} <= {f.name for f in (tmp_path / "out").iterdir()}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "resize_token_embeddings" in card and 'from_pretrained("starter", dtype=' in card
    shutil.rmtree(model.base)
    assert refs.resolve(cat, f"run:{run.id}").base == model.base and model.base.is_dir()


def test_a_head_of_its_own_learns_the_tokens_too(
    cat: Catalogue, job: Callable[..., Run], tmp_path: Path
) -> None:
    folder = tiny_llama(tmp_path / "untied", num_hidden_layers=1)
    run = job(recipe("add_tokens=<tool>"), small_data(tmp_path), str(folder))
    assert run.status == "finished"
    end = checkpoints.folder(cat.workspace.run_dir(run.id), STEPS)
    trained = [k for k in load_file(end / "adapter_model.safetensors") if "trainable" in k]
    assert len(trained) == 2
    assert merged_is_trained(cat, run.id) < 1e-4


def grown_row(folder: Path, number: int) -> Any:
    import torch
    from safetensors.torch import load_file as load_tensors

    table = load_tensors(folder / "model.safetensors")["model.embed_tokens.weight"]
    assert table.shape[0] == number + 1
    return table[number].to(torch.float32).numpy()
