"""An adapter as GGUF: proved on its base as training held it, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.export.client import export, verify
from engine.export.gguf.adapter import write_adapter_gguf
from engine.models import refs
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Unsupported
from tests.engine.chat_fixtures import add_run
from tests.engine.export_models import random_adapter, source_of, tiny_llama


def _ignore(*_: object) -> None:
    """Progress is looked at elsewhere."""


def test_it_is_proved_for_the_run_that_it_is_of_alone(cat: Catalogue, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", initializer_range=0.1)
    adapter = random_adapter(base, tmp_path / "adapter", use_rslora=True, r=8)
    run = add_run(cat, str(base), {3: adapter}, load_in_4bit=True)

    [made] = export(cat, run, to="adapter-gguf", types=["f32"], out=tmp_path / "a.gguf")

    assert (made.kind, made.status) == ("adapter-gguf", "proved")
    [proof] = exports.proofs(cat, made.id)
    numbers = {stage["name"]: stage["numbers"] for stage in proof.stages}
    assert numbers["end"]["kl_mean"] < 1e-6
    assert numbers["end"]["kl_base"] > 0.01
    assert numbers["merge"]["kl_mean"] > 1e-4  # on a file of the base's own weights
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] in ".a") == [
        "a.gguf", "a.gguf.proof.json", "a.gguf.workbench.json", "adapter",
    ]  # fmt: skip
    reader = gguf.GGUFReader(made.path)
    words = {key: field.contents() for key, field in reader.fields.items()}
    assert words["general.type"] == "adapter"
    assert (words["adapter.type"], words["adapter.lora.alpha"]) == ("lora", 0.0)
    assert words["workbench.quantization"] == "nf4"
    [_, under] = exports.all(cat)
    assert (under.path, under.ref) == (str(tmp_path / "base-nf4-f32.gguf"), "run:1*0")
    assert under.status == "proved"
    assert words["workbench.base_gguf_sha256"] == under.sha256
    assert made.provenance["base_gguf_sha256"] == under.sha256
    assert not [key for key, value in words.items() if str(tmp_path) in str(value)]

    other = random_adapter(base, tmp_path / "other", r=8)
    target = tmp_path / "other.gguf"
    write_adapter_gguf(source_of(base, other), target, notes={}, on_progress=_ignore)
    told = {stage["name"]: stage["state"] for stage in verify(cat, target, run).stages}
    assert (told["load"], told["end"]) == ("pass", "fail")
    assert not list(cat.workspace.logs.glob("*.base"))


def test_two_adapters_share_a_base_of_weights_beyond_f16(cat: Catalogue, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", initializer_range=0.1)
    weights = base / "model.safetensors"
    stored = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}
    stored["model.layers.0.input_layernorm.weight"] /= 1e6
    stored["model.layers.0.self_attn.v_proj.weight"] *= 1e6  # over 65504
    save_file(stored, weights, {"format": "pt"})
    one, two = (random_adapter(base, tmp_path / name, strength=0.01) for name in ("one", "two"))
    run = add_run(cat, str(base), {3: one, 4: two}, dtype="bfloat16")

    made = [
        record
        for step in (3, 4)
        for record in export(cat, f"{run}@{step}", to="adapter-gguf", out=tmp_path / f"{step}.gguf")
    ]

    assert [record.status for record in made] == ["proved", "proved"]
    [under] = [e for e in exports.all(cat) if e.kind == "gguf" and e.status == "proved"]
    assert (under.type, under.ref) == ("f32", f"{run}*0")
    alone = refs.resolve(cat, under.ref)
    assert (alone.adapter, alone.run_id, alone.dtype) == (None, None, "bfloat16")
    assert [m.provenance["base_gguf_sha256"] for m in made] == [under.sha256] * 2


HELD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "dora": ({}, {"use_dora": True}, "DoRA's magnitudes"),
    "saved": ({}, {"modules_to_save": ["lm_head"]}, "modules_to_save"),
    "tokens": ({}, {"trainable_token_indices": [7, 9]}, "trained rows of tokens"),
    "tied": (
        {"tie_word_embeddings": True},
        {"target_modules": ["embed_tokens"]},
        "one tensor for embedding and head",
    ),
    "bias": ({}, {"lora_bias": True}, "key lora_bias"),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_it_cannot_hold_is_refused_with_the_way_out(kind: str, tmp_path: Path) -> None:
    model, config, words = HELD[kind]
    base = tiny_llama(tmp_path / "base", **model)
    adapter = random_adapter(base, tmp_path / "adapter", **config)
    with pytest.raises(Unsupported, match=words) as refused:
        write_adapter_gguf(
            source_of(base, adapter), tmp_path / "a.gguf", notes={}, on_progress=_ignore
        )
    assert "--to gguf" in refused.value.hint or kind == "bias"
    assert not (tmp_path / "a.gguf").exists()


def test_an_embedding_that_grew_and_values_that_are_none_are_refused(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    adapter = random_adapter(base, tmp_path / "adapter", target_modules=["embed_tokens", "q_proj"])
    weights = adapter / "adapter_model.safetensors"
    stored = load_file(weights)
    key = next(name for name in stored if name.endswith("embed_tokens.base_layer.weight"))
    source = source_of(base, adapter)
    write_adapter_gguf(source, tmp_path / "a.gguf", notes={}, on_progress=_ignore)
    save_file(stored | {key: stored[key] + 1}, weights)
    with pytest.raises(Unsupported, match="an embedding that is not the base's"):
        write_adapter_gguf(source, tmp_path / "b.gguf", notes={}, on_progress=_ignore)
    broken = {name: torch.full_like(one, torch.nan) for name, one in stored.items() if name != key}
    save_file(broken | {key: stored[key]}, weights)
    with pytest.raises(BadInput, match="NaN or infinite"):
        write_adapter_gguf(source, tmp_path / "c.gguf", notes={}, on_progress=_ignore)
