"""Where each line of a file begins: 8 bytes a row, first rows at once, the rest as time allows.

Knows one open file, its identity and its line ends. Does not know JSON, edits or the catalogue.

Lines end at b"\\n" and nowhere else: U+2028 and its kin are legal inside JSON strings. The method
(`bytes.find` over unbuffered 1 MiB reads) runs at about half the speed of memchr in C.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import threading
import time
import zlib
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path

from store.errors import BadInput, NotFound

CHUNK = 1 << 20
FIRST_ROWS = 64
FIRST_BYTES = 8 << 20
"""How far opening looks for the first rows before it returns, come what may."""
CACHE_FROM = 16 << 20
"""A smaller file is indexed faster than its cached index is found."""
_MAGIC = b"workbench rows 1\n"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whether a file is still the one that was read."""

    device: int
    inode: int
    bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, seen: os.stat_result) -> Identity:
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


class RowIndex:
    """The lines of one open file, numbered from 0; safe to use from several threads.

    Offsets are bytes. `len(index)` rows are known so far; `complete` says whether that is all.
    """

    def __init__(self, path: Path, fd: int, ends: array[int] | None = None) -> None:
        """Take over the descriptor `fd` of `path`; `ends` are the line ends, if all are known."""
        self.path = path
        self.identity = Identity.of(os.fstat(fd))
        self._fd = fd
        self._ends: array[int] = array("Q") if ends is None else ends
        self._scanned = 0 if ends is None else self.identity.bytes
        self.complete = ends is not None or self.identity.bytes == 0
        self._closed = False
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, cache: Path | None = None) -> RowIndex:
        """Open a file and find its first rows, or all of them where `cache` knows them.

        Raises:
            NotFound: there is no such file.
            BadInput: it is no regular file, or may not be read.
        """
        fd = _open_regular(path)
        identity = Identity.of(os.fstat(fd))
        index = cls(path, fd, _load(cache, path, identity) if cache else None)
        index.grow(rows=FIRST_ROWS, upto=FIRST_BYTES)
        return index

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def progress(self) -> float:
        """The share of the file that has been looked at, 0 to 1."""
        return 1.0 if self.complete else self._scanned / self.identity.bytes

    @property
    def final_newline(self) -> bool:
        """Does the last line end in a newline? (An empty file is taken to.)"""
        size = self.identity.bytes
        return size == 0 or self.read(size - 1, size) == b"\n"

    def grow(
        self, *, seconds: float | None = None, rows: int | None = None, upto: int | None = None
    ) -> bool:
        """Look further until a limit is met or the file ends; True when it has ended.

        Args:
            seconds: stop after about this long.
            rows: stop once so many rows are known.
            upto: stop at this byte.
        """
        stop = None if seconds is None else time.monotonic() + seconds
        while not self.complete:
            if rows is not None and len(self._ends) >= rows:
                break
            if upto is not None and self._scanned >= upto:
                break
            if stop is not None and time.monotonic() >= stop:
                break
            # One chunk a lock: a screen that wants a row waits for a millisecond at most.
            with self._lock:
                if self._closed:
                    break
                self._scan_chunk()
        return self.complete

    def _scan_chunk(self) -> None:
        if self.complete:
            return
        base = self._scanned
        chunk = os.pread(self._fd, min(CHUNK, self.identity.bytes - base), base)
        append, find = self._ends.append, chunk.find
        at = find(b"\n")
        while at >= 0:
            append(base + at + 1)
            at = find(b"\n", at + 1)
        self._scanned = base + len(chunk)
        # An empty read means that the file was cut short: its identity tells whoever asks.
        if not chunk or self._scanned >= self.identity.bytes:
            if self._scanned > (self._ends[-1] if self._ends else 0):
                append(self._scanned)
            self.complete = True

    def adopt(self, ends: array[int]) -> None:
        """Take line ends that are known from elsewhere: those of the file that was just written."""
        with self._lock:
            self._ends, self._scanned, self.complete = ends, self.identity.bytes, True

    def span(self, row: int) -> tuple[int, int]:
        """The bytes [start, end) of a known row, its line ending included."""
        return (self._ends[row - 1] if row else 0), self._ends[row]

    def start(self, row: int) -> int:
        """Where a known row begins; for the row after the last, where the file ends."""
        return self._ends[row - 1] if row else 0

    def ends(self, start: int, stop: int) -> array[int]:
        """The line ends of rows [start, stop)."""
        return self._ends[start:stop]

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end), or fewer where the file was cut short."""
        parts = []
        with self._lock:
            while start < end and not self._closed:
                part = os.pread(self._fd, end - start, start)
                if not part:
                    break
                parts.append(part)
                start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def fileno(self) -> int:
        """The open descriptor; valid until `close`."""
        return self._fd

    def changed(self) -> bool:
        """Is the file at this path another one than was opened, or gone?"""
        try:
            return Identity.of(os.stat(self.path)) != self.identity
        except OSError:
            return True

    def keep(self, cache: Path) -> None:
        """Write the complete index to `cache`, so that the next opening finds it."""
        if not self.complete or self.identity.bytes < CACHE_FROM:
            return
        body = self._ends.tobytes()
        head = _MAGIC + _key(self.path, self.identity, zlib.crc32(body)) + b"\n"
        part = cache.with_suffix(f".{os.getpid()}.tmp")
        # A cache: a full disk costs the next opening a second and nothing else.
        with contextlib.suppress(OSError):
            try:
                part.write_bytes(head + body)
                os.replace(part, cache)
            except OSError:
                part.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._fd)


def _open_regular(path: Path) -> int:
    try:
        # Non-blocking: a named pipe must not hang the screen.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(
            f"{path}: no such file; expected a JSONL file", "check the path and try again"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(
            f"{path}: cannot be opened ({reason})", "name a JSONL file that you may read"
        ) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadInput(f"{path}: not a regular file; expected a JSONL file", "name a JSONL file")
    return fd


def _key(path: Path, identity: Identity, crc: int) -> bytes:
    key = {"path": os.fsencode(path).hex(), **asdict(identity), "order": sys.byteorder, "crc": crc}
    return json.dumps(key).encode()


def _load(cache: Path, path: Path, identity: Identity) -> array[int] | None:
    """The cached line ends of exactly this file, or None."""
    if identity.bytes < CACHE_FROM:
        return None
    try:
        magic, key, body = cache.read_bytes().split(b"\n", 2)
    except (OSError, ValueError):
        return None
    if magic + b"\n" != _MAGIC or key != _key(path, identity, zlib.crc32(body)) or len(body) % 8:
        return None
    ends = array("Q")
    ends.frombytes(body)
    return ends if ends and ends[-1] == identity.bytes else None
