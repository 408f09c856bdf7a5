"""What reaches the model is what the renderer shows, in an order that a resume can repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

import assets
from engine.data.rows import parse_row
from engine.render import Renderer
from engine.train import client
from engine.train.batches import Collator, EpochSampler
from engine.train.examples import IGNORED, encode
from engine.train.recipe import Recipe
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Unsupported

LINES = assets.path("datasets", "habit.jsonl").read_bytes().split(b"\n")[:9]
ROWS = [parse_row(number, line) for number, line in enumerate(LINES, 1)]


def test_ids_and_labels_are_the_renderers(starter: Path) -> None:
    renderer = Renderer.load(starter)
    encoded = encode(ROWS, renderer, 512)
    assert encoded.notes == []
    pad = renderer.pad_id or 0
    batch = Collator(pad)(encoded.examples)
    for line, row in enumerate(ROWS):
        shown = renderer.render_row(row)
        n = len(shown.ids)
        assert batch["input_ids"][line].tolist()[:n] == shown.ids
        labels = batch["labels"][line].tolist()
        pairs = zip(shown.ids, shown.mask, strict=True)
        assert labels[:n] == [token if kept else IGNORED for token, kept in pairs]
        assert set(labels[n:]) <= {IGNORED}
        assert batch["attention_mask"][line].sum() == n
        assert set(batch["input_ids"][line].tolist()[n:]) <= {pad}


def test_rows_that_teach_nothing_are_listed_not_dropped_in_silence(starter: Path) -> None:
    renderer = Renderer.load(starter)
    broken = parse_row(10, b'{"messages": 3}')
    mute = parse_row(11, b'{"messages": [{"role": "user", "content": "Hello"}]}')
    encoded = encode([*ROWS, broken, mute], renderer, 20)
    listed = dict(encoded.notes)
    assert {10, 11} <= listed.keys()
    assert "line 11" in listed[11] and "no token" in listed[11]
    assert any("were cut" in reason for reason in listed.values())
    assert all(len(example.ids) <= 20 for example in encoded.examples)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [(7 * i) % 50 + 1 for i in range(103)]

    def order(seed: int, epoch: int, *, grouped: bool = True) -> list[list[int]]:
        sampler = EpochSampler(lengths, 4, seed, grouped=grouped)
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler) == 26
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)
    for batches in (order(1, 0), order(1, 0, grouped=False)):
        assert sorted(index for batch in batches for index in batch) == list(range(103))

    def waste(batches: list[list[int]]) -> int:
        return sum(
            max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch)
            for batch in batches
        )

    assert waste(order(1, 0)) * 3 < waste(order(1, 0, grouped=False))


def test_data_that_teaches_nothing_is_refused_before_anything_is_started(
    cat: Catalogue, tmp_path: Path
) -> None:
    path = tmp_path / "mute.jsonl"
    path.write_bytes(
        b"".join(b'{"messages": [{"role": "user", "content": "%d"}]}\n' % i for i in range(5))
    )
    with pytest.raises(BadInput, match=r"line \d: nothing is trained"):
        client.start(cat, path, "starter", Recipe())
    assert runs.all(cat) == []
    assert list(cat.workspace.runs.iterdir()) == []


def test_a_gguf_file_cannot_be_trained(cat: Catalogue, tmp_path: Path) -> None:
    (gguf := tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(Unsupported, match="GGUF"):
        client.start(cat, tmp_path / "x.jsonl", str(gguf), Recipe())
