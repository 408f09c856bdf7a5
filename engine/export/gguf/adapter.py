"""(heavy) An adapter as a GGUF file for llama.cpp's `--lora`, and the base that it is proved on.

Knows llama.cpp's names for A and B, which rows it wants in another order, and what such a file
cannot hold. Does not know what the merge would do (`lora`) or whether the file is right (`proof`).

PEFT's factor is folded into B and `adapter.lora.alpha` is 0, which llama.cpp reads as "no factor of
my own". It knows one alpha a file and divides it by the rank: rsLoRA and alpha patterns could not
be said otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import torch

from engine.export.card import public_name
from engine.export.gguf import families
from engine.export.gguf.convert import Progress, gguf_names, reordered, write_gguf
from engine.export.gguf.families import Family
from engine.export.lora import Adapter, Part, scaling
from engine.export.merge import DTYPES, EMBEDDING, HEAD, Merged, Weights
from engine.export.stages import Source
from engine.models.folder import read_json
from store.errors import BadInput, Unsupported

_MERGE = "Merge it into a file of its own: --to gguf."
_ENDS = tuple(name.removesuffix(".weight") for name in (EMBEDDING, HEAD))
Pair = tuple[torch.Tensor, torch.Tensor]


def write_adapter_gguf(
    source: Source, target: Path, *, notes: Mapping[str, str], on_progress: Progress
) -> int:
    """Write the adapter of `source` to `target` in F32 and force it to disk.

    Args:
        notes: provenance, written as string keys.
    Returns:
        how many modules it changes.
    Raises:
        Unsupported: it changes the base in a way that llama.cpp cannot apply to one.
        BadInput: it holds values that are no numbers.
        OSError: the disk is full or breaks.
    """
    config = read_json(Path(source.base) / "config.json")
    family = families.family_of(config)
    adapter = checked(source)
    names = _names(adapter, config, family)
    writer = gguf.GGUFWriter(None, family.arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    for key, value in notes.items():
        writer.add_string(key, value)
    for module, name in names.items():
        for end, tensor in zip("ab", _pair(adapter, module, config, family), strict=True):
            shape, size = list(tensor.shape), tensor.numel() * 4
            writer.add_tensor_info(f"{name}.lora_{end}", shape, np.dtype(np.float32), size)
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, module in enumerate(names):
            for tensor in _pair(adapter, module, config, family):
                writer.write_tensor_data(tensor.contiguous().numpy())
            on_progress(done + 1, len(names))
        writer.flush()
    finally:
        writer.close()
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    return len(names)


def checked(source: Source) -> Adapter:
    """The adapter of `source`, which such a file can hold.

    Raises:
        Unsupported: it cannot. NotFound, BadInput: the adapter's files are not whole.
    """
    if source.adapter is None:
        raise Unsupported(f"{source.ref}: has no adapter.", "Name a run, for example run:1.")
    adapter = Adapter.load(Path(source.adapter))
    for module in sorted(adapter.modules):
        if why := _more_than_a_pair(adapter.part(module), module, source):
            raise Unsupported(
                f"{source.ref}: module {module}: {why}, which an adapter for llama.cpp cannot "
                "hold.",
                _MERGE,
            )
    ends = sorted(adapter.modules & set(_ENDS))
    if ends and Merged(msgspec.structs.replace(source, adapter=None)).tied:
        raise Unsupported(
            f"{source.ref}: module {ends[0]}: the base has one tensor for embedding and head, and "
            "llama.cpp cannot adapt one of the two alone.",
            _MERGE,
        )
    return adapter


def write_base_gguf(source: Source, target: Path, *, on_progress: Progress) -> None:
    """Write the base alone as training held it, in as many bits: what the adapter is exact on.

    Raises: as `convert.write_gguf`.
    """
    base = msgspec.structs.replace(source, adapter=None)
    notes = {"general.name": public_name(source.base_ref)}
    if source.quantization:
        notes["workbench.quantization"] = source.quantization

    def write(type_name: str) -> None:
        folder = Path(base.base)
        write_gguf(Merged(base), folder, type_name, target, notes=notes, on_progress=on_progress)

    try:
        write(base.lossless)
    except Unsupported:  # some weights go beyond what F16 holds; what else is refused is so again
        write("f32")


def _names(adapter: Adapter, config: Mapping[str, Any], family: Family) -> dict[str, str]:
    """What llama.cpp calls the weight of every module that the adapter changes."""
    known = gguf_names(dict(config))
    found = {}
    for module in sorted(adapter.modules):
        name = known.get_name(f"{module}.weight", try_suffixes=(".weight",))
        if name is None:
            raise Unsupported(
                f"the adapter changes {module}: llama.cpp's '{family.arch}' has no place for it.",
                "Use --to adapter: a folder for PEFT.",
            )
        found[module] = name
    return found


def _more_than_a_pair(part: Part, module: str, source: Source) -> str:
    """What changes the module besides A and B; nothing where nothing does."""
    if part.magnitude is not None:
        return "DoRA's magnitudes"
    if part.rows is not None:
        return "trained rows of tokens"
    if part.replacement is not None:
        return "a whole weight trained beside the adapter (modules_to_save)"
    if part.base is not None:
        own = Weights(Path(source.base)).read(f"{module}.weight").to(DTYPES[source.dtype])
        if not torch.equal(part.base, own.float()):
            return "an embedding that is not the base's (added or trained tokens)"
    return ""


def _pair(adapter: Adapter, module: str, config: Mapping[str, Any], family: Family) -> Pair:
    """A and B of a module as llama.cpp reads them."""
    part = adapter.part(module)
    assert part.down is not None and part.up is not None
    down, up = part.down, part.up * scaling(adapter.config, module, part.down.shape[0])
    if not bool(torch.isfinite(down).all() and torch.isfinite(up).all()):
        raise BadInput(
            f"module {module}: the adapter holds NaN or infinite values.",
            "Choose an earlier checkpoint: the training diverged before this one.",
        )
    if part.embedding:  # looked up by token, so A has a row for each
        return down.T, up
    return down, reordered(up, f"{module}.weight", config, family)
