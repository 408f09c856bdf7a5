"""Before an export: how large a model is in every type, what it takes to run, and what is lost.

Knows headers and published figures. Loads no weights and measures nothing: what a type loses of
this model is what its proof says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.export import plan
from engine.export.types import TYPES, ExportType
from engine.models import refs
from engine.train.fit.shape import shape_of
from store.catalogue import Catalogue
from store.errors import BadInput

_STATE_BYTES = 2
"""llama.cpp keeps keys and values in F16."""
_BATCH = 512
"""Tokens that it reads at once; its buffers hold their logits and the widest layer, in F32."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MEMORY = re.compile(r"([\d.]+)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_LEAST_SHARD = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """A model in one type.

    Attributes:
        bytes: of the file, within a percent.
        memory: bytes to run it with `context` tokens: file, keys and values, buffers.
    """

    type: ExportType
    bytes: int
    memory: int
    context: int


def sizes(cat: Catalogue, ref: str, *, context: int = 4096) -> list[Size]:
    """The model `ref` in every GGUF type, the largest first.

    Args:
        context: tokens that are to be held at once; never more than the model can.
    Raises:
        WorkbenchError: the reference cannot be exported. BadInput: no context.
    """
    if context < 1:
        raise BadInput(f"--context {context}: expected a number of tokens.", "Say --context 4096.")
    source = plan.source_of(cat, refs.whole(refs.resolve(cat, ref)))
    base = Path(source.base)
    shape = shape_of(base)
    limit = plan.context_of(base)
    held = min(context, limit) if limit else context
    work = _BATCH * 4 * (shape.vocabulary + 4 * shape.intermediate)
    states = 2 * shape.layers * shape.keys * _STATE_BYTES * held
    found = []
    for type in TYPES["gguf"].values():
        size = plan.size_of(source, "gguf", type.name)
        found.append(Size(type, size, size + states + work, held))
    return sorted(found, key=lambda size: -size.bytes)


def best(found: Sequence[Size], memory: int) -> Size | None:
    """The one that loses least of those that run in so many bytes; None where none does.

    Of types that lose nothing that could be measured the smallest is enough.
    """
    fitting = [size for size in found if size.memory <= memory]
    exact = [size for size in fitting if size.type.name in ("f16", "q8_0")]
    return exact[-1] if exact else max(fitting, key=lambda size: size.bytes, default=None)


def shard_of(said: str) -> int:
    """Bytes of weights in one file of several, of what a person says.

    Raises:
        BadInput: it is no size, or so small that there would be a file for every tensor.
    """
    limit = memory_of(said, "--shard")
    if limit < _LEAST_SHARD:
        raise BadInput(f"--shard {said}: expected at least 1MB.", "Say --shard 4GB.")
    return limit


def memory_of(said: str, option: str = "--memory") -> int:
    """`8GB`, `24 GiB` or plain bytes, in bytes.

    Args:
        option: what it was said with, for the error.

    Raises:
        BadInput: it is no size.
    """
    found = _MEMORY.fullmatch(said.strip())
    if not found or not found[1].replace(".", "", 1).isdigit():
        raise BadInput(f"{option} {said}: expected a size.", f"Say {option} 8GB, or 24GiB.")
    unit = _UNITS[found[2].lower()]
    if found[3]:
        unit = 1024 ** round(len(str(unit)) // 3)
    return int(float(found[1]) * unit)
