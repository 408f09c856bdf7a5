"""Hashes of exports: a file's sha256, or one hash over a folder or over the parts of a file.

Knows names and bytes. Does not know what they mean.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.export.files import PROVENANCE, parts
from engine.models.folder import file_sha256


def export_sha256(path: Path) -> str:
    """sha256 of a file; of parts, over their sha256 in order; of a folder, over names and contents.

    The provenance in a folder is left out.
    """
    files = parts(path)
    total = hashlib.sha256()
    if len(files) > 1:
        for file in files:
            total.update(f"{file_sha256(file)}\n".encode())
        return total.hexdigest()
    if path.is_file():
        return file_sha256(path)
    for file in sorted(f for f in path.rglob("*") if f.is_file() and f.name != PROVENANCE):
        name = file.relative_to(path).as_posix()
        total.update(f"{name}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def export_bytes(path: Path) -> int:
    """Size of a file with all its parts, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in parts(path))
