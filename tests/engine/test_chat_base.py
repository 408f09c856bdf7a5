"""The base in-process: NF4 as training has it, rows beside each other, how tokens are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.chat.base import BASE, BF16_PARAMETERS, Base, compute_dtype
from engine.chat.generate import Generation, generate
from engine.chat.sampling import Sampler
from tests.engine.chat_fixtures import make_adapter, make_model

PROBE = [0, 4, 77, 133, 2, 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapters(folder: Path) -> list[Path]:
    return [make_adapter(folder, folder.parent / f"a{n}", seed=n) for n in (1, 2)]


def _load(folder: Path, **changes: Any) -> Base:
    options: dict[str, Any] = {
        "quantization": None,
        "double_quantization": False,
        "dtype": "float32",
        "device": "cpu",
    }
    return Base(folder, **{**options, **changes})


def _logits(base: Base) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = base.model(input_ids=torch.tensor([PROBE])).logits
    return logits


def _finish(base: Base, rows: list[Generation]) -> None:
    for _ in generate(
        base,
        rows,
        stop_ids=frozenset(),
        pad_id=1,
        on_step=lambda _: None,
        stopped=lambda: False,
    ):
        pass


@pytest.mark.parametrize("double", [False, True])
def test_nf4_is_what_4_bit_training_computes_with(folder: Path, double: bool) -> None:
    from engine.train.loading import load_base
    from engine.train.recipe import load, settled, with_sets

    changes = ["load_in_4bit=true", "dtype=float32", f"bnb_4bit_use_double_quant={double}".lower()]
    trained = load_base(folder, settled(with_sets(load("default"), changes)), "cpu")
    with torch.no_grad():
        theirs = trained.train()(input_ids=torch.tensor([PROBE])).logits
    ours = _logits(_load(folder, quantization="nf4", double_quantization=double))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, _logits(_load(folder)), atol=1e-2)


def test_small_models_answer_in_float32() -> None:
    assert compute_dtype(BF16_PARAMETERS - 1, "cpu", torch.bfloat16) == torch.float32
    assert compute_dtype(10**9, "cuda", torch.float32) == torch.bfloat16


def test_rows_that_end_leave_the_others_alone(folder: Path, adapters: list[Path]) -> None:
    base = _load(folder)
    name = base.attach(adapters[0])

    def run(lengths: list[int]) -> list[Generation]:
        rows = [
            Generation(n, [BASE, name][n % 2], PROBE[: 2 + n % 4], length, Sampler(0, 1, 0))
            for n, length in enumerate(lengths)
        ]
        _finish(base, rows)
        return rows

    whole = run([20] * 8)
    short = run([3, 3, 3, 20, 3, 9, 3, 3])  # the batch shrinks twice on the way
    for long, cut in zip(whole, short, strict=True):
        assert cut.stop == "length"
        assert cut.ids == long.ids[: cut.limit]


@pytest.mark.skipif(
    not torch.cpu._is_amx_tile_supported(), reason="its products of bfloat16 may be others"
)
def test_bfloat16_says_the_same_in_any_company(
    folder: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.chat.base.BF16_PARAMETERS", 0)
    base = _load(folder)
    assert base.dtype == torch.bfloat16
    names = [BASE, *(base.attach(adapter) for adapter in adapters)]
    prompts = [[(7 * n + 13 * at) % 200 + 10 for at in range(n)] for n in (5, 33, 70)]

    def said(which: list[int]) -> list[list[int]]:
        rows = [
            Generation(n, names[n], prompts[n], 40, Sampler(1.2, 0.95, 5, top_k=50, min_p=0.01))
            for n in which
        ]
        _finish(base, rows)
        return [row.ids for row in rows]

    together = said([0, 1, 2])
    assert together == [said([n])[0] for n in range(3)]
    assert together[::-1] == said([2, 1, 0])


def test_sampling_follows_the_distribution_and_its_nucleus() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    warm = Sampler(1.0, 1.0, 3)
    drawn = np.bincount([warm.pick(logits) for _ in range(4000)], minlength=4) / 4000
    assert np.allclose(drawn, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    narrow = Sampler(1.0, 0.7, 3)
    assert {narrow.pick(logits) for _ in range(500)} == {0, 1}
    assert {Sampler(1.0, 0.1, seed).pick(logits) for seed in range(50)} == {0}
    assert Sampler(0.0, 1.0, 0).pick(logits) == 0
    wide = np.zeros(5000, dtype=np.float32)  # more equals than the first candidates hold
    broad = Sampler(1.0, 0.9, 1)
    picks = {broad.pick(wide) for _ in range(3000)}
    assert max(picks) < 4501
    assert len(picks) > 1500


def test_sampling_cuts_and_punishes_as_transformers_does() -> None:
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = np.random.default_rng(0).normal(scale=1.5, size=60).astype(np.float32)
    read = [int(np.argmax(logits)), 7, 12]
    for top_k, top_p, min_p, penalty in (
        (8, 1.0, 0.0, 1.0),
        (0, 0.8, 0.1, 1.3),
        (20, 0.9, 0.05, 2.0),
        (0, 1.0, 0.2, 0.7),
    ):
        theirs = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty)])
        theirs.append(TemperatureLogitsWarper(1.2))
        theirs += [TopKLogitsWarper(top_k)] if top_k else []
        theirs += [TopPLogitsWarper(top_p)] if top_p < 1 else []
        theirs += [MinPLogitsWarper(min_p)] if min_p else []
        scores = theirs(torch.tensor([read]), torch.tensor(logits[None]).clone())
        expected = scores.softmax(-1)[0].numpy()
        drawn = np.zeros(60)
        for seed in range(3000):  # one draw each: what was drawn counts as read afterwards
            ours = Sampler(1.2, top_p, seed, top_k=top_k, min_p=min_p, repetition_penalty=penalty)
            ours.read(read)
            drawn[ours.pick(logits)] += 1 / 3000
        assert set(np.flatnonzero(drawn)) <= set(np.flatnonzero(expected))
        assert np.allclose(drawn, expected, atol=0.04)
    greedy = Sampler(0.0, 1.0, 0, repetition_penalty=1e3)
    assert len({greedy.pick(np.abs(logits)) for _ in range(20)}) == 20
