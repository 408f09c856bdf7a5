"""The last layer on a CPU, with its gradient at once (heavy).

What reaches the loss of a row is a multiple of the gradient of its label's log-probability, so that
this is computed beside it: TRL's fused head computes every logit a second time. The mathematics is
the same, and no more than `_LOGITS` of them are held at any time.

Knows what TRL calls its head with. A head with a cap, a scale or training of its own is TRL's.
"""

from __future__ import annotations

from typing import Any

import torch
from trl.kernels import ChunkedLogProbFunction
from trl.trainer import utils

_LOGITS = 1 << 24
_KNOWN = frozenset({"log_probs", "entropy", "is_top1"})


def install() -> None:
    """Take this head wherever TRL's would compute the same."""
    vars(utils)["_ChunkedLogProbFunction"] = Head


class Head:
    """In the place of TRL's function."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        scale: float,
        outputs: tuple[str, ...],
    ) -> Any:
        """Log-probability, entropy, two things nobody asked for, and whether it is the top."""
        plain = bias is None and softcap is None and temperature == scale == 1
        if hidden.is_cuda or weight.requires_grad or not plain or not _KNOWN.issuperset(outputs):
            return ChunkedLogProbFunction.apply(
                hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs
            )
        log_probs, entropy, top = _LogProbs.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
        return log_probs, entropy, None, None, top


class _LogProbs(torch.autograd.Function):
    """For `hidden` (n, width) and `targets` (n,): three vectors (n,), the first with a gradient."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            dtype = torch.get_autocast_dtype(hidden.device.type)
        weight = weight.to(dtype)
        lines = max(1, _LOGITS // len(weight))
        parts = [
            _part(rows.to(dtype), weight, wanted, gradient=ctx.needs_input_grad[0])
            for rows, wanted in zip(
                torch.split(hidden, lines), torch.split(targets, lines), strict=True
            )
        ]
        log_probs, entropy, top, gradient = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(gradient)
        ctx.dtype = hidden.dtype
        ctx.mark_non_differentiable(entropy, top)
        return log_probs, entropy, top

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grads[0][:, None]).to(ctx.dtype), None, None


def _part(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, gradient: bool
) -> tuple[torch.Tensor, ...]:
    """The three vectors, and the gradient of the first by `hidden`, or nothing."""
    logits = hidden.mm(weight.t()).float()
    top = logits.max(-1).indices == targets
    logs = logits.log_softmax(-1)
    shares, wanted = logs.exp(), targets[:, None]
    log_probs, entropy = logs.gather(-1, wanted)[:, 0], -torch.linalg.vecdot(shares, logs)
    if not gradient:
        return log_probs, entropy, top, hidden.new_empty(0)
    shares.neg_().scatter_add_(-1, wanted, torch.ones_like(log_probs)[:, None])
    return log_probs, entropy, top, shares.to(weight.dtype).mm(weight)
