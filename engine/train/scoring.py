"""Loss, entropy and accuracy of a batch (heavy), for trainers whose loss is over tokens.

The mathematics is TRL's: its fused head, its normalisation by the step's trained tokens. What
differs: counts stay on the device until somebody looks (TRL waits for the device four times a
batch), and off the GPU only positions with a label reach the head, as on it.

Knows the fused head and what belongs to a batch. Does not know steps or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from engine.train.choosing import VARLEN
from engine.train.examples import IGNORED

if TYPE_CHECKING:
    from engine.train.trainer import TrainingParts

COUNTS = ("entropy", "token_accuracy", "scored", "num_tokens")
Inputs = dict[str, Any]


class Scored:
    """Where to look in the last hidden state: only at positions with a label."""

    def __init__(self) -> None:
        self.mask: torch.Tensor | None = None

    def __call__(self, module: Any, args: Any, output: Any) -> Any:
        """The hook of the backbone; does nothing unless a mask is set."""
        del module, args
        if self.mask is not None:
            output.last_hidden_state = output.last_hidden_state[:, :-1][self.mask][None]
        return output


class Scoring:
    """See the module."""

    ours: TrainingParts
    model: Any
    args: Any
    accelerator: Any
    _counts: torch.Tensor | None = None
    _scored: Scored | None = None

    def compute_loss(
        self,
        model: Any,
        inputs: Inputs,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """As TRL's, counted without waiting for the device."""
        if return_outputs or self.aux_loss_enabled:  # type: ignore[attr-defined]
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        tokens = _tokens(inputs)
        out = self.score(model, inputs)
        losses = -out.log_probs
        if self.args.loss_type == "dft":
            losses = losses * out.log_probs.exp().detach()
        scored = out.label_mask.sum()
        items = scored if num_items_in_batch is None else num_items_in_batch
        loss = losses.sum() / torch.as_tensor(items).clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        seen = (out.entropy.detach().sum(), out.is_top1.sum(), scored, tokens)
        counted = torch.stack([part.double() for part in seen])
        self._counts = counted if self._counts is None else self._counts + counted
        return loss

    def _prepare_inputs(self, inputs: Inputs) -> Inputs:
        """To the device, with the borders of packed rows for a kernel that goes by them."""
        if self.ours.recipe.attn_implementation.startswith(VARLEN):
            inputs = borders(inputs)
        ready: Inputs = super()._prepare_inputs(inputs)  # type: ignore[misc]
        return ready

    def score(self, model: Any, inputs: Inputs) -> Any:
        """Log-probabilities of the labelled tokens, their entropy and whether each is the top."""
        labels = inputs["labels"]
        if labels.is_cuda:  # There the fused head leaves the others out by itself.
            return model(**inputs, use_cache=False, fused_lm_head=True)
        targets = labels[:, 1:]
        hook = self._hook()
        hook.mask = targets != IGNORED
        try:
            found = targets[hook.mask][None]
            return model(**inputs, shift_labels=found, use_cache=False, fused_lm_head=True)
        finally:
            hook.mask = None

    def _hook(self) -> Scored:
        if self._scored is None:
            self._scored = Scored()
            self.model.get_base_model().base_model.register_forward_hook(self._scored)
        return self._scored

    def counts(self) -> torch.Tensor | None:
        """Sums over the batches since the last call: entropy, right, scored, tokens; or None."""
        found, self._counts = self._counts, None
        return found

    def forget_step(self) -> None:
        """Count a step that is taken again only once."""
        self._counts = None

    def pieces_of(self, inputs: Inputs, pieces: int) -> Iterator[tuple[Inputs, float | None]]:
        """Rows apart, each piece as narrow as its longest row; packed rows at their borders."""
        lines = len(inputs["input_ids"])
        if "position_ids" in inputs and pieces > lines:
            for line in range(lines):
                one = {name: value[line : line + 1] for name, value in inputs.items()}
                yield from _cut(one, -(-pieces // lines))
            return
        for piece, weight in super().pieces_of(inputs, pieces):  # type: ignore[misc]
            if pieces > 1 and "attention_mask" in piece:
                longest = int(piece["attention_mask"].sum(1).max())
                piece = {name: value[:, :longest] for name, value in piece.items()}
            yield piece, weight

    def rows_of(self, inputs: Inputs) -> int:
        """Rows, each of those that are packed into a line."""
        if "position_ids" in inputs:
            return int((inputs["position_ids"] == 0).sum())
        return len(inputs["input_ids"])

    def measure(self, batch: Inputs) -> torch.Tensor:
        """Sums over a batch without gradients: negative log-likelihood, entropy, right, scored."""
        out = self.score(self.model, self._prepare_inputs(dict(batch)))
        parts = (-out.log_probs, out.entropy, out.is_top1, out.label_mask)
        return torch.stack([part.double().sum() for part in parts]).cpu()


def borders(inputs: Inputs) -> Inputs:
    """A line of packed rows with where each begins, told while it lies in main memory.

    Else transformers looks for it in every layer, and waits for the device each time.
    """
    positions = inputs.get("position_ids")
    if positions is None or len(positions) > 1:
        return inputs
    starts = (positions[0] == 0).nonzero()[:, 0]
    ends = torch.cat([starts, starts.new_tensor([positions.shape[1]])]).to(torch.int32)
    longest = int(ends.diff().max())
    ends = ends.pin_memory() if positions.is_pinned() else ends
    return {
        **inputs,
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def _tokens(inputs: Inputs) -> torch.Tensor:
    """How many tokens of a batch are no padding."""
    if "attention_mask" in inputs:
        found: torch.Tensor = inputs["attention_mask"].sum()
        return found
    ids = inputs["input_ids"]
    return torch.full((), ids.numel(), device=ids.device)  # A fill, for a copy would wait.


def _cut(inputs: Inputs, pieces: int) -> Iterator[tuple[Inputs, float | None]]:
    """One line of packed rows in lines of about equal length, each of whole rows."""
    starts = (inputs["position_ids"][0] == 0).nonzero()[:, 0].tolist()
    total = inputs["input_ids"].shape[1]
    ends = [*starts[1:], total]
    begin = 0
    for row, end in enumerate(ends):
        last = row == len(ends) - 1
        if last or end - begin >= total / pieces or ends[row + 1] - begin > total / pieces:
            yield {name: value[:, begin:end] for name, value in inputs.items()}, None
            begin = end
