"""Files of every format as lines of JSON: `open_source` finds out which one it is."""

from __future__ import annotations

import os
from pathlib import Path

from engine.data.file.index import RowIndex, open_regular
from engine.data.sources.base import Compression, Format, Source
from engine.data.sources.detect import detect
from engine.data.sources.out import Limits
from engine.data.sources.packed import PackedSource
from engine.data.sources.plain import PlainSource

__all__ = [
    "Compression",
    "Format",
    "Limits",
    "PackedSource",
    "PlainSource",
    "Source",
    "open_source",
]


def open_source(
    path: Path, cache_folder: Path, tag: str, *, limits: Limits | None = None
) -> Source:
    """Open a file; its first rows are there when this returns, `grow` finds the rest.

    Args:
        path: the user's file, symlinks resolved.
        cache_folder: where indexes and unpacked copies are kept.
        tag: the name of this file's entries there.
        limits: when unpacking ends early.
    Raises:
        NotFound, BadInput: there is no such file, or it is not one that can be read.
        NoSpace: a file that must be unpacked cannot be.
    """
    fd = open_regular(path)
    cache = cache_folder / f"{tag}.rows"
    try:
        kind = detect(path, fd)
        if not kind.plain:
            return PackedSource(path, fd, kind, cache_folder, tag, limits or Limits())
        index = RowIndex.of(path, fd, cache)
    except BaseException:
        os.close(fd)
        raise
    return PlainSource(path, index, cache)
