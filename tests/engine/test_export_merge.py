"""The merge: what is written is what bitsandbytes and PEFT computed while training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.export import merge
from engine.export.card import model_card
from engine.export.folder import write_adapter, write_merged
from engine.export.lora import Adapter
from engine.export.merge import Merged, quantised_modules
from engine.export.proof.reference import Reference
from engine.export.safefile import contents
from engine.export.stages import Source
from store.errors import BadInput, NotFound, Unsupported
from tests.engine.export_models import edit_json, prove, random_adapter, source_of, tiny_llama

IDS = [1, 3, 40, 50, 60, 70, 900, 1000, 5, 4, 300, 301, 302]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("merge") / "base")


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "tied"
    return tiny_llama(folder, tie_word_embeddings=True)


def merged_logits(source: Source, folder: Path) -> torch.Tensor:
    """Logits of the merged folder as transformers loads it, from 32-bit weights."""
    write_merged(Merged(source), source, "f32", folder, lambda _done, _total: None)
    return torch.tensor(Reference(source_of(folder)).logits(IDS))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def peft_logits(base: Path, adapter: Path, **load: Any) -> torch.Tensor:
    """What PEFT computes without any merge."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, **{"dtype": torch.float32, **load})
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":  # bitsandbytes would repack them for inference
            module.support_avx512bf16_for_cpu = False
    peft = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        logits: torch.Tensor = peft(torch.tensor([IDS])).logits[0].float()
    return logits


ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True, "lora_alpha": 3},
    "patterns": {
        "rank_pattern": {"q_proj": 2, "model.layers.1.mlp.down_proj": 6},
        "alpha_pattern": {"layers.0.self_attn.v_proj": 32, "k_proj": 1},
    },
    "dora": {"use_dora": True},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "whole head": {"modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_merged_equals_peft(kind: str, base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(base, tmp_path / "adapter", **ADAPTERS[kind])

    merged = merged_logits(source_of(base, adapter), tmp_path / "merged")

    trained = peft_logits(base, adapter)
    assert apart(merged, trained) < 2e-3
    assert apart(trained, torch.tensor(Reference(source_of(base)).logits(IDS))) > 0.1


@pytest.mark.parametrize("changed", [{"modules_to_save": ["lm_head"]}, ADAPTERS["embedding"]])
def test_a_tied_head_that_was_trained_is_untied(
    changed: dict[str, Any], tied: Path, tmp_path: Path
) -> None:
    adapter = random_adapter(tied, tmp_path / "adapter", **changed)

    merged = merged_logits(source_of(tied, adapter), tmp_path / "merged")

    assert apart(merged, peft_logits(tied, adapter)) < 2e-3
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    assert "lm_head.weight" in contents(tmp_path / "merged")


def test_a_tied_head_left_alone_stays_tied(tied: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tied, tmp_path / "adapter")
    assert (
        apart(
            merged_logits(source_of(tied, adapter), tmp_path / "merged"), peft_logits(tied, adapter)
        )
        < 2e-3
    )
    assert "lm_head.weight" not in contents(tmp_path / "merged")


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_faithful_merge_equals_the_4_bit_model(
    double_quant: bool, dtype: str, base: Path, tmp_path: Path
) -> None:
    from transformers import BitsAndBytesConfig

    adapter = random_adapter(base, tmp_path / "adapter")
    held = {"quantization": "nf4", "double_quant": double_quant, "dtype": dtype}
    source = source_of(base, adapter, **held)
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=torch.float32,
    )

    trained = peft_logits(base, adapter, quantization_config=quantised, dtype=getattr(torch, dtype))
    merged = merged_logits(source, tmp_path / "merged")
    original = merged_logits(source_of(base, adapter), tmp_path / "original")

    noise = 2e-3 if dtype == "float32" else 0.5  # embedding, norms and head compute in bfloat16
    assert apart(merged, trained) < noise
    assert apart(original, trained) > 2 * apart(merged, trained)
    assert apart(merged, torch.tensor(Reference(source).logits(IDS))) < 2e-3


def test_a_family_without_a_converter_can_be_merged(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", architecture="GPTNeoX", tie_word_embeddings=False)
    adapter = random_adapter(base, tmp_path / "adapter", target_modules=["query_key_value"])
    source = source_of(base, adapter)
    assert apart(merged_logits(source, tmp_path / "merged"), peft_logits(base, adapter)) < 2e-3


def test_only_linear_layers_of_the_blocks_are_quantised(base: Path) -> None:
    names = quantised_modules(base)
    assert len(names) == 2 * 7
    assert "lm_head" not in names and "model.embed_tokens" not in names


def test_sharded_input_is_read_through_its_index(base: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    shutil.copytree(base, sharded)
    weights = load_file(base / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, listed in parts.items():
        save_file({name: weights[name] for name in listed}, sharded / part)
    index = {"weight_map": {name: part for part, listed in parts.items() for name in listed}}
    path = sharded / "model.safetensors.index.json"
    path.write_text(json.dumps(index))

    one, other = Merged(source_of(base)), Merged(source_of(sharded))
    plan = {item.name: item for item in other.plan()}
    assert sorted(plan) == names
    for item in one.plan():
        assert torch.equal(one.tensor(item), other.tensor(plan[item.name]))

    index["weight_map"]["model.norm.weight"] = "a.safetensors"
    index["weight_map"]["lm_head.weight"] = "b.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(BadInput, match="disagree about"):
        contents(sharded)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
        ({"use_dora": True}, "DoRA"),
    ],
)
def test_unknown_adapter_content_is_refused(
    change: dict[str, Any], word: str, base: Path, tmp_path: Path
) -> None:
    adapter = random_adapter(base, tmp_path / "adapter")
    edit_json(adapter / "adapter_config.json", **change)
    with pytest.raises(Unsupported, match=word):
        Adapter.load(adapter)


def test_broken_adapters_are_refused(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(base, tmp_path / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    name = next(name for name in weights if "layers.0.self_attn.q_proj.lora_A" in name)

    save_file({**weights, "base_model.model.x.odd": torch.ones(1)}, adapter / "x.safetensors")
    (adapter / "x.safetensors").replace(adapter / "adapter_model.safetensors")
    with pytest.raises(Unsupported, match="odd"):
        Adapter.load(adapter)

    save_file({k: v for k, v in weights.items() if k != name}, adapter / "x.safetensors")
    (adapter / "x.safetensors").replace(adapter / "adapter_model.safetensors")
    with pytest.raises(BadInput, match=r"layers\.0\.self_attn\.q_proj"):
        Adapter.load(adapter)

    strange = {k.replace("layers.0", "layers.7"): v for k, v in weights.items()}
    save_file(strange, adapter / "adapter_model.safetensors")
    with pytest.raises(Unsupported, match=r"layers\.7"):
        Merged(source_of(base, adapter))

    (adapter / "adapter_model.safetensors").write_bytes(b"\x08" + bytes(20))
    with pytest.raises(BadInput, match="not a whole safetensors file"):
        Adapter.load(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"adapter_model\.safetensors"):
        Adapter.load(adapter)


def test_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    other = tiny_llama(tmp_path / "other", hidden_size=32, num_attention_heads=2)
    adapter = random_adapter(other, tmp_path / "adapter")
    merged = Merged(source_of(base, adapter))
    with pytest.raises(BadInput, match="shape"):
        for item in merged.plan():
            merged.tensor(item)


def test_clean_adapter_folder(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(base, tmp_path / "adapter")
    (adapter / "optimizer.pt").write_bytes(b"no")
    source = source_of(base, adapter, base_ref=str(base), record={"name": "a|b", "r": 4})

    write_adapter(source, tmp_path / "clean")

    names = sorted(file.name for file in (tmp_path / "clean").iterdir())
    assert names == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    for name in names[:2]:
        assert str(tmp_path) not in (tmp_path / "clean" / name).read_text()
    assert "# a\\|b" in (tmp_path / "clean" / "README.md").read_text()
    stages = prove(source, tmp_path / "clean", "f32", kind="adapter")
    assert stages["end"].state == "pass"
    assert stages["end"].numbers["kl_max"] == 0
    with pytest.raises(Unsupported, match="no adapter"):
        write_adapter(source_of(base), tmp_path / "none")


def test_merged_folder_in_bf16_passes_its_proof(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(base, tmp_path / "adapter", strength=0.02)
    source = source_of(base, adapter)
    merged = Merged(source)
    write_merged(merged, source, "f16", tmp_path / "merged", lambda _done, _total: None)

    stages = prove(source, tmp_path / "merged", "f16", kind="merged")

    assert {name: stage.state for name, stage in stages.items()} == dict.fromkeys(stages, "pass")
    assert stages["end"].numbers["kl_mean"] > 0
    dtypes = {entry.dtype for entry in contents(tmp_path / "merged").values()}
    assert dtypes == {"F16"}


def test_the_card_of_an_adapter_loads_it_as_it_was_trained(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    adapter = random_adapter(base, tmp_path / "adapter")
    card = model_card(source_of(base, adapter, quantization="nf4"), "adapter", "f32")
    code = card.split("```python\n")[1].split("```")[0]
    code = code.replace('"test"', repr(str(base))).replace('"this-folder"', repr(str(adapter)))
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    assert names["base"].is_loaded_in_4bit and names["base"].dtype == torch.float32
    assert names["model"].active_adapters == ["default"]


def test_a_row_larger_than_a_piece(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the experts of a mixture are, all of a layer in one tensor."""
    monkeypatch.setattr(merge, "_PIECE", 50)
    merged = Merged(source_of(base))
    for planned in merged.plan():
        assert torch.equal(torch.cat(list(merged.pieces(planned))), merged.tensor(planned))
