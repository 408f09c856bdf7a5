"""Unpacking a file of any format into a copy: lines of JSON.

Knows which format is unpacked how, and what is said between the process that unpacks and the one
that reads. Does not know who reads the copy, or for how long it is kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.data.sources.array import unpack_array
from engine.data.sources.base import Compression, Format
from engine.data.sources.detect import HEAD, Kind
from engine.data.sources.out import FullError, Limits, Out
from engine.data.sources.streams import BrokenStreamError, Stream
from engine.data.sources.table import unpack_table


class Task(msgspec.Struct, frozen=True):
    """What the process is to do."""

    path: str
    format: Format
    compression: Compression | None
    copy: str
    spans: str
    limits: Limits


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far it is: bytes and rows of the copy, bytes of the file, and what is new to say."""

    size: int
    at: int
    rows: int
    wrongs: dict[int, str] = {}
    facts: dict[str, int | bool | str] = {}
    trouble: str | None = None
    done: bool = False
    error: tuple[str, str] | None = None


def unpacking(path: Path, fd: int, kind: Kind, out: Out) -> Iterator[None]:
    """Unpack the open file `fd` piece by piece; whoever iterates may stop at any.

    What ends it early is left in `out.trouble`.

    Raises:
        BadInput: nothing at all can be read of it.
    """
    stream = Stream(fd, kind.compression)
    try:
        if kind.format == "parquet":
            yield from unpack_parquet(path, fd, out)
        elif kind.format == "csv":
            head = os.pread(fd, HEAD, 0) if kind.compression is None else _head(fd, kind)
            yield from unpack_table(stream, out, _bare(path.name), head)
        elif kind.format == "json":
            yield from unpack_array(stream, out)
        else:
            yield from _unpack_lines(stream, out)
    except FullError as full:
        _mark(out, f"{full}; {out.rows:,} rows of it can be read")
    except BrokenStreamError as broken:
        _mark(out, f"{broken}; {out.rows:,} rows of it can be read")
    out.at = out.original


def unpack_parquet(path: Path, fd: int, out: Out) -> Iterator[None]:
    """As `parquet.unpack_parquet`, which is only imported where it is needed."""
    from engine.data.sources import parquet

    yield from parquet.unpack_parquet(path, fd, out)


def _unpack_lines(stream: Stream, out: Out) -> Iterator[None]:
    last = b"\n"
    for piece in stream.pieces():
        if piece:
            out.put(piece, stream.at, piece.count(b"\n"))
            last = piece[-1:]
        yield
    if last != b"\n":
        out.rows += 1


def _mark(out: Out, trouble: str) -> None:
    """Say what is wrong where it is met: on a last row of its own."""
    out.trouble = trouble
    out.wrongs[out.rows] = trouble
    if out.size and os.pread(out.copy, 1, out.size - 1) != b"\n":
        return
    try:
        os.write(out.copy, b"\n")
        out.size += 1
    except OSError:
        # No room for even that: the trouble itself is still told.
        out.wrongs.pop(out.rows, None)


def _head(fd: int, kind: Kind) -> bytes:
    head = b""
    for piece in Stream(fd, kind.compression).pieces():
        head += piece
        if len(head) >= HEAD:
            break
    return head[:HEAD]


def _bare(name: str) -> str:
    for ending in (".gz", ".gzip", ".zst", ".zstd"):
        name = name.removesuffix(ending)
    return name
