"""What an export would be, and taking one away again."""

from __future__ import annotations

import ctypes
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import pytest

from engine.export import client
from engine.export.gguf.convert import gguf_names, write_gguf
from engine.export.gguf.importance import Importance
from engine.export.gguf.mixture import gguf_bytes
from engine.export.gguf.quantise import matrix_of
from engine.export.merge import Merged
from engine.export.sizes import best, sizes
from engine.export.types import TYPES, ExportType
from engine.jobs.process import this_process
from engine.models.folder import read_json
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from tests.engine.export_models import source_of, tiny_llama


def test_every_type_from_the_largest_down_and_what_fits(cat: Catalogue) -> None:
    found = sizes(cat, "starter", context=100_000)
    assert {size.type.name for size in found} == set(TYPES["gguf"])
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


def test_an_export_whose_parts_are_not_all_there_is_deleted(cat: Catalogue, tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for gone in parts[:2]:
        record = exports.create(cat, ref="starter", kind="gguf", type="f16", path=str(parts[0]))
        exports.update(cat, record.id, status="proved", sha256="abc")
        (tmp_path / f"{parts[0].name}.workbench.json").write_text('{"sha256": "abc"}')
        for part in parts:
            part.touch()
        gone.unlink()
        client.delete(cat, record.id)
        assert [path.name for path in tmp_path.iterdir()] == ["ws"] and not exports.all(cat)


@pytest.mark.parametrize(
    "shape",
    [
        {"intermediate_size": 512, "num_hidden_layers": 17, "num_key_value_heads": 2},
        {"intermediate_size": 320, "num_hidden_layers": 9, "tie_word_embeddings": True},
    ],
)
def test_sizes_are_those_of_the_quantiser(shape: dict[str, Any], tmp_path: Path) -> None:
    """Many layers, shared heads, rows that do not divide by 256: it tells without writing."""
    wide: dict[str, Any] = {"hidden_size": 256, "num_attention_heads": 8, **shape}
    base = tiny_llama(tmp_path / "base", **wide)
    file = tmp_path / "f16.gguf"
    merged = Merged(source_of(base))
    write_gguf(merged, base, "f16", file, notes={}, on_progress=lambda *_: None)
    names, config = gguf_names(merged.config), read_json(base / "config.json")
    columns = {names.get_name(p.name, (".weight",)): p.shape[-1] for p in merged.plan()}
    matters = {name: np.ones(n, np.float32) for name, n in columns.items() if name}
    keys = file.stat().st_size - sum(tensor.n_bytes for tensor in gguf.GGUFReader(file).tensors)
    for type in TYPES["gguf"].values():
        expected = gguf_bytes(base, config, type.name, tied="tie_word_embeddings" in shape)
        if type.quantised:
            weights = told_by_the_quantiser(file, type, matters if type.fitted else {})
            assert expected == pytest.approx(keys + weights, rel=0.005), type.name


def told_by_the_quantiser(file: Path, type: ExportType, importance: Importance) -> float:
    """Bytes of all weights in a type, as llama.cpp's quantiser counts them in a dry run."""
    said: list[str] = []
    hear = llama_cpp.llama_log_callback(lambda _level, text, _data: said.append(text.decode()))
    llama_cpp.llama_log_set(hear, ctypes.c_void_p(0))
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.dry_run = type.file_type, True
    matrix = matrix_of(importance)
    if importance:
        options.imatrix = matrix
    assert llama_cpp.llama_model_quantize(bytes(file), b"/none", ctypes.byref(options)) == 0
    found = re.search(r"quant size\s+=\s+([\d.]+) MiB", "".join(said))
    assert found is not None
    return float(found[1]) * 2**20
