"""Every family of the table: a tiny model in llama.cpp answers like transformers, or is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

from bench.tiny import SHAPES, Shape, adapt, build, divergences, source_of
from engine.export import merge
from engine.export.gguf import graph
from engine.export.gguf.convert import Written, write_gguf
from engine.export.gguf.families import FAMILIES, family_of
from engine.export.merge import Merged, quantised_modules
from engine.export.stages import Source
from store.errors import BadInput, Unsupported

NAMES = list(SHAPES)
LONG = "Phi-3.5, Phi-4-mini, longrope"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {name: build(SHAPES[name], folder / str(i)) for i, name in enumerate(NAMES)}


def convert(source: Source, target: Path, type_name: str = "f32") -> Written:
    folder, nothing = Path(source.base), lambda _done, _total: None
    return write_gguf(Merged(source), folder, type_name, target, notes={}, on_progress=nothing)


def changed(folder: Path, **config: Any) -> dict[str, Any]:
    return {**json.loads((folder / "config.json").read_text()), **config}


def test_every_family_has_a_shape() -> None:
    assert {f"{shape.architecture}ForCausalLM" for shape in SHAPES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_with_an_adapter_it_answers_like_transformers(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    adapter = adapt(models[name], tmp_path / "adapter", SHAPES[name].adapted)
    source = source_of(models[name], adapter)
    convert(source, tmp_path / "m.gguf")

    sources = source, source_of(models[name])
    found, without = divergences(tmp_path / "m.gguf", tmp_path / "log", *sources)

    assert found["kl_mean"] < 1e-6
    assert without["kl_mean"] > 1e-3


ADAPTERS: list[tuple[str, dict[str, Any]]] = [
    ("Phi-3", {"use_dora": True}),
    ("Phi-3", {"modules_to_save": ["lm_head"]}),
    (
        LONG,
        {
            "use_rslora": True,
            "rank_pattern": {"qkv_proj": 2},
            "alpha_pattern": {"layers.0.mlp.gate_up_proj": 32},
        },
    ),
    ("Qwen3", {"use_dora": True, "use_rslora": True}),
    ("Gemma 3", {"modules_to_save": ["lm_head"]}),
    ("Qwen2, Qwen2.5, tied", {"target_modules": ["q_proj", "embed_tokens"]}),
    ("Granite", {"modules_to_save": ["embed_tokens", "lm_head"], "use_dora": True}),
    ("Llama 3, SmolLM2", {"modules_to_save": ["embed_tokens"]}),
    ("Gemma 2", {"trainable_token_indices": [7, 2000]}),
    ("OLMo 2, tied", {"trainable_token_indices": [7, 2000]}),
]


@pytest.mark.parametrize(("name", "config"), ADAPTERS)
def test_every_kind_of_adapter(
    name: str, config: dict[str, Any], models: dict[str, Path], tmp_path: Path
) -> None:
    adapter = adapt(models[name], tmp_path / "adapter", SHAPES[name].adapted, **config)
    source = source_of(models[name], adapter)
    convert(source, tmp_path / "m.gguf")

    assert divergences(tmp_path / "m.gguf", tmp_path / "log", source)[0]["kl_mean"] < 1e-6


@pytest.mark.parametrize("name", ["Qwen3", "Phi-3", "Gemma 3"])
def test_the_4_bit_model_is_what_is_written(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    adapter = adapt(models[name], tmp_path / "adapter", SHAPES[name].adapted)
    held = source_of(models[name], adapter, quantization="nf4")
    convert(held, tmp_path / "m.gguf")
    convert(source_of(models[name], adapter), tmp_path / "original.gguf")

    [faithful] = divergences(tmp_path / "m.gguf", tmp_path / "log", held)
    [original] = divergences(tmp_path / "original.gguf", tmp_path / "log", held)

    assert faithful["kl_mean"] < 1e-6
    assert original["kl_mean"] > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_round_trip_is_for_what_bitsandbytes_holds(name: str, models: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoModelForCausalLM.from_pretrained(models[name], quantization_config=settings)
    modules = dict(model.named_modules())
    held = {key for key, module in modules.items() if type(module).__name__ == "Linear4bit"}

    assert quantised_modules(models[name]) == held


def old(config: dict[str, Any]) -> dict[str, Any]:
    """A config as transformers 4 wrote it: no `rope_parameters`, no lists of layers."""
    found = {k: v for k, v in config.items() if k not in ("layer_types", "no_rope_layers")}
    ropes = dict(found.pop("rope_parameters"))
    if "sliding_attention" in ropes:
        found["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
        ropes = dict(ropes["full_attention"])
    found["rope_theta"] = ropes.pop("rope_theta")
    found["partial_rotary_factor"] = ropes.pop("partial_rotary_factor", None)
    kind = ropes.pop("rope_type")
    found["rope_scaling"] = None if kind == "default" else {"type": kind, **ropes}
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if "odd" not in name])
def test_old_configs_say_the_same(name: str, models: dict[str, Path]) -> None:
    config = changed(models[name])
    assert graph.keys(old(config), 9) == graph.keys(config, 9)
    assert graph.rope_tensors(old(config)) == graph.rope_tensors(config)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("Qwen3", {"architectures": ["Qwen9ForCausalLM"]}, "Qwen9ForCausalLM: the GGUF converter know"),
    (
        "Gemma 3",
        {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {}},
        "Gemma3ForConditionalGeneration: more than text",
    ),
    ("Qwen3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope type dynamic"),
    ("Qwen3", {"rope_parameters": {"rope_type": "llama3", "factor": 2.0}}, "rope type llama3"),
    (
        "Qwen3",
        {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "beta_fast": 16}},
        "yarn with beta_fast 16",
    ),
    (
        "Gemma 3",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
        "rope type linear.*in sliding layers",
    ),
    ("Qwen2, Qwen2.5, tied", {"head_dim": 32}, "head_dim 32"),
    ("Llama 3, SmolLM2", {"hidden_act": "gelu"}, "activation gelu"),
    ("Gemma 2", {"hidden_activation": "gelu"}, "activation gelu"),
    ("Gemma 2", {"query_pre_attn_scalar": 64}, "query_pre_attn_scalar 64"),
    ("Gemma 3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("Gemma 3", {"attn_logit_softcapping": 30.0}, "attn_logit_softcapping"),
    ("SmolLM3", {"no_rope_layers": [1] * 5}, "no_rope_layers"),
    ("EXAONE 4", {"sliding_window": 128}, "sliding_window 128"),
    ("Command R", {"use_qk_norm": True}, "use_qk_norm"),
]


@pytest.mark.parametrize(("name", "config", "words"), REFUSED)
def test_what_llama_cpp_would_ignore_is_refused(
    name: str, config: dict[str, Any], words: str, models: dict[str, Path]
) -> None:
    with pytest.raises(Unsupported, match=words) as caught:
        family_of(changed(models[name], **config))
    assert "--to merged" in caught.value.hint


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("Qwen3", {"num_hidden_layers": "many"}, "num_hidden_layers"),
    ("Qwen3", {"rms_norm_eps": None}, "rms_norm_eps"),
    ("Qwen3", {"max_position_embeddings": None}, "max_position_embeddings"),
    ("Gemma 2", {"final_logit_softcapping": None}, "final_logit_softcapping"),
    ("Granite", {"residual_multiplier": "1"}, "residual_multiplier"),
    ("Llama 3, SmolLM2", {"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "low_freq"),
    ("Phi-3", {"rope_parameters": {"rope_type": "longrope"}}, "long_factor"),
]


@pytest.mark.parametrize(("name", "config", "key"), BROKEN)
def test_a_broken_config_names_its_key(
    name: str, config: dict[str, Any], key: str, models: dict[str, Path]
) -> None:
    wrong = changed(models[name], **config)
    with pytest.raises(BadInput, match=key):
        graph.keys(wrong, 9)
        graph.rope_tensors(wrong)


def test_a_cap_is_said(models: dict[str, Path], tmp_path: Path) -> None:
    capped = convert(source_of(models["Mistral, capped to its window"]), tmp_path / "a.gguf")
    long = convert(source_of(models[LONG]), tmp_path / "b.gguf")

    assert capped.remarks[0].startswith("context 128 instead of 512: llama.cpp's 'llama' has no")
    assert long.remarks[0].startswith("context 512 instead of 4096: opened with more")
    assert not convert(source_of(models["Qwen3"]), tmp_path / "c.gguf").remarks


def test_a_head_of_its_own_where_the_graph_has_none(
    models: dict[str, Path], tmp_path: Path
) -> None:
    adapter = adapt(models["Gemma 2"], tmp_path / "a", ("q_proj",), modules_to_save=["lm_head"])
    with pytest.raises(Unsupported, match=r"lm_head\.weight differs from the embedding"):
        convert(source_of(models["Gemma 2"], adapter), tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_a_weight_without_a_place(tmp_path: Path) -> None:
    shape = Shape("Qwen3", {"attention_bias": True, "num_hidden_layers": 1})
    with pytest.raises(Unsupported, match=r"o_proj\.bias: llama.cpp's 'qwen3' has no place"):
        convert(source_of(build(shape, tmp_path / "base")), tmp_path / "m.gguf")


@pytest.mark.parametrize("lost", ["layers.1.mlp.up_proj", "norm", "embed_tokens"])
def test_a_lost_weight_is_noticed(lost: str, models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(models["Qwen3"], folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if k != f"model.{lost}.weight"},
        folder / "model.safetensors",
    )
    with pytest.raises(BadInput, match="not whole"):
        convert(source_of(folder), tmp_path / "m.gguf")


@pytest.mark.parametrize("name", ["Qwen2, Qwen2.5, tied", "Gemma 3, odd layers, stretched"])
@pytest.mark.parametrize("type_name", ["f16", "q8_0"])
def test_pieces_make_the_same_file(
    name: str,
    type_name: str,
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"trainable_token_indices": [7, 100, 2000]}
    adapter = adapt(models[name], tmp_path / "adapter", ("q_proj",), **config)
    source = source_of(models[name], adapter)
    convert(source, tmp_path / "whole.gguf", type_name)
    monkeypatch.setattr(merge, "_PIECE", 64 * 37)
    convert(source, tmp_path / "pieces.gguf", type_name)

    assert (tmp_path / "pieces.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_an_image_token_without_a_row_is_left_out(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(models["Gemma 3"], folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    image = {**tokenizer["added_tokens"][0], "id": 2048, "content": "<image_soft_token>"}
    tokenizer["added_tokens"].append(image)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    convert(source_of(folder), tmp_path / "m.gguf")
    tokens = GGUFReader(tmp_path / "m.gguf").fields["tokenizer.ggml.tokens"].contents()

    assert len(tokens) == 2048
    assert "<image_soft_token>" not in tokens
    image["special"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(BadInput, match="2048 lies beyond the embedding's 2048 rows"):
        convert(source_of(folder), tmp_path / "m.gguf")


ODD: list[Any] = [None, "x", -1, 0, 1, 10**30, float("nan"), float("inf"), True, [], [None] * 9, {}]


def spoilt(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config with each value in it, one at a time, replaced by each odd one."""
    for key, value in config.items():
        yield from ({**config, key: odd} for odd in ODD)
        if isinstance(value, dict):
            yield from ({**config, key: inner} for inner in spoilt(value))


@pytest.mark.parametrize(
    "name", ["Llama 3, SmolLM2", "Gemma 3", "SmolLM3", "OLMo 3", "Granite", LONG]
)
def test_an_odd_config_is_read_or_refused(name: str, models: dict[str, Path]) -> None:
    refused = 0
    for config in spoilt(changed(models[name])):
        try:
            graph.check(config)
        except (BadInput, Unsupported):
            refused += 1
    assert refused > 100
