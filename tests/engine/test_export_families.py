"""Every family of the table: a tiny model in llama.cpp answers like transformers, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.tiny import SHAPES, adapt, build, divergence, source_of
from engine.export.convert import Written, write_gguf
from engine.export.families import FAMILIES
from engine.export.merge import Merged
from engine.export.stages import Source

NAMES = list(SHAPES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {name: build(SHAPES[name], folder / str(i)) for i, name in enumerate(NAMES)}


def convert(source: Source, target: Path, type_name: str = "f32") -> Written:
    folder, nothing = Path(source.base), lambda _done, _total: None
    return write_gguf(Merged(source), folder, type_name, target, notes={}, on_progress=nothing)


def changed(folder: Path, **config: Any) -> dict[str, Any]:
    return {**json.loads((folder / "config.json").read_text()), **config}


def test_every_family_has_a_shape() -> None:
    assert {f"{shape.architecture}ForCausalLM" for shape in SHAPES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_with_an_adapter_it_answers_like_transformers(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    adapter = adapt(models[name], tmp_path / "adapter", SHAPES[name].adapted)
    source = source_of(models[name], adapter)
    convert(source, tmp_path / "m.gguf")

    found = divergence(source, tmp_path / "m.gguf", tmp_path / "log")
    without = divergence(source_of(models[name]), tmp_path / "m.gguf", tmp_path / "log")

    assert found["kl_mean"] < 1e-6
    assert without["kl_mean"] > 1e-3
