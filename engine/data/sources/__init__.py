"""Files of every format as lines of JSON: `open_source` finds out which one it is."""

from __future__ import annotations

from pathlib import Path

from engine.data.sources.base import Compression, Format, Source
from engine.data.sources.plain import PlainSource

__all__ = ["Compression", "Format", "PlainSource", "Source", "open_source"]


def open_source(path: Path, cache_folder: Path, tag: str) -> Source:
    """Open a file; its first rows are there when this returns, `grow` finds the rest.

    Args:
        path: the user's file, symlinks resolved.
        cache_folder: where indexes and unpacked copies are kept.
        tag: the name of this file's entries there.
    Raises:
        NotFound, BadInput: there is no such file, or it is not one that can be read.
    """
    return PlainSource.open(path, cache_folder / f"{tag}.rows")
