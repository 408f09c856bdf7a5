"""The training script anyone would write with TRL, to measure our job against (heavy).

`python -m bench.plain_trl KIND MODEL DATA OUT STEPS`. Kinds: `defaults` leaves all to TRL but the
batch (8, its default) and LoRA; `tuned` is the best hand-tuned script: batches of similar length,
no checkpointing, float32; `tuned-bf16` the same in bfloat16; `nf4` and `nf4-bf16` on a quantised
base, as `tuned`. `plain-nf4` and `plain-bf16` are TRL's defaults on such a base. A `@N` behind the
kind sets another batch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from bench.train import ALPHA, RANK, RATE

TUNED: dict[str, Any] = {
    "activation_checkpointing": False,
    "train_sampling_strategy": "group_by_length",
}


class Clock(TrainerCallback):  # type: ignore[misc]
    """Both clocks and the tokens, at the end of each step."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.tokens: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        del args, state, control
        if logs and "loss" in logs:
            self.cpu.append(time.process_time())
            self.wall.append(time.time())
            self.tokens.append(float(logs["num_tokens"]))


def main(kind: str, base: str, data: str, out: Path, steps: int) -> None:
    """Train, and write down what the clock saw."""
    kind, _, size = kind.partition("@")
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        torch.set_num_threads(int(torch.get_num_threads()))
    rows = load_dataset("json", data_files=data)["train"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=_model(kind, base),
            args=SFTConfig(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=int(size or 8),
                learning_rate=RATE,
                assistant_only_loss=True,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                use_cpu=not on_gpu,
                disable_tqdm=True,
                **_settings(kind),
            ),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"),
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
        peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    seen = {"cpu": clock.cpu, "wall": clock.wall, "tokens": clock.tokens, "peak": peak}
    out.write_text(json.dumps(seen))


def _settings(kind: str) -> dict[str, Any]:
    if kind == "defaults" or kind.startswith("plain"):
        return {}
    return {**TUNED, "bf16": kind.endswith("bf16")}


def _model(kind: str, base: str) -> Any:
    """As one loads it: TRL's default is float32 with autocast to bfloat16."""
    half = kind.endswith("bf16") or kind.startswith("plain")
    quantization = None
    if "nf4" in kind:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if half else torch.float32,
        )
    return AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.bfloat16 if half else torch.float32,
        quantization_config=quantization,
        device_map={"": 0} if torch.cuda.is_available() else None,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5]))
