"""(heavy) A merged model and its vocabulary as one GGUF file, written tensor by tensor.

Knows llama.cpp's names, types and row order. Does not know where weights come from (`merge`) or
whether the file is right (`proof`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from engine.export import families
from engine.export.families import Family
from engine.export.merge import EMBEDDING, Merged, Planned
from engine.export.vocabulary import Vocabulary, read_vocabulary
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
    """What `write_gguf` did: tensors, those kept in F32, those that fell back to F16."""

    tensors: int
    kept_f32: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class _Target:
    planned: Planned | None
    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType


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
    planned = merged.plan()
    rows = next((p.shape[0] for p in planned if p.name == EMBEDDING), 0)
    vocabulary = read_vocabulary(folder, rows)
    file_type, kind = _FILE_TYPES[type_name]
    targets = _targets(merged, family, planned, kind)
    writer = gguf.GGUFWriter(None, family.arch)
    _add_general(writer, notes, int(file_type))
    for key, value_type, value in families.keys(merged.config, rows):
        _add(writer, f"{family.arch}.{key}", value_type, value)
    _add_vocabulary(writer, vocabulary)
    _add_tensors(writer, targets)
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, item in enumerate(targets):
            writer.write_tensor_data(_pack(_values(merged, family, item), item))
            on_progress(done + 1, len(targets))
        merged.finish()
        writer.flush()
    finally:
        writer.close()
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    matrices = [item for item in targets if len(item.shape) > 1]
    fallbacks = sum(item.kind != kind for item in matrices)
    return Written(len(targets), len(targets) - len(matrices), fallbacks)


def gguf_names(config: dict[str, Any]) -> gguf.TensorNameMap:
    """What llama.cpp calls the weights of a model with this config.json."""
    family = families.family_of(config)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == family.arch)
    return gguf.get_tensor_name_map(arch, families.layers(config))


def _targets(
    merged: Merged, family: Family, planned: list[Planned], kind: gguf.GGMLQuantizationType
) -> list[_Target]:
    """Every tensor of the file with its llama.cpp name and type, all of the graph's among them."""
    names = gguf_names(merged.config)
    targets = []
    if families.rope(merged.config).kind == "llama3":
        shape = (families.head_dim(merged.config) // 2,)
        targets.append(_Target(None, "rope_freqs.weight", shape, _Kind.F32))
    for item in planned:
        name = names.get_name(item.name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise Unsupported(
                f"tensor {item.name}: llama.cpp's '{family.arch}' has no place for it.",
                "Use --to merged: a folder for transformers.",
            )
        targets.append(_Target(item, name, item.shape, _kind(item.shape, kind)))
    found = {item.name for item in targets}
    blocks = {int(n.split(".")[1]) for n in found if n.startswith("blk.")}
    wanted = range(families.layers(merged.config))
    if len(found) != len(targets) or blocks != set(wanted) or "output_norm.weight" not in found:
        raise BadInput(
            f"the weights hold blocks {sorted(blocks)[:3]}… of {len(wanted)}, or miss a norm.",
            "Copy or download the model folder again.",
        )
    return targets


def _kind(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    if len(shape) < 2:
        return _Kind.F32
    return _Kind.F16 if kind == _Kind.Q8_0 and shape[-1] % 32 else kind


def _values(merged: Merged, family: Family, item: _Target) -> torch.Tensor:
    if item.planned is None:
        return torch.tensor(families.llama3_factors(merged.config), dtype=torch.float32)
    return reordered(merged.tensor(item.planned), item.planned.name, merged.config, family)


def reordered(
    weight: torch.Tensor, name: str, config: families.Config, family: Family
) -> torch.Tensor:
    """The weight `name`, or B of an adapter to it, with its rows in llama.cpp's order."""
    if name.split(".")[-2] not in family.permuted:
        return weight
    query, key_value = families.heads(config)
    return rotary_rows(weight, query if ".q_proj." in name else key_value)


def rotary_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection ([heads·d, in], or its bias) from Hugging Face's order.

    There the two halves of a head rotate together; in llama.cpp's `llama` graph neighbours do.
    """
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _pack(weight: torch.Tensor, item: _Target) -> NDArray[np.generic]:
    """A float32 tensor as the bytes of its type."""
    if not bool(torch.isfinite(weight).all()):
        raise BadInput(
            f"tensor {item.name}: holds NaN or infinite values.",
            "Choose an earlier checkpoint: the training diverged before this one.",
        )
    if item.kind == _Kind.F16 and float(weight.abs().max()) > _F16_MAX:
        raise Unsupported(
            f"tensor {item.name}: holds values over {_F16_MAX:.0f}, which F16 cannot.",
            "Use --type bf16.",
        )
    packed: NDArray[np.generic] = gguf.quants.quantize(weight.contiguous().numpy(), item.kind)
    return packed


def _add_general(writer: gguf.GGUFWriter, notes: dict[str, str], file_type: int) -> None:
    writer.add_type("model")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in notes.items():
        writer.add_string(key, value)


def _add(writer: gguf.GGUFWriter, key: str, value_type: str, value: int | float | str) -> None:
    match value_type:
        case "u32":
            writer.add_uint32(key, int(value))
        case "f32":
            writer.add_float32(key, float(value))
        case _:
            writer.add_string(key, str(value))


def _add_tensors(writer: gguf.GGUFWriter, targets: list[_Target]) -> None:
    """The list of tensors, which a GGUF file has before the first of them."""
    for item in targets:
        size, bytes_each = gguf.GGML_QUANT_SIZES[item.kind]
        count = int(np.prod(item.shape)) // size * bytes_each
        shape = list(item.shape)
        writer.add_tensor_info(item.name, shape, np.dtype(np.float32), count, raw_dtype=item.kind)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.model == "llama":
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    else:
        writer.add_token_merges(vocabulary.merges)
    for name, token_id in vocabulary.special.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token_id)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
    if vocabulary.template is not None:
        writer.add_chat_template(vocabulary.template)
