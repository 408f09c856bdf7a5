"""The training script anyone would write with TRL, to measure our job against (heavy).

`python -m bench.plain_trl plain|defaults OUT`: tokens per second of every step, as a JSON list.
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

import assets
from bench.train import ALPHA, BATCH, RANK, RATE, STEPS, THREADS

# As our job's recipe has them; "defaults" leaves these four to TRL.
SAME: dict[str, Any] = {
    "bf16": False,
    "activation_checkpointing": False,
    "train_sampling_strategy": "group_by_length",
    "logging_steps": 1,
}


class Clock(TrainerCallback):  # type: ignore[misc]
    """Tokens over time from log to log."""

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self._time, self._tokens = time.perf_counter(), 0.0

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        del args, state, control
        if logs and "loss" in logs:
            now, tokens = time.perf_counter(), float(logs["num_tokens"])
            self.speeds.append((tokens - self._tokens) / (now - self._time))
            self._time, self._tokens = now, tokens


def main(kind: str, out: Path) -> None:
    """Train, and write down how fast each step was."""
    torch.set_num_threads(THREADS)
    base = assets.path("starter")
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=quantization
    )
    data = load_dataset("json", data_files=str(assets.path("datasets", "habit.jsonl")))["train"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                max_steps=STEPS,
                per_device_train_batch_size=BATCH,
                learning_rate=RATE,
                max_length=1024,
                assistant_only_loss=True,
                save_strategy="no",
                report_to=[],
                use_cpu=not torch.cuda.is_available(),
                disable_tqdm=True,
                **(SAME if kind == "plain" else {"logging_steps": 1}),
            ),
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"),
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
    out.write_text(json.dumps(clock.speeds))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
