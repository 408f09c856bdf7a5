"""The text part of a model that also reads images: a folder and a file of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from engine.export.folder import write_merged
from engine.export.gguf import graph
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.stages import Stage
from engine.models.folder import read_json
from store.errors import Unsupported
from tests.engine.export_models import (
    STARTER,
    TOKENIZER_FILES,
    edit_json,
    prove,
    random_adapter,
    source_of,
)


def _ignore(*_: object) -> None:
    """Progress is looked at elsewhere."""


def _seeing(folder: Path) -> Path:
    """A random Gemma 3 as those from 4B on are published."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    torch.manual_seed(0)
    text = {
        "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "query_pre_attn_scalar": 16, "max_position_embeddings": 512, "sliding_window": 64,
        "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 5, "pad_token_id": 0,
    }  # fmt: skip
    sight = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = Gemma3Config(
        text_config=text, vision_config=sight, mm_tokens_per_image=4, image_token_index=3,
        boi_token_index=3, eoi_token_index=4, eos_token_id=5,
    )  # fmt: skip
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(STARTER / name, folder / name)
    # As published: what is usual is left out.
    said = read_json(folder / "config.json")["text_config"]
    less = {key: value for key, value in said.items() if key not in ("layer_types", "rms_norm_eps")}
    edit_json(folder / "config.json", text_config=less)
    return folder


def _exact(stages: dict[str, Stage]) -> bool:
    return stages["end"].numbers["kl_mean"] < 1e-6 and stages["end"].numbers["top1"] == 1


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_it_is_written_with_the_adapter_on_it(quantization: str | None, tmp_path: Path) -> None:
    base = _seeing(tmp_path / "base")
    with pytest.raises(Unsupported, match="more than text") as refused:
        graph.check(read_json(base / "config.json"))
    assert "--to merged" in refused.value.hint
    adapter = random_adapter(base, tmp_path / "adapter")  # on its eyes too
    source = source_of(base, adapter, quantization=quantization)

    write_merged(Merged(source), source, "f32", tmp_path / "text", _ignore)

    assert _exact(prove(source, tmp_path / "text", "f32", "merged"))
    alone = source_of(tmp_path / "text")
    file = tmp_path / "text.gguf"
    write_gguf(Merged(alone), tmp_path / "text", "f32", file, notes={}, on_progress=_ignore)
    assert _exact(prove(source, file, "f32"))
