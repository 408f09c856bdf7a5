"""(heavy) A merged model and its vocabulary as one GGUF file, written tensor by tensor.

Knows llama.cpp's names, types and row order. Does not know where weights come from (`merge`) or
whether the file is right (`proof`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite, prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from engine.export.gguf import families, graph
from engine.export.gguf.families import Family
from engine.export.gguf.ropes import Value
from engine.export.gguf.shape import MERGED, Config, heads, layers
from engine.export.gguf.vocabulary import read_vocabulary
from engine.export.merge import EMBEDDING, HEAD, Merged, Planned
from store.errors import BadInput, Unsupported

Progress = Callable[[int, int], None]

_Kind = gguf.GGMLQuantizationType
_FILE_TYPES = {
    "f32": (gguf.LlamaFileType.ALL_F32, _Kind.F32),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, _Kind.F16),
    "bf16": (gguf.LlamaFileType.MOSTLY_BF16, _Kind.BF16),
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, _Kind.Q8_0),
}
_F16_MAX = 65504.0


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_gguf` did: tensors, those kept in F32, those that fell back to F16.

    Attributes:
        remarks: what a person should know of the file before using it; mostly nothing.
    """

    tensors: int
    kept_f32: int
    fallbacks: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Target:
    """One tensor of the file: of the model, or the `given` factors of its rotary positions."""

    planned: Planned | None
    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    given: tuple[float, ...] = ()

    @property
    def bytes(self) -> int:
        """Size in the file, without padding."""
        size, bytes_each = gguf.GGML_QUANT_SIZES[self.kind]
        return prod(self.shape) // int(size) * int(bytes_each)


def write_gguf(
    merged: Merged,
    folder: Path,
    type_name: str,
    target: Path,
    *,
    notes: dict[str, str],
    on_progress: Progress,
) -> Written:
    """Write the merged model of base `folder` to `target` and force it to disk.

    Args:
        type_name: `f32`, `f16`, `bf16` or `q8_0`; vectors stay F32 in all of them.
        notes: provenance, written as string keys.
    Raises:
        Unsupported: the architecture, tokenizer or a tensor does not fit llama.cpp.
        OSError: the disk is full or breaks.
    """
    family = families.family_of(merged.config)
    planned = _with_head(merged, family)
    file_type, kind = _FILE_TYPES[type_name]
    targets = _targets(merged, family, planned, kind)
    writer = gguf.GGUFWriter(None, family.arch)
    _add_keys(writer, merged, folder, {**notes}, int(file_type))
    for item in targets:
        shape = list(item.shape)
        writer.add_tensor_info(
            item.name, shape, np.dtype(np.float32), item.bytes, raw_dtype=item.kind
        )
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.kv_data.clear()  # a vocabulary of 128,000 tokens takes 200 MB
        assert writer.fout is not None
        out = writer.fout[0]
        writer.write_padding(out, out.tell())
        for done, item in enumerate(targets):
            for weight in _values(merged, family, item):
                _pack(weight, item).tofile(out)
            writer.write_padding(out, item.bytes)
            on_progress(done + 1, len(targets))
        merged.finish()
        writer.flush()
    finally:
        writer.close()
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    matrices = [item for item in targets if len(item.shape) > 1]
    fallbacks = sum(item.kind != kind for item in matrices)
    remarks = tuple(graph.remarks(merged.config))
    return Written(len(targets), len(targets) - len(matrices), fallbacks, remarks)


def _licence(folder: Path) -> str | None:
    """The base's licence, which goes with what is made of it, as the head of its card names it."""
    card = folder / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    head = text.partition("---\n")[2].partition("\n---")[0] if text.startswith("---\n") else ""
    found = re.search(r"^license: *[\"']?([\w.-]+)", head, re.MULTILINE)
    return found[1] if found else None


def _add_keys(
    writer: gguf.GGUFWriter, merged: Merged, folder: Path, notes: dict[str, str], file_type: int
) -> None:
    """What a file says of itself: the model, its graph, its vocabulary."""
    sizes = {item.name: item.shape for item in merged.plan()}
    rows = sizes[EMBEDDING][0] if EMBEDDING in sizes else 0
    vocabulary = read_vocabulary(folder, rows)
    notes["general.name"] = vocabulary.named(notes.get("general.name", writer.arch))
    _add_general(writer, notes, file_type)
    writer.add_size_label(gguf.size_label(sum(map(prod, sizes.values())), 0, 0, 0))
    if licence := _licence(folder):
        writer.add_license(licence)
    for key, value_type, value in graph.keys(merged.config, rows):
        _add(writer, f"{writer.arch}.{key}", value_type, value)
    vocabulary.write(writer)


def gguf_names(config: dict[str, Any]) -> gguf.TensorNameMap:
    """What llama.cpp calls the weights of a model with this config.json."""
    family = families.family_of(config)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == family.arch)
    return gguf.get_tensor_name_map(arch, layers(config))


def _with_head(merged: Merged, family: Family) -> list[Planned]:
    """The model's tensors, with the output head as llama.cpp's graph wants it.

    Raises:
        Unsupported: the graph takes the embedding as the head, and the model has another.
    """
    planned = merged.plan()
    own = any(item.name == HEAD for item in planned)
    if own and family.head == "tied":
        raise Unsupported(
            f"{HEAD} differs from the embedding: llama.cpp's '{family.arch}' has one for both.",
            f"{MERGED} Or train without lm_head and embed_tokens.",
        )
    if not own and family.head == "own":
        planned += [replace(item, name=HEAD) for item in planned if item.name == EMBEDDING]
    return planned


def _targets(
    merged: Merged, family: Family, planned: list[Planned], kind: gguf.GGMLQuantizationType
) -> list[_Target]:
    """Every tensor of the file with its llama.cpp name and type, all of the graph's among them."""
    names = gguf_names(merged.config)
    targets = [
        _Target(None, name, (len(factors),), _Kind.F32, tuple(factors))
        for name, factors in graph.rope_tensors(merged.config).items()
    ]
    for item in planned:
        name = names.get_name(item.name, try_suffixes=(".weight", ".bias"))
        module, _, part = item.name.rpartition(".")
        if name is None or (part == "bias" and module.rpartition(".")[2] not in family.biases):
            raise Unsupported(
                f"tensor {item.name}: llama.cpp's '{family.arch}' has no place for it.",
                MERGED,
            )
        targets.append(_Target(item, name, item.shape, _kind(item.shape, kind)))
    _check_whole([item.name for item in targets], layers(merged.config), family)
    return targets


def _check_whole(names: list[str], count: int, family: Family) -> None:
    """Refuse a model of which a part is missing or twice there: every block has the same."""
    parts = [n.removeprefix("blk.").partition(".") for n in names if n.startswith("blk.")]
    blocks = {number: {p for n, _, p in parts if n == number} for number, _, _ in parts}
    first = blocks.get("0", set())
    odd = next((i for i in range(count) if blocks.get(str(i)) != first), None)
    around = {"token_embd.weight", "output_norm.weight"} - {*names}
    if family.arch == "olmo":  # its norms have no weights
        around -= {"output_norm.weight"}
    single = len(blocks) == count and len({*names}) == len(names)
    if odd is None and first and single and not around:
        return
    missing = next(iter(sorted(around)), f"block {odd or 0} of {count} is not as the others are")
    raise BadInput(
        f"the weights are not whole: {missing}.",
        "Copy or download the model folder again.",
    )


def _kind(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    if len(shape) < 2:
        return _Kind.F32
    return _Kind.F16 if kind == _Kind.Q8_0 and shape[-1] % 32 else kind


def _values(merged: Merged, family: Family, item: _Target) -> Iterator[torch.Tensor]:
    """A tensor as llama.cpp wants it: whole, or a large one in pieces of some rows each."""
    if item.planned is None:
        yield torch.tensor(item.given, dtype=torch.float32)
        return
    if is_rotary(item.planned.name, family):
        weight = merged.tensor(item.planned)
        yield reordered(weight, item.planned.name, merged.config, family)
        return
    shift = family.shift if item.planned.name.endswith("norm.weight") else 0.0
    for piece in merged.pieces(item.planned):
        yield piece + shift if shift else piece


def is_rotary(name: str, family: Family) -> bool:
    """Whether llama.cpp has the rows of the weight (or bias) `name` in another order."""
    return family.permuted and name.split(".")[-2] in ("q_proj", "k_proj")


def reordered(weight: torch.Tensor, name: str, config: Config, family: Family) -> torch.Tensor:
    """The weight or bias `name`, or B of an adapter to it, with its rows in llama.cpp's order."""
    if not is_rotary(name, family):
        return weight
    query, key_value = heads(config)
    return rotary_rows(weight, query if ".q_proj." in name else key_value)


def rotary_rows(weight: torch.Tensor, count: int) -> torch.Tensor:
    """Rows of a projection to `count` heads ([count·d, in], or its bias) from Hugging Face's order.

    There the two halves of a head rotate together; in llama.cpp's `llama` graph neighbours do.
    """
    halves = weight.reshape(count, 2, weight.shape[0] // count // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _pack(weight: torch.Tensor, item: _Target) -> NDArray[np.generic]:
    """A float32 tensor as the bytes of its type."""
    low, high = map(float, weight.aminmax())
    if not isfinite(low) or not isfinite(high):
        raise BadInput(
            f"tensor {item.name}: holds NaN or infinite values.",
            "Choose an earlier checkpoint: the training diverged before this one.",
        )
    if item.kind == _Kind.F16 and max(-low, high) > _F16_MAX:
        raise Unsupported(
            f"tensor {item.name}: holds values over {_F16_MAX:.0f}, which F16 cannot.",
            "Use --type bf16.",
        )
    weight = weight.contiguous()
    if item.kind == _Kind.F16:
        return weight.to(torch.float16).numpy()
    if item.kind == _Kind.BF16:
        return weight.to(torch.bfloat16).view(torch.int16).numpy()
    packed: NDArray[np.generic] = gguf.quants.quantize(weight.numpy(), item.kind)
    return packed


def _add_general(writer: gguf.GGUFWriter, notes: dict[str, str], file_type: int) -> None:
    writer.add_type("model")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in notes.items():
        writer.add_string(key, value)


def _add(writer: gguf.GGUFWriter, key: str, value_type: str, value: Value) -> None:
    match value_type, value:
        case "u32", int():
            writer.add_uint32(key, value)
        case "f32", int() | float():
            writer.add_float32(key, value)
        case "bools", list():
            writer.add_array(key, value)
        case _:
            writer.add_string(key, str(value))
