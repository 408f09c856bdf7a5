"""Files of any format as sources, for the tests: opened and closed, packed, read, written back."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from engine.data.file.lines import Lines
from engine.data.journal.pieces import Pieces
from engine.data.sources import Limits, Source, open_source


@contextmanager
def opening(folder: Path) -> Iterator[Callable[..., Source]]:
    """What opens sources whose copies lie in `folder`; all are closed in the end."""
    found: list[Source] = []

    def open_(path: Path, limits: Limits | None = None) -> Source:
        source = open_source(path, folder, path.name, limits=limits)
        found.append(source)
        return source

    yield open_
    for source in found:
        source.close()


def contents(source: Source) -> list[bytes]:
    source.grow()
    lines = Lines(source.index, Pieces())
    return [lines.content(row) for row in range(len(source.index))]


def saved(source: Source, pieces: Pieces, path: Path) -> tuple[int, bytes]:
    source.grow()
    with path.open("wb+") as out:
        written = source.compose(out.fileno(), Lines(source.index, pieces))
    return written, path.read_bytes()


def packed(data: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])
    return zstandard.ZstdCompressor().compress(data) if how == "zst" else data


def unpacked(data: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompress(data) if how == "zst" else data
