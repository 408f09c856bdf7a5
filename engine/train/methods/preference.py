"""TRL's DPOTrainer and KTOTrainer, fed, watched and saved our way (heavy).

The losses are TRL's. The reference is the base with the adapter switched off, or, where a run
began on top of an adapter, a frozen copy of that adapter: never a second base. What differs from
TRL: ids come from our renderer, every row of an optimizer step weighs alike however the step is
cut into batches, and evaluation weighs every held-out row alike.

Knows the trainers' hooks. Does not know how a step is written down (`telling`) or saved (`saving`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from datasets import Dataset
from peft import set_peft_model_state_dict
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.trainer.utils import use_adapter

from engine.train.batches import Batch, EpochLoader, evaluation_batches, training_loader
from engine.train.examples import Example
from engine.train.fit.halving import Halving
from engine.train.loading import assert_unpacked
from engine.train.methods.collating import PairCollator, VerdictCollator
from engine.train.optimizing import Optimizing
from engine.train.recipe import Recipe
from engine.train.saving import Saving
from engine.train.telling import Telling
from engine.train.watched import Watched

Inputs = dict[str, Any]

_EVAL_BATCH = 8
_REFERENCE = "ref"
_MEANS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "kl",
    "entropy",
    "mean_token_accuracy",
)
_RENAMED = {"mean_token_accuracy": "token_accuracy"}


class Preferring(Watched):
    """What both trainers have in common."""

    loss_is_scaled_for_ga = True
    accelerator: Any
    args: Any
    _metrics: Any
    _total_train_tokens: int
    _tokens_before = 0

    def refer_to(self, folder: Path) -> None:
        """Measure against an adapter instead of the base: the one that the run began with.

        TRL takes an adapter called `ref` for the reference; it is never trained or saved.
        """
        model = self.model
        model.add_adapter(_REFERENCE, model.peft_config["default"])
        weights = safetensors.torch.load_file(folder / "adapter_model.safetensors")
        set_peft_model_state_dict(model, weights, adapter_name=_REFERENCE)
        model.set_adapter("default")
        for name, parameter in model.named_parameters():
            if f".{_REFERENCE}." in name:
                parameter.data = parameter.data.to(torch.float32)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: TRL only wants one at hand, and tokenises nothing here."""
        return dataset

    def compute_loss(
        self,
        model: Any,
        inputs: Inputs,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """TRL's mean over the batch, weighted by the batch's share of the step's rows."""
        share = self.weight_of(inputs) * self.accelerator.num_processes
        alone = {name: value for name, value in inputs.items() if name != "share"}
        before = self._total_train_tokens
        loss = super().compute_loss(model, alone, return_outputs)  # type: ignore[misc]
        if len(alone) < len(inputs):  # Every device took the same rows: they are counted once.
            added = (self._total_train_tokens - before) // self.accelerator.num_processes
            self._total_train_tokens = before + added
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        if num_items_in_batch is None:
            return loss
        return loss * share / torch.as_tensor(num_items_in_batch).clamp(min=1e-6)

    def _get_num_items_in_batch(self, batch_samples: list[Inputs], device: Any) -> Any:
        """The rows of an optimizer step, over all devices."""
        rows = torch.tensor(sum(map(self.weight_of, batch_samples)), device=device)
        return self.accelerator.gather(rows).sum() if self.args.world_size > 1 else rows

    def weight_of(self, inputs: Inputs) -> float:
        """How many rows a batch counts for."""
        rows = self.rows_of(inputs)
        return float(inputs["share"][:rows].sum()) if "share" in inputs else float(rows)

    def rows_of(self, inputs: Inputs) -> int:
        """Rows of a batch."""
        return len(inputs["input_ids"])

    def begin_step(self) -> None:
        """Note what to go back to."""
        super().begin_step()  # type: ignore[misc]
        self._tokens_before = self._total_train_tokens

    def forget_step(self) -> None:
        """Count a step that is taken again only once."""
        self._metrics["train"].clear()
        self._total_train_tokens = self._tokens_before

    def _measure(self, batches: list[Batch]) -> dict[str, float]:
        self.model.eval()
        sums = torch.zeros(2 + 2 * len(_MEANS), dtype=torch.float64)
        with torch.no_grad():
            for batch in batches:
                self.ours.control.poll()
                sums += self.added_up(self.measure, batch)  # type: ignore[attr-defined]
        self.model.train()
        assert_unpacked(self.model)
        totals, weights = sums.view(-1, 2).unbind(1)
        names = ("loss", *(_RENAMED.get(name, name) for name in _MEANS))
        means = zip(names, totals.tolist(), weights.tolist(), strict=True)
        values = {f"eval_{name}": total / weight for name, total, weight in means if weight}
        better, worse = "eval_rewards/chosen", "eval_rewards/rejected"
        if better in values and worse in values:
            values["eval_rewards/margins"] = values[better] - values[worse]
        return values

    def measure(self, batch: Inputs) -> torch.Tensor:
        """(sum, weight) of the loss and of each of `_MEANS`, flat, without gradients."""
        inputs = self._prepare_inputs(dict(batch))  # type: ignore[attr-defined]
        loss = self._compute_loss(self.model, inputs, False)  # type: ignore[attr-defined]
        found = self._metrics["eval"]
        weights = self._weights(inputs)
        pairs = [(float(loss), weights["loss"])]
        pairs += [(found[n][-1], weights[n]) if found.get(n) else (0.0, 0.0) for n in _MEANS]
        found.clear()
        return torch.tensor([[v * w, w] for v, w in pairs], dtype=torch.float64).flatten()

    def _weights(self, inputs: Inputs) -> dict[str, float]:
        """How much a batch's mean of each value counts."""
        good, bad = self._sides(inputs)
        trained = inputs["completion_mask"][:, 1:].sum(1).double()
        rows = self.rows_of(inputs)
        return {
            "loss": rows,
            "rewards/chosen": good,
            "rewards/rejected": bad,
            "rewards/accuracies": rows,
            "logps/chosen": good,
            "logps/rejected": bad,
            "kl": rows,
            "entropy": float(trained.sum()),
            "mean_token_accuracy": float(trained[:rows].sum()),
        }

    def _sides(self, inputs: Inputs) -> tuple[int, int]:
        """How many answers of a batch are better ones, and how many worse."""
        raise NotImplementedError


class DPO(Saving, Optimizing, Preferring, Halving, Telling, DPOTrainer):  # type: ignore[misc]
    """Pairs of answers."""

    def rows_of(self, inputs: Inputs) -> int:
        """Pairs of a batch."""
        return len(inputs["input_ids"]) // 2

    def pieces_of(self, inputs: Inputs, pieces: int) -> Iterator[tuple[Inputs, float | None]]:
        """Pairs stay together."""
        rows = self.rows_of(inputs)
        each = -(-rows // pieces)
        for start in range(0, rows, each):
            end = min(start + each, rows)
            places = [*range(start, end), *range(rows + start, rows + end)]
            yield {name: value[places] for name, value in inputs.items()}, None

    def _sides(self, inputs: Inputs) -> tuple[int, int]:
        rows = self.rows_of(inputs)
        return rows, rows


class KTO(Saving, Optimizing, Preferring, Halving, Telling, KTOTrainer):  # type: ignore[misc]
    """Answers marked good or bad."""

    _moved: list[torch.Tensor] | None = None

    def pieces_of(self, inputs: Inputs, pieces: int) -> Iterator[tuple[Inputs, float | None]]:
        """Each piece is measured against how far the model has moved on the whole batch."""
        self._moved = None
        parts = list(super().pieces_of(inputs, pieces))
        if len(parts) > 1 and "KL_input_ids" in inputs:
            self._moved = self._on_whole([piece for piece, _ in parts])
        yield from parts
        self._moved = None

    def _on_whole(self, parts: list[Inputs]) -> list[torch.Tensor]:
        """Log-probabilities of the mismatched answers: the model's, then the reference's."""
        prepared = [self._prepare_inputs(dict(part)) for part in parts]
        reference = _REFERENCE if _REFERENCE in self.model.peft_config else None
        model = super()._compute_kl_logps
        with torch.no_grad():
            ours = torch.cat([model(self.model, part) for part in prepared])
            with use_adapter(self.model, adapter_name=reference):
                return [ours, torch.cat([model(self.model, part) for part in prepared])]

    def _compute_kl_logps(self, model: Any, batch: Inputs) -> Any:
        """TRL asks for the model's and then for the reference's."""
        if self._moved is None:
            return super()._compute_kl_logps(model, batch)
        self._moved.append(first := self._moved.pop(0))
        return first

    def _sides(self, inputs: Inputs) -> tuple[int, int]:
        good = int(inputs["label"].sum())
        return good, len(inputs["label"]) - good


def make(
    recipe: Recipe, model: Any, common: dict[str, Any], tokenizer: Any, adapter: Any
) -> DPO | KTO:
    """A trainer for `method=dpo` or `kto`, ready but for `ours`.

    Args:
        common: arguments that every trainer of ours has.
        adapter: PEFT's configuration.
    """
    settings: dict[str, Any] = {
        **common,
        "max_length": recipe.max_length,
        "beta": recipe.beta,
        # TRL would turn the adapter's dropout off as well, whatever the recipe says.
        "disable_dropout": False,
    }
    at_hand: dict[str, list[str]] = {"prompt": [""], "chosen": [""], "rejected": [""]}
    parts: dict[str, Any] = {
        "model": model,
        "train_dataset": Dataset.from_dict(at_hand),
        "data_collator": PairCollator(0),
        "processing_class": tokenizer,
        "peft_config": adapter,
    }
    if recipe.method == "dpo":
        return DPO(args=DPOConfig(**settings, loss_type=[recipe.loss_type]), **parts)
    weights = {
        "desirable_weight": recipe.desirable_weight,
        "undesirable_weight": recipe.undesirable_weight,
    }
    return KTO(args=KTOConfig(**settings, loss_type=recipe.loss_type, **weights), **parts)


def loaders(
    recipe: Recipe, train: list[Example], held_out: list[Example], pad_id: int
) -> tuple[EpochLoader, list[Batch]]:
    """Training batches and evaluation batches."""

    def collator(examples: list[Example]) -> Any:
        if recipe.method == "dpo":
            return PairCollator(pad_id)
        mismatched = recipe.loss_type == "kto"
        return VerdictCollator(pad_id, recipe.max_length, examples, mismatched=mismatched)

    size = recipe.per_device_train_batch_size
    loader = training_loader(
        train,
        size,
        recipe.seed,
        collator(train),
        grouped=recipe.train_sampling_strategy == "group_by_length",
        pin_memory=torch.cuda.is_available(),
    )
    return loader, evaluation_batches(held_out, max(size, _EVAL_BATCH), collator(held_out))
