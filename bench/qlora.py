"""A short QLoRA training, and which merge of it answers like what was trained.

Trains on a 4-bit base as the application does, then merges into that base as it was while
training ("faithful") and into the original weights, and measures both files on other text.
"""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from bench.tiny import source_of
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.proof.divergence import Divergence
from engine.export.proof.reference import Reference
from engine.llama.client import LlamaWorker

STEPS, BATCH, LENGTH, TESTED = 40, 4, 128, 12
RATE = 5e-4


def measure(base: Path, scratch: Path) -> None:
    """Train an adapter on `base` in NF4, and print how far both merges are from it."""
    rows = _rows(base)
    adapter = _train(base, rows[TESTED:], scratch / "qlora")
    held = source_of(base, adapter, quantization="nf4", dtype="bfloat16")
    reference, tested = Reference(held), rows[:TESTED]
    exact = [reference.logits(ids) for ids in tested]
    before = Divergence()
    for ids, logits in zip(tested, exact, strict=True):
        before.add(logits, reference.logits(ids, base=True), ids, [1] * LENGTH)
    tuned = before.numbers()["kl_mean"]
    print(f"\nQLoRA (NF4, {STEPS} steps): KL from the trained model; of it lost of the fine-tune")
    print(f"  {'no adapter':34} {tuned:8.1e}")
    for merge, source in (
        ("faithful", held),
        ("original weights", source_of(base, adapter, dtype="bfloat16")),
    ):
        for type_name in ("f32", "f16"):
            file = scratch / "merge.gguf"
            write_gguf(
                Merged(source),
                base,
                type_name,
                file,
                notes={},
                on_progress=lambda _done, _total: None,
            )
            found = Divergence()
            with LlamaWorker.open(file, scratch / "llama.log") as llama:
                for ids, logits in zip(tested, exact, strict=True):
                    found.add(logits, llama.logits([ids]), ids, [1] * LENGTH)
            numbers = found.numbers()
            label = f"{merge}, {type_name.upper()}"
            loss = numbers["loss_export"] - numbers["loss_trained"]
            print(
                f"  {label:34} {numbers['kl_mean']:8.1e}  top-1 {numbers['top1']:6.1%}  "
                f"loss {loss:+.4f}  lost {numbers['kl_mean'] / tuned:.2%}"
            )


def _rows(base: Path) -> list[list[int]]:
    """Pieces of Python's manual, the same on every machine with the same Python."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    text = "\n".join(pydoc_data.topics.topics[key] for key in sorted(pydoc_data.topics.topics))
    ids = tokenizer.encode(text[:400_000], add_special_tokens=False).ids
    rows = [ids[start : start + LENGTH] for start in range(0, len(ids) - LENGTH, LENGTH)]
    mixed = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3)).tolist()
    return [rows[i] for i in mixed]


def _train(base: Path, rows: list[list[int]], folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.manual_seed(4)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, quantization_config=settings, dtype=torch.bfloat16
    )
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":  # bitsandbytes would repack them for inference
            module.support_avx512bf16_for_cpu = False
    wanted = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=8, lora_alpha=16, target_modules=wanted, task_type="CAUSAL_LM")
    peft: Any = get_peft_model(model, config)
    trained = [parameter for parameter in peft.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    peft.train()
    for step in range(STEPS):
        ids = torch.tensor(rows[step * BATCH : (step + 1) * BATCH])
        peft(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    peft.save_pretrained(folder)
    return folder
