"""The converter: tiny random models in llama.cpp answer like transformers, whatever their shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.stages import Source
from store.errors import Unsupported
from tests.engine.export_models import edit_json, prove, random_adapter, source_of, tiny_llama

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}

SHAPES: dict[str, dict[str, Any]] = {
    "grouped": {},
    "all heads, tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "llama3 rope, tied": {"rope_parameters": LLAMA3, "tie_word_embeddings": True},
    "linear rope": {"rope_parameters": LINEAR},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "wide heads": {"head_dim": 32},
    "padded vocabulary": {"vocab": 2080},
    "mistral": {"architecture": "Mistral", "sliding_window": None, "head_dim": 16},
}


def convert(source: Source, target: Path, type_name: str) -> None:
    notes = {"general.name": "test"}
    write_gguf(
        Merged(source), Path(source.base), type_name, target, notes=notes, on_progress=_ignore
    )


def _ignore(_done: int, _total: int) -> None:
    """Progress is looked at elsewhere."""


@pytest.mark.parametrize("shape", SHAPES)
def test_f32_file_equals_transformers(shape: str, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", **SHAPES[shape])
    convert(source_of(base), tmp_path / "model.gguf", "f32")

    stages = prove(source_of(base), tmp_path / "model.gguf", "f32")

    assert {name: stage.state for name, stage in stages.items()} == dict.fromkeys(stages, "pass")
    assert stages["end"].numbers["kl_mean"] < 1e-5
    assert stages["end"].numbers["top1"] > 0.999
    assert stages["greedy"].numbers["same"] == stages["greedy"].numbers["prompts"] == 4


@pytest.mark.parametrize(("type_name", "limit"), [("f16", 1e-4), ("bf16", 1e-2), ("q8_0", 1e-2)])
def test_narrow_types_with_an_adapter(type_name: str, limit: float, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", initializer_range=0.1)
    adapter = random_adapter(base, tmp_path / "adapter")
    source = source_of(base, adapter)
    convert(source, tmp_path / "model.gguf", type_name)

    found = prove(source, tmp_path / "model.gguf", type_name)["end"].numbers

    assert found["kl_mean"] < limit
    assert found["kl_base"] > 20 * found["kl_mean"]
    assert found["share_lost"] < 0.05


def test_rows_that_do_not_divide_by_32_stay_f16(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", hidden_size=48, num_attention_heads=4, head_dim=12)
    source = source_of(base)
    written = write_gguf(
        Merged(source), base, "q8_0", tmp_path / "m.gguf", notes={}, on_progress=_ignore
    )
    assert written.fallbacks == written.tensors - written.kept_f32 - 2  # down_proj of 2 blocks


def test_a_lost_permutation_fails_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_llama(tmp_path / "base")
    monkeypatch.setattr("engine.export.gguf.convert.rotary_rows", lambda weight, _heads: weight)
    convert(source_of(base), tmp_path / "model.gguf", "f32")

    stages = prove(source_of(base), tmp_path / "model.gguf", "f32")

    assert stages["end"].state == "fail"
    assert stages["tokens"].state == "pass"


TEXTS = [
    "Hello world, it's 1234 words: they'll DON'T stop!\n\n  def f(x):\r\n\treturn x+1\n",
    "naïve café — Straße 12,345.67  €  日本語テキスト한국어 Русский हिन्दी 👩‍👩‍👧",
]


def _train(tokenizer: Tokenizer, alphabet: list[str], special: list[str], folder: Path) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


SPECIAL = ["<|pad|>", "<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_like_tokenizer(prefix: bool, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1, vocab=1024)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    steps: list[Any] = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = [*SPECIAL, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    _train(tokenizer, [], special, base)
    added = json.loads((base / "tokenizer.json").read_text())["added_tokens"]
    added = [token for token in added if not token["content"].startswith("<0x")]
    edit_json(base / "tokenizer.json", added_tokens=added)
    edit_json(base / "tokenizer_config.json", unk_token="<unk>")
    convert(source_of(base), tmp_path / "model.gguf", "f16")

    stages = prove(source_of(base), tmp_path / "model.gguf", "f16")

    assert stages["tokens"].state == "pass"


def test_unknown_cut_is_refused(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(base / "tokenizer.json"))
    with pytest.raises(Unsupported, match="pre_tokenizer") as caught:
        convert(source_of(base), tmp_path / "model.gguf", "f16")
    assert "--to merged" in caught.value.hint
    assert not (tmp_path / "model.gguf").exists()
