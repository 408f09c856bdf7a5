"""Attention in bfloat16 on a CPU is the attention that torch has, gradients included; kernels for
packed rows are told where each begins, and one that is not there is refused by name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, AutoModelForCausalLM

from engine.train import attending
from engine.train.batches import PackedCollator
from engine.train.examples import Example
from engine.train.loading import load_base
from engine.train.recipe import load, with_sets
from engine.train.scoring import borders
from store.errors import Unsupported


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


def test_a_kernel_is_told_where_packed_rows_begin(starter: Path) -> None:
    sdpa = AttentionInterface()["sdpa"]

    def by_borders(module: Any, query: Any, key: Any, value: Any, mask: Any, **known: Any) -> Any:
        assert mask is None and isinstance(known["max_length_q"], int)
        assert known["cu_seq_lens_q"].dtype == torch.int32
        ends = known.pop("cu_seq_lens_q").tolist()
        assert known.pop("max_length_q") == max(np.diff(ends))
        rows = [
            sdpa(module, *(part[:, :, a:b] for part in (query, key, value)), None, **known)[0]
            for a, b in pairwise(ends)
        ]
        return torch.cat(rows, dim=1), None

    AttentionInterface.register("by_borders", by_borders)
    model = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.float32).eval()
    dice = np.random.default_rng(0)
    ids = [dice.integers(6, 2000, length).astype(np.int32) for length in (9, 3, 17)]
    rows = [Example(number, one, one) for number, one in enumerate(ids)]
    packed = PackedCollator(0, one_line=True)([rows[:2], rows[2:]])
    del packed["labels"]
    with torch.no_grad():
        alone = [model(torch.tensor(one[None], dtype=torch.int64)).logits[0] for one in ids]
        model.set_attn_implementation("by_borders")
        together = model(**borders(packed), use_cache=False).logits[0]
    assert torch.allclose(together, torch.cat(alone), atol=2e-5)
    two_lines = PackedCollator(0, one_line=False)([rows[:2], rows[2:]])
    assert borders(two_lines) is two_lines


@pytest.mark.parametrize("kernel", ["flash_attention_2", "flash_attention_3"])
def test_a_kernel_that_is_not_there_is_named(starter: Path, kernel: str) -> None:
    recipe = with_sets(load("default"), [f"attn_implementation={kernel}", "dtype=bfloat16"])
    with pytest.raises(Unsupported, match=f"attn_implementation={kernel}: ") as refused:
        load_base(starter, recipe, "cpu")
    assert "attn_implementation=sdpa" in refused.value.hint
