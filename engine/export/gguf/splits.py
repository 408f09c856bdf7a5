"""A finished GGUF file in parts, named and marked as llama.cpp's own `gguf-split` does.

Knows the outer form of the format (version 3): header, keys, list of tensors, data. It copies
bytes: of the keys only their ends are looked for, of a tensor only where it lies.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.export.files import part_name
from store.errors import BadInput, Unsupported

_COPY = 16 << 20
_MOST = 65_535
"""Parts that the format can count."""
_MAGIC = b"GGUF"
_VERSION = 3
_HEADER = struct.Struct("<4sIQQ")
_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type; 8 is a string and 9 an array."""
_U16, _U32, _I32, _STRING, _ARRAY = 2, 4, 5, 8, 9
_ALIGNMENT = "general.alignment"


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor: its entry in the list without the offset, and where its data lies."""

    entry: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """A GGUF file as bytes: its keys as they are, and its tensors in the order of their data."""

    key_count: int
    keys: bytes
    alignment: int
    tensors: list[_Tensor]


def split(source: Path, folder: Path, stem: str, limit: int) -> list[Path]:
    """Write `source` into `folder` as parts whose tensors take at most `limit` bytes each.

    A tensor that is larger has a part of its own. The first part has all keys.

    Raises:
        Unsupported: more parts than the format can count.
        BadInput: not a whole GGUF file, or no longer. OSError: the disk is full or breaks.
    """
    with source.open("rb") as data:
        layout = _read(data, source)
        groups = _groups(layout.tensors, limit)
        if len(groups) > _MOST:
            raise Unsupported(
                f"--shard {limit}: would make {len(groups)} parts.", f"At most {_MOST} can be."
            )
        folder.mkdir()
        written = []
        for number, group in enumerate(groups):
            path = folder / part_name(stem, number + 1, len(groups))
            marks = _marks(number, len(groups), len(layout.tensors))
            keys = layout.keys if number == 0 else b""
            count = 3 + (layout.key_count if number == 0 else 0)
            with path.open("wb") as out:
                out.write(_HEADER.pack(_MAGIC, _VERSION, len(group), count) + keys + marks)
                _write_tensors(out, data, group, layout.alignment)
                out.flush()
                os.fsync(out.fileno())
            written.append(path)
    return written


def _groups(tensors: list[_Tensor], limit: int) -> list[list[_Tensor]]:
    """The tensors in order, each group within the limit where it can be."""
    groups: list[list[_Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        if groups[-1] and size + tensor.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.size
    return groups


def _marks(number: int, count: int, tensors: int) -> bytes:
    """The keys that tell llama.cpp which part this is."""
    return b"".join(
        _text(key) + struct.pack(f"<I{form}", kind, value)
        for key, kind, form, value in (
            ("split.no", _U16, "H", number),
            ("split.count", _U16, "H", count),
            ("split.tensors.count", _I32, "i", tensors),
        )
    )


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _write_tensors(out: BinaryIO, data: BinaryIO, group: list[_Tensor], alignment: int) -> None:
    """The list of a part's tensors, then their bytes."""
    offset = 0
    for tensor in group:
        out.write(tensor.entry + struct.pack("<Q", offset))
        offset += tensor.size + -tensor.size % alignment
    for tensor in group:
        out.write(bytes(-out.tell() % alignment))
        data.seek(tensor.start)
        left = tensor.size
        while left:
            piece = data.read(min(_COPY, left))
            if not piece:
                raise BadInput(
                    f"{data.name}: it became shorter while it was divided into parts",
                    "Leave the file alone, and export it again.",
                )
            left -= out.write(piece)
    out.write(bytes(-out.tell() % alignment))


def _read(data: BinaryIO, source: Path) -> _Layout:
    try:
        magic, version, tensors, keys = _HEADER.unpack(data.read(_HEADER.size))
        if magic != _MAGIC or version != _VERSION:
            raise ValueError(f"version {version}")
        alignment = 32
        for _ in range(keys):
            alignment = _skip_key(data) or alignment
        end = data.tell()
        data.seek(_HEADER.size)
        kept = data.read(end - _HEADER.size)
        listed = [_read_entry(data) for _ in range(tensors)]
        begin = data.tell() + -data.tell() % alignment
    except (struct.error, ValueError, KeyError) as error:
        raise BadInput(
            f"{source}: not a whole GGUF file of version {_VERSION} ({error}).", "Export it again."
        ) from error
    listed.sort(key=lambda item: item[1])
    ends = [offset for _, offset in listed[1:]] + [source.stat().st_size - begin]
    found = [
        _Tensor(entry, begin + offset, after - offset)
        for (entry, offset), after in zip(listed, ends, strict=True)
    ]
    return _Layout(keys, kept, alignment, found)


def _skip_key(data: BinaryIO) -> int | None:
    """Go past one key; what it says where it is the alignment."""
    name = data.read(_number(data, "Q"))
    kind = _number(data, "I")
    if kind == _U32 and name == _ALIGNMENT.encode():
        return _number(data, "I")
    _skip_value(data, kind)
    return None


def _skip_value(data: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        data.seek(_number(data, "Q"), os.SEEK_CUR)
    elif kind == _ARRAY:
        inner, count = _number(data, "I"), _number(data, "Q")
        if inner in _WIDTH:
            data.seek(_WIDTH[inner] * count, os.SEEK_CUR)
        else:
            for _ in range(count):
                _skip_value(data, inner)
    else:
        data.seek(_WIDTH[kind], os.SEEK_CUR)


def _read_entry(data: BinaryIO) -> tuple[bytes, int]:
    """A tensor's entry without its offset, and the offset."""
    begin = data.tell()
    data.seek(_number(data, "Q"), os.SEEK_CUR)
    data.seek(8 * _number(data, "I") + 4, os.SEEK_CUR)
    length = data.tell() - begin
    data.seek(begin)
    return data.read(length), _number(data, "Q")


def _number(data: BinaryIO, form: str) -> int:
    (value,) = struct.unpack(f"<{form}", data.read(struct.calcsize(f"<{form}")))
    return int(value)
