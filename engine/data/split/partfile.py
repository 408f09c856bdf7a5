"""The file of one part: rows as they are, one a line, and beside them their line numbers.

Knows bytes and hashes. Does not know why a row is in the part.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_BATCH = 1 << 20
"""Bytes that are held before they are written."""


class PartFile:
    """`NAME.jsonl` as it is written, and `NAME.rows`: numbers of 32 bits, little-endian."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = (folder / f"{name}.jsonl", folder / f"{name}.rows")
        self._files = tuple(path.open("wb") for path in self._paths)
        self._digests = (hashlib.sha256(), hashlib.sha256())
        self._lines: list[bytes] = []
        self._numbers = array("L")
        self._held = self.rows = self.bytes = 0

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, n: int, raw: bytes) -> None:
        """Write row `n`."""
        self._lines.append(raw)
        self._numbers.append(n)
        self._held += len(raw)
        if self._held >= _BATCH:
            self.flush()

    def flush(self, *, sync: bool = False) -> None:
        """Hand on what is held."""
        self._lines.append(b"")
        numbers = np.asarray(self._numbers, "<u4").tobytes()
        chunks = (b"\n".join(self._lines), numbers)
        self.rows += len(self._numbers)
        self.bytes += len(chunks[0])
        for file, digest, chunk in zip(self._files, self._digests, chunks, strict=True):
            file.write(chunk)
            digest.update(chunk)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        self._lines, self._numbers, self._held = [], array("L"), 0

    def hashes(self) -> Iterator[tuple[Path, str]]:
        """The files and their SHA-256, once all is written."""
        for path, digest in zip(self._paths, self._digests, strict=True):
            yield path, digest.hexdigest()
