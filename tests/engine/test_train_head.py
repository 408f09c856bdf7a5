"""The last layer with its gradient at once computes what TRL's fused head does."""

from __future__ import annotations

import pytest
import torch
from trl.kernels import ChunkedLogProbFunction

from engine.train import head

OUTPUTS = ("log_probs", "entropy", "is_top1")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_what_the_fused_head_computes(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = torch.Generator().manual_seed(0)
    weight = (torch.randn(512, 32, generator=dice) / 4).to(dtype)
    hidden = torch.randn(50, 32, generator=dice).to(dtype)
    targets = torch.randint(512, (50,), generator=dice)
    into = torch.rand(50, generator=dice)
    monkeypatch.setattr(head, "_LOGITS", 7 * 512)  # In parts of seven rows.
    seen = []
    for kind in (ChunkedLogProbFunction, head.Head):
        mine = hidden.clone().requires_grad_()
        log_probs, entropy, _, _, top = kind.apply(
            mine, weight, None, targets, 1.0, 256, None, 1.0, OUTPUTS
        )
        (log_probs * into).sum().backward()
        assert mine.grad is not None
        seen.append((log_probs.detach(), entropy.detach(), top, mine.grad.float()))
    (theirs, their_entropy, their_top, their_grad), (ours, entropy, top, grad) = seen
    near = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(ours, theirs, rtol=near, atol=near)
    torch.testing.assert_close(entropy, their_entropy, rtol=near, atol=near)
    torch.testing.assert_close(grad, their_grad, rtol=near, atol=near)
    assert torch.equal(top, their_top)


def test_what_it_does_not_know_is_left_to_trl() -> None:
    weight = torch.randn(64, 8)
    hidden, targets = torch.randn(5, 8), torch.randint(64, (5,))
    for softcap, scale in ((3.0, 1.0), (None, 0.5)):
        given = (hidden, weight, None, targets, 1.0, 64, softcap, scale, OUTPUTS)
        theirs = ChunkedLogProbFunction.apply(*given)
        for one, other in zip(head.Head.apply(*given), theirs, strict=True):
            assert (one is None and other is None) or torch.equal(one, other)
