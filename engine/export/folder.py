"""(heavy) Exports that are folders: a merged model for transformers, a clean adapter for PEFT.

Knows which files belong into each. Does not know how weights are merged (`merge`) or proved.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch

from engine.export.card import model_card, public_name
from engine.export.lora import CONFIG, WEIGHTS, Adapter
from engine.export.merge import HEAD, Merged, Planned
from engine.export.records import without_places
from engine.export.safefile import INDEX, SINGLE
from engine.export.stages import Source
from engine.models.folder import read_json
from store.errors import BadInput, Unsupported

Progress = Callable[[int, int], None]

_DTYPES = {
    "f32": ("F32", torch.float32),
    "f16": ("F16", torch.float16),
    "bf16": ("BF16", torch.bfloat16),
}
SHARD_BYTES = 5_000_000_000
"""Weights in one file, as Hugging Face divides them."""
ADDED = "added_tokens.json"
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_COPIED = (
    "generation_config.json",
    *_TOKENIZER,
    "tokenizer.model",
    ADDED,
    "vocab.json",
    "merges.txt",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
)
_SETTINGS = ("generation_config.json", "tokenizer_config.json")
_RUN_ONLY = ("quantization_config", "_name_or_path", "name_or_path", "torch_dtype")


def write_merged(
    merged: Merged,
    source: Source,
    type_name: str,
    target: Path,
    on_progress: Progress,
    limit: int = SHARD_BYTES,
) -> None:
    """Write a folder that transformers loads: weights in `type_name`, config, tokenizer, card.

    Args:
        limit: bytes of weights in one file at most; where one does not do, an index lists the
            parts as Hugging Face names them.
    Raises:
        Unsupported: a value does not fit the type. OSError: the disk is full or breaks.
    """
    target.mkdir()
    planned = merged.plan()
    files = _named(planned, type_name, limit)
    done = 0
    for name, part in files.items():
        with (target / name).open("wb") as handle:
            handle.write(_header(part, type_name))
            for item in part:
                for piece in merged.pieces(item):
                    handle.write(_bytes(piece, item, type_name))
                done += 1
                on_progress(done, len(planned))
            handle.flush()
            os.fsync(handle.fileno())
    merged.finish()
    if len(files) > 1:
        total = sum(_size(item, type_name) for item in planned)
        where = {item.name: name for name, part in files.items() for item in part}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        _write_json(target / INDEX, index)
    config = without_places({k: v for k, v in merged.config.items() if k not in _RUN_ONLY})
    config["dtype"] = str(_DTYPES[type_name][1]).removeprefix("torch.")
    if any(item.name == HEAD for item in planned):
        config["tie_word_embeddings"] = False
    _write_json(target / "config.json", config)
    base = Path(source.base)
    for name in _COPIED:
        if (base / name).is_file():
            _copy(base / name, target / name)
    if (base / "additional_chat_templates").is_dir():
        shutil.copytree(base / "additional_chat_templates", target / "additional_chat_templates")
    (target / "README.md").write_text(model_card(source, "merged", type_name), encoding="utf-8")


def write_adapter(source: Source, target: Path) -> None:
    """Write a PEFT folder with nothing of this machine in it: weights, config, card.

    Where the adapter trained new tokens, the tokenizer that has them comes with it.

    Raises:
        Unsupported: there is no adapter, or it holds what PEFT's LoRA does not.
    """
    if source.adapter is None:
        raise Unsupported(
            f"{source.ref}: has no adapter.", "Name a run, for example run:1, or use --to merged."
        )
    folder = Path(source.adapter)
    Adapter.load(folder)
    target.mkdir()
    shutil.copyfile(folder / WEIGHTS, target / WEIGHTS)
    config = read_json(folder / CONFIG)
    config["base_model_name_or_path"] = public_name(source.base_ref)
    _write_json(target / CONFIG, without_places(config))
    if (folder / ADDED).is_file():
        shutil.copyfile(folder / ADDED, target / ADDED)
        for name in _TOKENIZER:
            if (Path(source.base) / name).is_file():
                _copy(Path(source.base) / name, target / name)
    (target / "README.md").write_text(model_card(source, "adapter", "f32"), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    """Copy a file; settings that name a place on this machine lose it."""
    shutil.copyfile(source, target)
    if source.name in _SETTINGS:
        found = read_json(source)
        kept = without_places({k: v for k, v in found.items() if k not in _RUN_ONLY})
        if kept != found:
            _write_json(target, kept)


def _size(item: Planned, type_name: str) -> int:
    return prod(item.shape) * _DTYPES[type_name][1].itemsize


def _named(planned: list[Planned], type_name: str, limit: int) -> dict[str, list[Planned]]:
    """The tensors of every file by its name, in order, each within the limit where it can be."""
    groups: list[list[Planned]] = [[]]
    size = 0
    for item in planned:
        if groups[-1] and size + _size(item, type_name) > limit:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += _size(item, type_name)
    if len(groups) == 1:
        return {SINGLE: planned}
    count = len(groups)
    return {f"model-{n:05d}-of-{count:05d}.safetensors": g for n, g in enumerate(groups, 1)}


def _header(planned: list[Planned], type_name: str) -> bytes:
    """The head of a safetensors file whose tensors follow in this order."""
    name, _ = _DTYPES[type_name]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for item in planned:
        end = offset + _size(item, type_name)
        entry = {"dtype": name, "shape": list(item.shape), "data_offsets": [offset, end]}
        header[item.name] = entry
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _bytes(weight: torch.Tensor, item: Planned, type_name: str) -> bytes:
    narrow = weight.to(_DTYPES[type_name][1]).contiguous()
    if not bool(torch.isfinite(narrow).all()):
        if bool(torch.isfinite(weight).all()):
            raise Unsupported(
                f"tensor {item.name}: holds values that {type_name} cannot.", "Use --type bf16."
            )
        raise BadInput(
            f"tensor {item.name}: holds NaN or infinite values.",
            "Choose an earlier checkpoint: the training diverged before this one.",
        )
    return narrow.view(torch.uint8).numpy().tobytes()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
