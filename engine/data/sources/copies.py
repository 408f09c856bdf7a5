"""The unpacked copies that are kept for a second opening, and the room they may take.

Knows the files of a copy in the cache folder, and when one is stale. Does not know formats.

A copy is `<tag>.copy` (the rows), `<tag>.spans` (where each began) and `<tag>.meta` (whose copy it
is), which is written last. While it grows the first two are called `<tag>-<pid>-<n>.part`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path

import msgspec

from engine.data.file.index import Identity

COPIES_LIMIT = 20 << 30
"""Bytes that all kept copies of a workspace may take; those used longest ago go first."""
_PART = re.compile(r".+-(\d+)-\d+\.(?:copy|spans)\.part")
_number = itertools.count()


class Meta(msgspec.Struct, frozen=True):
    """Whose copy it is, and what was learnt while it was made."""

    path: str
    identity: tuple[int, int, int, int]
    format: str
    compression: str | None
    size: int
    wrongs: dict[int, str]
    facts: dict[str, int | bool | str]
    trouble: str | None
    version: int = 1


class Copy:
    """The files of one copy, kept or growing."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.folder, self.tag = folder, tag
        own = f"{tag}-{os.getpid()}-{next(_number)}"
        self.part = folder / f"{own}.copy.part"
        self.spans_part = folder / f"{own}.spans.part"
        self.copy = folder / f"{tag}.copy"
        self.spans = folder / f"{tag}.spans"
        self.meta = folder / f"{tag}.meta"
        self.rows = folder / f"{tag}.copy-rows"

    def load(self, path: Path, identity: Identity, form: str, packed: str | None) -> Meta | None:
        """What is kept of exactly this file, or None."""
        try:
            meta = msgspec.json.decode(self.meta.read_bytes(), type=Meta)
            size = self.copy.stat().st_size
            os.utime(self.meta)
        except (OSError, msgspec.DecodeError):
            return None
        whose = (os.fsencode(path).hex(), _numbers(identity), form, packed, size, 1)
        fits = (
            meta.path,
            meta.identity,
            meta.format,
            meta.compression,
            meta.size,
            meta.version,
        ) == whose
        return meta if fits else None

    def open_kept(self) -> tuple[int, int]:
        """Descriptors of the kept copy and its spans. Raises OSError."""
        return _open_both(self.copy, self.spans, os.O_RDONLY)

    def make_parts(self) -> tuple[int, int]:
        """Descriptors of a new copy and its spans. Raises OSError."""
        return _open_both(self.part, self.spans_part, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def keep(self, meta: Meta) -> None:
        """Keep the grown copy under its lasting name."""
        # A cache: a full disk costs the next opening some time and nothing else.
        with contextlib.suppress(OSError):
            self.meta.unlink(missing_ok=True)
            self.rows.unlink(missing_ok=True)
            os.replace(self.part, self.copy)
            os.replace(self.spans_part, self.spans)
            fresh = self.meta.with_suffix(f".{os.getpid()}.tmp")
            fresh.write_bytes(msgspec.json.encode(meta))
            os.replace(fresh, self.meta)
        sweep_copies(self.folder, spare=self.tag)

    def drop_parts(self) -> None:
        """Remove what was growing and is not kept."""
        for path in (self.part, self.spans_part):
            path.unlink(missing_ok=True)


def _open_both(first: Path, second: Path, flags: int) -> tuple[int, int]:
    one = os.open(first, flags | os.O_CLOEXEC, 0o600)
    try:
        return one, os.open(second, flags | os.O_CLOEXEC, 0o600)
    except OSError:
        os.close(one)
        raise


def meta_of(
    path: Path,
    identity: Identity,
    form: str,
    packed: str | None,
    size: int,
    wrongs: dict[int, str],
    facts: dict[str, int | bool | str],
    trouble: str | None,
) -> Meta:
    """The description of a copy that is whole."""
    name = os.fsencode(path).hex()
    return Meta(name, _numbers(identity), form, packed, size, wrongs, facts, trouble)


def sweep_copies(folder: Path, *, limit: int = COPIES_LIMIT, spare: str = "") -> None:
    """Remove copies whose file is gone or another, parts whose process is gone, and then the
    copies used longest ago until the rest take `limit` bytes at most; never that of `spare`.
    """
    kept: list[tuple[float, int, str]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            found = _PART.fullmatch(entry.name)
            if found and not _alive(int(found[1])):
                Path(entry.path).unlink(missing_ok=True)
            if entry.name.endswith(".meta"):
                tag = entry.name.removesuffix(".meta")
                if tag != spare and _stale(Path(entry.path)):
                    _remove(folder, tag)
                else:
                    with contextlib.suppress(OSError):
                        size = (folder / f"{tag}.copy").stat().st_size
                        size += (folder / f"{tag}.spans").stat().st_size
                        kept.append((entry.stat().st_mtime, size, tag))
    total = sum(size for _, size, _ in kept)
    for _, size, tag in sorted(kept):
        if total <= limit:
            break
        if tag != spare:
            _remove(folder, tag)
            total -= size


def _remove(folder: Path, tag: str) -> None:
    for name in ("meta", "copy", "spans", "copy-rows"):
        with contextlib.suppress(OSError):
            (folder / f"{tag}.{name}").unlink()


def _stale(meta: Path) -> bool:
    try:
        found = msgspec.json.decode(meta.read_bytes(), type=Meta)
        now = Identity.of(os.stat(os.fsdecode(bytes.fromhex(found.path))))
    except (OSError, ValueError, msgspec.DecodeError):
        return True
    return _numbers(now) != found.identity


def _numbers(identity: Identity) -> tuple[int, int, int, int]:
    return (identity.device, identity.inode, identity.bytes, identity.mtime_ns)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
