"""What an export would be, and taking one away again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.export import client
from engine.export.sizes import best, sizes
from engine.export.types import TYPES
from engine.jobs.process import this_process
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.workspace import Workspace


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(Workspace(tmp_path / "ws")) as opened:
        yield opened


def test_every_type_from_the_largest_down_and_what_fits(cat: Catalogue) -> None:
    found = sizes(cat, "starter", context=100_000)
    assert [size.type.name for size in found] == list(TYPES["gguf"])
    assert [size.bytes for size in found] == sorted((size.bytes for size in found), reverse=True)
    assert {size.context for size in found} == {1024}  # more than that it cannot hold
    assert all(size.memory > size.bytes for size in found)
    by_name = {size.type.name: size for size in found}
    # With much room a type that loses nothing is enough; with little, the largest that fits.
    assert best(found, 1 << 40) == by_name["q8_0"]
    assert best(found, by_name["q5_k_m"].memory) == by_name["q5_k_m"]
    assert best(found, 1000) is None
    fewer = sizes(cat, "starter", context=64)
    assert fewer[0].memory < found[0].memory and fewer[0].bytes == found[0].bytes
    with pytest.raises(BadInput, match="--context 0"):
        sizes(cat, "starter", context=0)


def test_only_what_was_exported_is_deleted(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    record = exports.create(
        cat,
        ref="starter",
        kind="gguf",
        type="f16",
        path=str(file),
        provenance=asdict(this_process()),
    )
    with pytest.raises(Conflict, match="being written"):
        client.delete(cat, record.id)
    exports.update(cat, record.id, status="proved", sha256="abc")
    file.write_bytes(b"something else by now")
    with pytest.raises(Conflict, match="is not what export"):
        client.delete(cat, record.id)
    (tmp_path / "m.gguf.workbench.json").write_text('{"sha256": "abc"}')
    client.delete(cat, record.id)
    assert [path.name for path in tmp_path.iterdir()] == ["ws"] and not exports.all(cat)
