"""Two adapters held against each other: their tensors by name, without torch.

Knows the safetensors format and its floating types. Does not know what a tensor is for.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from store.errors import BadInput

_MAX_HEADER = 100 << 20
_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two adapters are apart.

    Attributes:
        equal: every tensor has the same bits.
        largest: the greatest difference of two elements, and `tensor` where it is; NaN where one
            of the two is not a number.
        relative: the length of the difference as a share of the first adapter's length.
        only: tensors that one of them has and the other has not, or in another shape.
    """

    equal: bool
    largest: float
    tensor: str
    relative: float
    only: tuple[str, ...]


def difference(first: Path, second: Path) -> Difference:
    """Compare two safetensors files.

    Raises:
        BadInput: one is damaged, or holds types that are no floats.
    """
    one, two = _Tensors(first), _Tensors(second)
    only = sorted(
        name
        for name in one.entries.keys() | two.entries.keys()
        if name not in one.entries
        or name not in two.entries
        or one.entries[name]["shape"] != two.entries[name]["shape"]
    )
    equal, largest, where = not only, 0.0, ""
    apart = length = 0.0
    for name in sorted(one.entries.keys() & two.entries.keys() - set(only)):
        if one.same_bits(two, name):
            length += float(np.square(one.values(name)).sum())
            continue
        equal = False
        a, b = one.values(name), two.values(name)
        gap = np.abs(a - b)
        length += float(np.square(a).sum())
        apart += float(np.square(gap).sum())
        most = float(gap.max()) if gap.size else 0.0
        if not most <= largest:  # NaN is the greatest of all.
            largest, where = most, name
    relative = (apart / length) ** 0.5 if length else float(apart > 0)
    return Difference(equal, largest, where, relative, tuple(only))


class _Tensors:
    """One file: its header, and its tensors when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            raw = path.read_bytes()
            (size,) = struct.unpack("<Q", raw[:8])
            if size > min(_MAX_HEADER, len(raw)):
                raise ValueError("its header is longer than the file")
            header: dict[str, Any] = json.loads(raw[8 : 8 + size])
        except (OSError, ValueError, struct.error) as error:
            raise BadInput(f"{path}: no safetensors file ({error})", "Save it again.") from error
        header.pop("__metadata__", None)
        self.entries = header
        self._data = memoryview(raw)[8 + size :]

    def same_bits(self, other: _Tensors, name: str) -> bool:
        one, two = self.entries[name], other.entries[name]
        return bool(one["dtype"] == two["dtype"] and self._bytes(name) == other._bytes(name))

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """A tensor, flat."""
        kind, raw = self.entries[name]["dtype"], self._bytes(name)
        if kind == "BF16":
            wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
            return wide.view(np.float32).astype(np.float64)
        if kind not in _PLAIN:
            raise BadInput(f"{self._path}: {name} is of type {kind}", "Adapters hold floats.")
        return np.frombuffer(raw, _PLAIN[kind]).astype(np.float64)

    def _bytes(self, name: str) -> memoryview:
        begin, end = self.entries[name]["data_offsets"]
        return self._data[begin:end]
