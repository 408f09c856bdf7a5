"""Small random models, tokenizers and adapters for the tests of exports.

Weights are wide enough that next-token distributions are far from flat: a lost permutation or a
lost adapter then shows as a KL divergence of order one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

import assets
from bench.tiny import adapt
from engine.export.proof import questions
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import Job, Source, Stage, Target

STARTER = assets.path("starter")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def tiny_llama(
    folder: Path, *, architecture: str = "Llama", vocab: int = 2048, **config: Any
) -> Path:
    """A random model of the Llama family with the starter's tokenizer."""
    import transformers

    settings: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 5,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    kind = getattr(transformers, f"{architecture}Config")
    model_class = getattr(transformers, f"{architecture}ForCausalLM")
    model = model_class(kind(**{**settings, **config}))
    for name, parameter in model.named_parameters():
        if name.endswith(".bias") or "norm" in name:
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.2)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(STARTER / name, folder / name)
    return folder


def random_adapter(base: Path, folder: Path, *, strength: float = 0.1, **config: Any) -> Path:
    """A PEFT LoRA adapter on `base` whose B matrices (and DoRA magnitudes) are not at rest."""
    adapted = ("q_proj", "k_proj", "v_proj", "down_proj")
    return adapt(base, folder, adapted, strength=strength, **config)


def source_of(base: Path, adapter: Path | None = None, **changes: Any) -> Source:
    """A trained model as files."""
    values: dict[str, Any] = {"ref": "test", "base": str(base), "base_ref": "test"}
    values["adapter"] = str(adapter) if adapter else None
    return Source(**{**values, **changes})


def prove(source: Source, target: Path, type_name: str, kind: str = "gguf") -> dict[str, Stage]:
    """The decided stages of a proof in this process, by name."""
    job = Job(
        "verify", kind, [Target(type_name, str(target))], source, str(target.parent / "llama.log")
    )
    told: list[Stage] = []
    with Yardstick(job) as yardstick:
        stages = questions.prove(job, job.targets[0], yardstick, told.append)
    assert {stage.name for stage in stages} <= {stage.name for stage in told}
    return {stage.name: stage for stage in stages}


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
