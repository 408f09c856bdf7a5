"""Hashes of exports: a file's sha256, or one hash over a folder.

Knows names and bytes. Does not know what they mean.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.models.folder import file_sha256

_SIDECARS = ("workbench.json",)


def export_sha256(path: Path) -> str:
    """sha256 of a file; of a folder, over names and contents of its files, provenance left out."""
    if path.is_file():
        return file_sha256(path)
    total = hashlib.sha256()
    for file in sorted(f for f in path.rglob("*") if f.is_file() and f.name not in _SIDECARS):
        name = file.relative_to(path).as_posix()
        total.update(f"{name}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def export_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
