"""TRL's SFTTrainer, fed, watched and saved our way (heavy).

Training itself is TRL's. What differs: batches come from the renderer in an order that a resume
repeats; each step goes into the run database; evaluation weighs every token alike and touches no
random state; checkpoints are whole or absent. Knows the trainer's hooks. Does not know commands or
schedules (see `schedule`).
"""

from __future__ import annotations

import dataclasses
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model_state_dict
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from engine.train import checkpoints
from engine.train.batches import Batch, Collator, EpochLoader, evaluation_batches, training_loader
from engine.train.control import POLL_S, Control
from engine.train.examples import Example
from engine.train.failures import is_disk_full
from engine.train.loading import (
    adapters_to_float32,
    assert_unpacked,
    load_base,
    load_tokenizer,
    lora,
)
from engine.train.probes import Prober
from engine.train.recipe import Recipe
from engine.train.recording import Recorder
from engine.train.schedule import Schedule
from engine.train.spec import Spec

_RETRY_S = 2.0
_EVAL_BATCH = 8


class WorkbenchTrainer(SFTTrainer):  # type: ignore[misc]
    """See the module."""

    ours: TrainingParts

    def get_train_dataloader(self) -> EpochLoader:
        return self.ours.loader

    def floating_point_ops(self, inputs: Batch) -> int:  # noqa: ARG002 - the hook's signature
        """Not counted: it walks every parameter at every step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002
        """Write one step down; keep no history in memory or in checkpoints."""
        values = {name: sum(v) / len(v) for name, v in self._metrics["train"].items()}
        self._metrics["train"].clear()
        if "loss" in logs:
            memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
            state = self.state
            self.ours.recorder.step(state.global_step, state.epoch, {**logs, **values}, memory)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss, entropy and accuracy over every held-out token, then the sample answers."""
        parts, step = self.ours, self.state.global_step
        values: dict[str, float] = {}
        if parts.eval_batches and parts.schedule.wants_evaluation(step):
            values = self._measure(parts.eval_batches)
            parts.recorder.evaluation(step, values)
        if parts.prober and parts.schedule.wants_probes(step):
            self._sample(step)
        parts.recorder.mark()
        return values

    def _measure(self, batches: list[Batch]) -> dict[str, float]:
        self.model.eval()
        sums = torch.zeros(4, dtype=torch.float64)
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                self.ours.control.poll()
                out = self.model(**self._prepare_inputs(dict(batch)), fused_lm_head=True)
                parts = (-out.log_probs, out.entropy, out.is_top1, out.label_mask)
                sums += torch.stack([part.double().sum().cpu() for part in parts])
        self.model.train()
        assert_unpacked(self.model)
        tokens = max(sums[3].item(), 1.0)
        names = ("eval_loss", "eval_entropy", "eval_token_accuracy")
        return {name: sums[i].item() / tokens for i, name in enumerate(names)}

    def _sample(self, step: int) -> None:
        parts = self.ours
        for label in ("base", "adapter") if step == 0 else ("adapter",):
            for answer in parts.prober.answers(self.model, base=label == "base"):
                parts.recorder.writer.sample(
                    step, answer.prompt, label, answer.text, answer.tokens, answer.stop
                )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002 - the hook's signature
        """Write the checkpoint whole, waiting for room on a full disk."""
        parts, step = self.ours, self.state.global_step
        waiting = False
        while True:
            try:
                saved = checkpoints.write(
                    parts.recorder.run_dir,
                    step,
                    self._files(),
                    parts.versions,
                    parts.recorder.eval_loss_at(step),
                )
                break
            except OSError as error:
                if not is_disk_full(error):
                    raise
                self._wait_for_room(step, announce=not waiting)
                waiting = True
        if waiting:
            parts.recorder.writer.event("disk", f"saved step {step}: there is room again", "warn")
            parts.recorder.writer.state("running", step=step)
        parts.recorder.saved(saved, parts.recipe.save_total_limit)
        parts.recorder.mark()

    def _wait_for_room(self, step: int, *, announce: bool) -> None:
        """Say once that the disk is full, and wait; a stop ends the run without this checkpoint."""
        parts = self.ours
        if announce:
            reason = f"The disk is full: cannot save step {step}. Make room and training goes on."
            parts.recorder.writer.event("disk_full", reason, level="error", step=step)
            parts.recorder.writer.state("paused", step=step, reason=reason)
        waited = 0.0
        while waited < _RETRY_S:
            parts.control.check()
            time.sleep(POLL_S)
            waited += POLL_S
        if parts.control.heartbeat_due():
            parts.recorder.writer.heartbeat()

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """The files of a checkpoint, under the names that transformers resumes from.

        `training_args.bin` is left out: nothing needs it, and it can hold tokens.
        """
        model: PeftModel = self.model
        config = model.peft_config["default"].to_dict() | {"inference_mode": True}
        weights = get_peft_model_state_dict(model, save_embedding_layers=False)
        tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        yield "adapter_model.safetensors", safetensors.torch.save(tensors, {"format": "pt"})
        yield "adapter_config.json", _json(config)
        yield "optimizer.pt", _saved(self.optimizer.state_dict())
        yield "scheduler.pt", _saved(self.lr_scheduler.state_dict())
        yield "rng_state.pth", _saved(_random_state())
        yield "trainer_state.json", _json(dataclasses.asdict(self.state))


@dataclasses.dataclass(slots=True)
class TrainingParts:
    """What our trainer works with besides TRL's own."""

    recipe: Recipe
    versions: dict[str, str]
    loader: EpochLoader
    eval_batches: list[Batch]
    recorder: Recorder
    control: Control
    prober: Prober
    schedule: Schedule


def build(spec: Spec, pad_id: int, output_dir: Path) -> WorkbenchTrainer:
    """A trainer with base and adapter, ready but for `ours`.

    Raises:
        BadInput: the base cannot be read.
    """
    base = Path(spec.base)
    recipe = spec.settings
    trainer = WorkbenchTrainer(
        model=load_base(base, recipe, spec.device),
        args=_arguments(recipe, spec.device, output_dir),
        # TRL wants a dataset at hand; the batches come from `ours.loader`, as they are.
        train_dataset=Dataset.from_dict({"input_ids": [[pad_id]], "labels": [[pad_id]]}),
        data_collator=Collator(pad_id),
        processing_class=load_tokenizer(base),
        peft_config=lora(recipe),
    )
    trainer.remove_callback(PrinterCallback)
    adapters_to_float32(trainer.model)
    return trainer


def loaders(
    recipe: Recipe, train: list[Example], held_out: list[Example], pad_id: int
) -> tuple[EpochLoader, list[Batch]]:
    """Training batches and evaluation batches."""
    collator = Collator(pad_id)
    size = recipe.per_device_train_batch_size
    grouped = recipe.train_sampling_strategy == "group_by_length"
    loader = training_loader(train, size, recipe.seed, collator, grouped=grouped)
    return loader, evaluation_batches(held_out, max(size, _EVAL_BATCH), collator)


def _arguments(recipe: Recipe, device: str, output_dir: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(output_dir),
        num_train_epochs=recipe.num_train_epochs,
        max_steps=recipe.max_steps,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim=recipe.optim,
        seed=recipe.seed,
        activation_checkpointing=recipe.gradient_checkpointing,
        bf16=recipe.dtype == "bfloat16",
        use_cpu=device == "cpu",
        max_length=recipe.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _random_state() -> dict[str, Any]:
    """As transformers reads it back from `rng_state.pth`."""
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state()
    return state


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, default=_plain) + "\n").encode()


def _plain(value: object) -> object:
    """Sets, enums and the like of library configurations."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
