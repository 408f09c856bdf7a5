"""Hashes of weights: read once, read again when they change, and never another base's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from engine.chat.client import ChatSession
from engine.models import folder as folders
from engine.models import hashes
from engine.train import checkpoints
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict


def test_weights_are_read_once_and_again_when_they_change(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    file = base / "model.safetensors"
    file.write_bytes(b"first" * 1000)
    asked: list[Path] = []

    def counted(path: Path) -> str:
        asked.append(path)
        return folders.file_sha256(path)

    monkeypatch.setattr(hashes, "file_sha256", counted)

    def told() -> str:
        return hashes.known_weights_sha256(cat.workspace, base)

    assert told() == told() == folders.weights_sha256(base)
    assert len(asked) == 2  # written a moment ago: it could change unseen
    monkeypatch.setattr(hashes, "_SETTLED_NS", -1)
    assert told() == told() == told()
    assert len(asked) == 3
    # Same size, same modification time: the entry's own time still tells.
    old = file.stat()
    file.write_bytes(b"secnd" * 1000)
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert told() == folders.weights_sha256(base)
    assert len(asked) == 4
    (cat.workspace.indexes / hashes.FILE).write_bytes(b"{not json")
    assert told() == folders.weights_sha256(base)


def test_an_adapter_is_not_put_on_another_base(
    cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(starter, base)
    run = runs.create(
        cat,
        model=str(base),
        dataset="x",
        recipe={},
        seed=0,
        base_sha256=folders.weights_sha256(base),
    )
    files = [("adapter_model.safetensors", b"abc"), ("adapter_config.json", b"{}")]
    checkpoints.write(cat.workspace.run_dir(run.id), 1, files, {})
    weights = base / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(Conflict, match="changed since it was trained"):
        ChatSession.open(cat, ["starter", f"run:{run.id}"], keep=False)
