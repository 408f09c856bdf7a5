"""Hashes of weight files, remembered: 15 GB are read once and not at every start.

Knows when a file may have changed: size, inode, and the times of its contents and of its entry.
Does not notice a disk that rots without a write; an export reads everything for that reason.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.models.folder import file_sha256, weight_files
from store.workspace import Workspace

FILE = "weights.json"
_SETTLED_NS = 2_000_000_000
"""A file written less than this ago may be written again within one tick of its clock."""
_Mark = tuple[int, int, int, int]


class _Known(msgspec.Struct, frozen=True):
    mark: _Mark
    sha256: str


def known_weights_sha256(workspace: Workspace, folder: Path) -> str:
    """As `weights_sha256`, reading only files that changed since they were last hashed here.

    Raises:
        NotFound, Unsupported: the folder has no safetensors.
    """
    total = hashlib.sha256()
    memory = workspace.indexes / FILE
    before = _read(memory)
    now: dict[str, _Known] = {}
    for file in weight_files(folder):
        path, mark = os.path.realpath(file), _mark(file)
        known = before.get(path)
        if known is None or known.mark != mark:
            known = _Known(mark, file_sha256(file))
            if _mark(file) == mark and time.time_ns() - max(mark[2:]) > _SETTLED_NS:
                now[path] = known
        total.update(file.name.encode() + b"\0" + known.sha256.encode() + b"\n")
    if now:
        _write(memory, before | now)
    return total.hexdigest()


def _mark(file: Path) -> _Mark:
    found = file.stat()
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _read(memory: Path) -> dict[str, _Known]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, _Known])
    except (OSError, msgspec.DecodeError):
        return {}


def _write(memory: Path, known: dict[str, _Known]) -> None:
    partial = memory.with_name(f".{FILE}.{os.getpid()}")
    try:
        partial.write_bytes(msgspec.json.encode(known))
        os.replace(partial, memory)
    except OSError:  # A full disk costs the memory, nothing else.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
