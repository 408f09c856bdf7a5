"""LoRA's share of a linear layer in fewer operations (heavy), while training.

PEFT computes `base(x) + B(A(x)) * s` with a product and a sum as wide as the layer, and casts `x`
to float32 for an adapter that autocast takes back to bfloat16 at once. Here `s` goes over the rank
only, `B` and the sum are one call, and `x` stays what it is: the same mathematics, about a sixth
fewer operations of a step, and no copy of its input kept for each adapted layer. On a CPU a
layer with a dense base and no dropout is one step of autograd, which adds both ways in place.

Knows PEFT's plain LoRA layers. Variants such as DoRA, answers and evaluations are PEFT's own.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear
from peft.tuners.lora.bnb import Linear4bit

_ADAPTER = "default"


def adapt(model: torch.nn.Module) -> int:
    """Teach every plain LoRA layer the short way; returns how many there are."""
    found = 0
    for module in model.modules():
        if isinstance(module, Linear | Linear4bit) and _is_plain(module):
            module.forward = MethodType(_at_once if _is_simple(module) else _forward, module)
            found += 1
    return found


def _is_plain(module: Any) -> bool:
    """One adapter, no variant, no bias: what PEFT calls vanilla LoRA."""
    adapters = list(module.lora_A)
    return (
        adapters == [_ADAPTER]
        and not module.lora_variant
        and not module.lora_bias[_ADAPTER]
        and not module.fan_in_fan_out
    )


def _is_simple(module: Any) -> bool:
    """A dense base in the memory of a CPU, and no dropout."""
    base = module.base_layer
    kept = isinstance(module.lora_dropout[_ADAPTER], torch.nn.Identity)
    return kept and type(base) is torch.nn.Linear and base.weight.device.type == "cpu"


def _is_peft_s_own(module: Any) -> bool:
    return not module.training or module.disable_adapters or module.merged


def _forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """In training `base(x) + (A(x) * s) B`; otherwise as PEFT has it."""
    if _is_peft_s_own(self) or args or kwargs:
        whole: torch.Tensor = type(self).forward(self, x, *args, **kwargs)
        return whole
    result = self.base_layer(x)
    inner = self.lora_A[_ADAPTER](self.lora_dropout[_ADAPTER](x)) * self.scaling[_ADAPTER]
    weight = self.lora_B[_ADAPTER].weight
    rows = torch.addmm(
        result.reshape(-1, result.shape[-1]), inner.reshape(-1, inner.shape[-1]), weight.t()
    )
    return rows.view(result.shape)


def _at_once(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """As `_forward`, in one step of autograd."""
    base = self.base_layer
    if _is_peft_s_own(self) or args or kwargs:
        whole: torch.Tensor = type(self).forward(self, x, *args, **kwargs)
        return whole
    a, b = self.lora_A[_ADAPTER].weight, self.lora_B[_ADAPTER].weight
    half = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if half else x.dtype
    with torch.autocast("cpu", enabled=False):
        rows: torch.Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
            x.reshape(-1, x.shape[-1]), base.weight, base.bias, a, b, self.scaling[_ADAPTER], dtype
        )
    return rows.view(*x.shape[:-1], -1)


class _Layer(torch.autograd.Function):
    """`x W' + c + s (x A') B'` for x of shape (n, in), computed in `dtype`; W and c are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        ctx.dtypes, ctx.scale = (x.dtype, a.dtype, b.dtype), scale
        x, weight, a, b = (one.to(dtype) for one in (x, weight, a, b))
        inner = x.mm(a.t()).mul_(scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        bias = None if bias is None else bias.to(dtype)
        return torch.nn.functional.linear(x, weight, bias).addmm_(inner, b.t())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = grads[0]
        x, weight, a, b, inner = ctx.saved_tensors
        of_x, of_a, of_b = ctx.dtypes
        narrow = grad.mm(b).mul_(ctx.scale)
        before = None
        if ctx.needs_input_grad[0]:
            before = grad.mm(weight).addmm_(narrow, a).to(of_x)
        into_a, into_b = narrow.t().mm(x), grad.t().mm(inner)
        return before, None, None, into_a.to(of_a), into_b.to(of_b), None, None
