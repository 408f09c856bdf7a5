"""TRL's SFTTrainer, fed, watched and saved our way (heavy).

Training itself is TRL's. What differs: batches come from the renderer in an order that a resume
repeats; each step goes into the run database; evaluation weighs every token alike and touches no
random state; checkpoints are whole or absent. Knows the trainer's hooks. Does not know commands or
schedules (see `schedule`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from engine.train import head
from engine.train.adapting import adapt
from engine.train.attending import attend
from engine.train.batches import (
    Batch,
    Collator,
    EpochLoader,
    PackedCollator,
    evaluation_batches,
    training_loader,
)
from engine.train.control import Control
from engine.train.examples import Example
from engine.train.fit.estimate import DENSE_MASKS
from engine.train.fit.halving import Halving
from engine.train.fit.probing import Fitting, Peak
from engine.train.loading import (
    assert_unpacked,
    load_base,
    load_tokenizer,
    lora,
    ready,
)
from engine.train.looking import Looking
from engine.train.optimizing import Optimizing
from engine.train.recipe import PREFERENCE, Recipe
from engine.train.recording import Recorder
from engine.train.saving import Saving
from engine.train.schedule import Schedule
from engine.train.scoring import Scoring
from engine.train.spec import Spec
from engine.train.telling import Telling
from engine.train.watched import Watched

if TYPE_CHECKING:
    from engine.train.devices.ranks import Ranks

_EVAL_BATCH = 8

Trainer = Any
"""`WorkbenchTrainer`, or one of `engine.train.methods.preference`: a `transformers.Trainer` with
`Saving`, `Optimizing`, `Halving`, `Telling` and `Watched`."""


class WorkbenchTrainer(Saving, Optimizing, Scoring, Halving, Telling, Watched, SFTTrainer):  # type: ignore[misc]
    """See the module."""

    ours: TrainingParts

    def _measure(self, batches: list[Batch]) -> dict[str, float]:
        self.model.eval()
        sums = torch.zeros(4, dtype=torch.float64)
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self.mine_of(batches):
                self.ours.control.poll()
                sums += self.added_up(self.measure, batch)
        self.model.train()
        assert_unpacked(self.model)
        sums = self.over_ranks(sums)
        tokens = max(sums[3].item(), 1.0)
        names = ("eval_loss", "eval_entropy", "eval_token_accuracy")
        return {name: sums[i].item() / tokens for i, name in enumerate(names)}


@dataclasses.dataclass(slots=True)
class TrainingParts:
    """What our trainer works with besides TRL's own."""

    recipe: Recipe
    versions: dict[str, str]
    loader: EpochLoader
    eval_batches: list[Batch]
    recorder: Recorder
    control: Control
    looking: Looking
    schedule: Schedule
    ranks: Ranks | None = None


def build(spec: Spec, pad_id: int, output_dir: Path) -> Trainer:
    """A trainer with base and adapter, ready but for `ours`.

    Raises:
        BadInput: the base cannot be read.
    """
    base = Path(spec.base)
    recipe = spec.settings
    peak = Peak()
    model, tokenizer = load_base(base, recipe, spec.device), load_tokenizer(base)
    attend(model)
    head.install()
    common = _common_arguments(recipe, spec.device, output_dir)
    adapter = lora(recipe, base)
    if recipe.method in PREFERENCE:
        from engine.train.methods import preference

        made = preference.make(recipe, model, common, tokenizer, adapter)
    else:
        made = WorkbenchTrainer(
            model=model,
            args=SFTConfig(
                **common,
                max_length=recipe.max_length,
                loss_type=recipe.loss_type,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            # TRL wants a dataset at hand; the batches come from `ours.loader`, as they are.
            train_dataset=Dataset.from_dict({"input_ids": [[pad_id]], "labels": [[pad_id]]}),
            data_collator=Collator(pad_id),
            processing_class=tokenizer,
            peft_config=adapter,
        )
    trainer: Trainer = made
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Fitting(trainer, spec, peak))
    ready(trainer.model)
    adapt(trainer.model)
    return trainer


def loaders(
    recipe: Recipe, train: list[Example], held_out: list[Example], pad_id: int
) -> tuple[EpochLoader, list[Batch]]:
    """Training batches and evaluation batches."""
    if recipe.method in PREFERENCE:
        from engine.train.methods import preference

        return preference.loaders(recipe, train, held_out, pad_id)
    padded = Collator(pad_id)
    size = recipe.per_device_train_batch_size
    skips = recipe.attn_implementation not in DENSE_MASKS
    loader = training_loader(
        train,
        size,
        recipe.seed,
        PackedCollator(pad_id, one_line=skips) if recipe.packing else padded,
        grouped=recipe.train_sampling_strategy == "group_by_length",
        capacity=recipe.max_length if recipe.packing else 0,
        pin_memory=torch.cuda.is_available(),
    )
    return loader, evaluation_batches(held_out, max(size, _EVAL_BATCH), padded)


def _common_arguments(recipe: Recipe, device: str, output_dir: Path) -> dict[str, Any]:
    """What every trainer of ours is told."""
    return {
        "output_dir": str(output_dir),
        "num_train_epochs": recipe.num_train_epochs,
        "max_steps": recipe.max_steps,
        "per_device_train_batch_size": recipe.per_device_train_batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": recipe.warmup_steps,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": recipe.optim,
        "seed": recipe.seed,
        "activation_checkpointing": recipe.gradient_checkpointing,
        "bf16": recipe.dtype == "bfloat16",
        "use_cpu": device == "cpu",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "eval_on_start": True,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,  # Ours pins where there is a GPU to copy to meanwhile.
    }
