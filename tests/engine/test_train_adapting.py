"""The short way through LoRA layers computes what PEFT's does, gradients included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from engine.train.adapting import adapt


def gradients(model: torch.nn.Module, *, half: bool) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    torch.manual_seed(1)
    ids = torch.randint(6, 2000, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return float(loss), found


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_it_is_the_same_mathematics(starter: Path, half: bool, dropout: float) -> None:
    dtype = torch.bfloat16 if half else torch.float32
    base = AutoModelForCausalLM.from_pretrained(starter, dtype=dtype)
    config = LoraConfig(r=8, lora_alpha=24, lora_dropout=dropout, target_modules="all-linear")
    torch.manual_seed(0)
    model = get_peft_model(base, config).train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    loss, expected = gradients(model, half=half)
    assert adapt(model) == 35
    mine, found = gradients(model, half=half)
    assert len(found) == len(expected) == 70
    assert mine == pytest.approx(loss, rel=1e-2 if half else 1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        near = torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
        assert near > (0.98 if half else 0.999999)
    ids = torch.tensor([[6, 7, 8, 9]])
    with torch.no_grad():
        answering = model.eval()(ids).logits
        with model.disable_adapter():
            alone = model(ids).logits
    assert not torch.equal(answering, alone)


def test_a_variant_stays_peft_s_own(starter: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, use_dora=True, target_modules=["q_proj"]))
    assert adapt(model) == 0
