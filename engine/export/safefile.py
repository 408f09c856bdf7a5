"""The contents list of safetensors files: names, shapes and types without reading a weight.

Knows the header of the format and the index of sharded models. Does not know tensors.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from store.errors import BadInput, NotFound

_WIDTH = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}
_MAX_HEADER = 100_000_000
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored tensor: its name, type as the format names it, shape, file and place in it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


def read_header(file: Path) -> dict[str, Entry]:
    """The tensors of one safetensors file by name.

    Raises:
        BadInput: the file is cut, or its header is not what the format says.
    """
    try:
        with file.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > _MAX_HEADER:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(handle.read(length))
            total = handle.seek(0, 2) - 8 - length
        entries = {}
        for name, value in header.items():
            if name == "__metadata__":
                continue
            begin, end = map(int, value["data_offsets"])
            shape = tuple(map(int, value["shape"]))
            entry = Entry(name, str(value["dtype"]), shape, file, 8 + length + begin)
            expected = entry.size * _WIDTH.get(entry.dtype, 0)
            if begin < 0 or end > total or (expected and end - begin != expected):
                raise ValueError(f"tensor {name} lies outside the file or has a wrong size")
            entries[name] = entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise BadInput(
            f"{file}: not a whole safetensors file ({error}).", "Copy or download the file again."
        ) from error
    return entries


def contents(folder: Path) -> dict[str, Entry]:
    """The tensors of a model folder by name, over all its parts.

    Raises:
        NotFound: the folder holds no safetensors weights.
        BadInput: the index and the parts disagree.
    """
    index = folder / INDEX
    if not index.exists():
        if not (folder / SINGLE).exists():
            raise NotFound(
                f"{folder}: no {SINGLE} and no {INDEX} in this folder.",
                "Name a model folder in Hugging Face layout with safetensors weights.",
            )
        return read_header(folder / SINGLE)
    try:
        where = dict(json.loads(index.read_text("utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{index}: key weight_map: expected tensor names to part names ({error}).",
            "Copy or download the model folder again.",
        ) from error
    found: dict[str, Entry] = {}
    for part in sorted(set(where.values())):
        if Path(part).name != part or not (folder / part).exists():
            raise BadInput(
                f"{index}: part {part!r} is not in the folder.",
                "Copy or download the model folder again.",
            )
        found.update(read_header(folder / part))
    wrong = [n for n in where.keys() | found.keys() if n not in where or n not in found]
    wrong += [n for n, e in found.items() if n in where and e.file.name != where[n]]
    if wrong:
        raise BadInput(
            f"{index}: the index and the parts disagree about {len(wrong)} tensors "
            f"(first: {min(wrong)}).",
            "Copy or download the model folder again.",
        )
    return found
