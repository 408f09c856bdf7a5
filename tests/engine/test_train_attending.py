"""Attention in bfloat16 on a CPU is the attention that torch has, gradients included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.train import attending


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "padded"])
@pytest.mark.parametrize("short", [256, 8], ids=["multiplied out", "as it is"])
def test_it_is_the_same_attention(
    starter: Path, short: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attending, "MULTIPLIED_OUT", short)
    model = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.bfloat16).train()
    ids = torch.randint(6, 2000, (3, 24), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    if masked:
        mask[0, 9:] = mask[2, 20:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    seen = []
    for ours in (False, True):
        if ours:
            assert attending.attend(model)
        model.zero_grad()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        seen.append((float(loss), model.model.layers[0].self_attn.q_proj.weight.grad.flatten()))
    assert seen[1][0] == pytest.approx(seen[0][0], rel=5e-3)
    near = torch.nn.functional.cosine_similarity(seen[0][1].float(), seen[1][1].float(), dim=0)
    assert near > 0.99


def test_float32_is_left_as_it_is(starter: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.float32)
    assert not attending.attend(model)
    assert model.config._attn_implementation == "sdpa"
