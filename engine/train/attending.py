"""Attention in bfloat16 on a CPU (heavy): torch's own kernel takes five times as long backwards.

Rows as short as chats are multiplied out, which costs the square of their length; longer ones are
left to that kernel, and so is all where no gradients are wanted: answers and evaluations. The
mathematics is the same.

Knows how transformers finds its attention. Does not know models.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from engine.train.fit.estimate import MULTIPLIED_OUT

NAME = "workbench_bf16"


def attend(model: PreTrainedModel) -> bool:
    """Let a model in bfloat16 on a CPU attend this way; says whether it does."""
    suits = model.device.type == "cpu" and model.dtype == torch.bfloat16
    if not suits or model.config._attn_implementation != "sdpa":
        return False
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls: heads of (batch, heads, tokens, width), to tokens before heads."""
    causal = is_causal if is_causal is not None else bool(vars(module).get("is_causal", True))
    length = query.shape[2]
    square = length == key.shape[2] and (attention_mask is not None or causal)
    special = dropout or others.get("position_bias") is not None or others.get("softcap")
    if not torch.is_grad_enabled() or length > MULTIPLIED_OUT or special or not square:
        known = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **others}
        usual, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **known)
        return usual, None
    if attention_mask is None:
        attention_mask = torch.ones(length, length, dtype=torch.bool).tril()
    return _multiplied_out(query, key, value, attention_mask, scaling), None


def _multiplied_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Softmax in float32, each key and value for all the queries of its group."""
    batch, heads, length, width = query.shape
    kept = key.shape[1]
    rows = (batch * kept, -1, width)
    scale = width**-0.5 if scaling is None else scaling
    scores = torch.bmm((query * scale).reshape(rows), key.reshape(rows).transpose(1, 2))
    scores = scores.view(batch, kept, heads // kept, length, length)
    least = torch.finfo(scores.dtype).min
    hidden = torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(~mask, least)
    hidden = hidden[:, :, None] if hidden.dim() == 4 else hidden
    shares = torch.softmax(scores + hidden, -1, dtype=torch.float32).to(value.dtype)
    found = torch.bmm(shares.view(batch * kept, -1, length), value.reshape(rows))
    return found.view(batch, heads, length, width).transpose(1, 2).contiguous()
