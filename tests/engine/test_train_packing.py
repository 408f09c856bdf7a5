"""Packed rows: none sees another, each is there once, and a resume repeats their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.data.findings.packing import bins
from engine.train import client
from engine.train.batches import Collator, PackedCollator, training_loader
from engine.train.examples import IGNORED, Example
from engine.train.order import packed_batches
from engine.train.scoring import Scoring
from store.catalogue import Catalogue
from tests.engine.train_fixtures import ended, losses, small_data, small_recipe, wait

pytestmark = pytest.mark.long

CAPACITY = 64


def rows(count: int = 40, seed: int = 0) -> list[Example]:
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        length = int(random.integers(3, CAPACITY))
        ids = random.integers(5, 2000, length).astype(np.int32)
        labels = np.where(np.arange(length) < length // 2, IGNORED, ids).astype(np.int32)
        made.append(Example(number, ids, labels))
    return made


def test_every_row_is_in_one_sequence_and_none_is_too_long() -> None:
    lengths = [len(row.ids) for row in rows(300)]
    seen = []
    for epoch in (0, 1):
        batches = packed_batches(lengths, 3, 7, epoch, CAPACITY)
        sequences = [sequence for batch in batches for sequence in batch]
        assert sorted(place for s in sequences for place in s) == list(range(300))
        assert all(sum(lengths[place] for place in s) <= CAPACITY for s in sequences)
        counts = np.bincount(lengths, minlength=CAPACITY + 1)
        assert len(sequences) == bins(counts, CAPACITY)  # As preflight promised.
        seen.append(batches)
    assert seen[0] == packed_batches(lengths, 3, 7, 0, CAPACITY)
    assert {frozenset(s) for b in seen[0] for s in b} != {frozenset(s) for b in seen[1] for s in b}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("one_line", [True, False])
def test_logits_of_packed_rows_are_those_of_the_rows_alone(
    starter: Path, attention: str, one_line: bool
) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        starter, dtype=torch.float32, attn_implementation=attention
    ).eval()
    some = rows(9)
    batches = packed_batches([len(row.ids) for row in some], 2, 0, 0, CAPACITY)
    collator = PackedCollator(0, one_line=one_line)
    with torch.no_grad():
        for batch in batches:
            packed = collator([[some[place] for place in s] for s in batch])
            labels = packed.pop("labels")
            logits = model(**packed, use_cache=False).logits
            starts = (packed["position_ids"] == 0).nonzero().tolist()
            ends = [place for s in batch for place in s]
            for (line, start), place in zip(_of_rows(starts, batch, some), ends, strict=True):
                row = some[place]
                end = start + len(row.ids)
                alone = model(torch.tensor(row.ids, dtype=torch.int64)[None], use_cache=False)
                assert torch.allclose(logits[line, start:end], alone.logits[0], atol=2e-5)
                assert labels[line, start] == IGNORED
                assert labels[line, start + 1 : end].tolist() == row.labels[1:].tolist()


def _of_rows(
    starts: list[list[int]], batch: list[list[int]], some: list[Example]
) -> list[list[int]]:
    """Where rows begin, the padding at the end of a line left out."""
    found = []
    for line, start in starts:
        on_line = (
            batch[line] if len({at for at, _ in starts}) > 1 else [p for s in batch for p in s]
        )
        if start < sum(len(some[place].ids) for place in on_line):
            found.append([line, start])
    return found


def test_a_packed_batch_is_cut_between_its_rows() -> None:
    class Cutter(Scoring):
        """The cutting alone."""

    some = rows(12)
    (batch,) = packed_batches([len(row.ids) for row in some], 99, 0, 0, CAPACITY)
    for one_line in (True, False):
        packed = PackedCollator(0, one_line=one_line)([[some[p] for p in s] for s in batch])
        whole = packed["input_ids"].numel()
        cutter = Cutter()
        assert cutter.rows_of(packed) >= 12
        pieces = [piece for piece, _ in cutter.pieces_of(packed, 64)]
        assert len(pieces) >= 12
        assert sum(piece["input_ids"].numel() for piece in pieces) == whole
        assert all(piece["position_ids"][0, 0] == 0 for piece in pieces)
        labelled = sum(int((piece["labels"] != IGNORED).sum()) for piece in pieces)
        assert labelled == int((packed["labels"] != IGNORED).sum())


def test_padded_rows_still_come_one_by_one() -> None:
    loader = training_loader(rows(10), 4, 0, Collator(0), grouped=True)
    assert sum(len(batch["input_ids"]) for batch in loader) == 10
    longest = max(len(row.ids) for row in rows(10))
    assert loader.heaviest()["input_ids"].shape == (4, longest)


def test_a_packed_run_resumes_bit_for_bit(cat: Catalogue, tmp_path: Path) -> None:
    sets = (
        "packing=true",
        "per_device_train_batch_size=1",
        "max_length=128",
        "max_steps=6",
        "save_steps=2",
        "test_size=0",
        "probe_tokens=0",
    )
    data = small_data(tmp_path, 24)
    whole = client.start(cat, data, "starter", small_recipe(*sets))
    assert wait(cat, whole.id, ended).status == "finished"
    run = client.start(cat, data, "starter", small_recipe(*sets))
    wait(cat, run.id, lambda r: r.step >= 3)
    client.stop(cat, run.id)
    stopped = wait(cat, run.id, ended)
    if stopped.status != "finished":
        client.resume(cat, run.id)
        assert wait(cat, run.id, ended).status == "finished"
    assert len(losses(cat, run.id)) == 6
    assert losses(cat, run.id) == losses(cat, whole.id)
