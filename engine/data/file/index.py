"""Where each line of a file begins: 8 bytes for 256 KiB, first rows at once, the rest with time.

Knows one open file, its identity and its line ends. Does not know JSON, edits or the catalogue.

Lines end at b"\\n" and nowhere else: U+2028 and its kin are legal inside JSON strings. What is
kept is how many lines end before each block; a row is found by bisection over the blocks, then
among the newlines of one block, which is read again (a few such blocks are remembered).
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
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.data.file.blocks import BLOCK, NEWLINE, Blocks, scratch
from engine.data.file.copying import CHUNK
from store.errors import BadInput, NotFound

__all__ = ["CHUNK", "Identity", "RowIndex", "open_regular"]

FIRST_ROWS = 64
FIRST_BYTES = 8 << 20
"""How far opening looks for the first rows before it returns, come what may."""
CACHE_FROM = 16 << 20
"""A smaller file is indexed faster than its cached index is found."""
REMEMBERED = 8
"""Blocks whose newlines are remembered: a page of rows and its neighbours."""
_STRETCH = 16
"""Blocks that are counted in one go: a screen that wants a row waits for a millisecond at most."""
_ENDS = 64 << 10
"""How much of both ends is compared to tell a file that grew from one that was rewritten."""
_MAGIC = b"workbench rows 2\n"


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

    def __init__(
        self, path: Path, fd: int, blocks: Blocks | None = None, *, growing: bool = False
    ) -> None:
        """Take over the descriptor `fd` of `path`.

        Args:
            blocks: what is known of the file already.
            growing: somebody is still writing it: nothing is looked at before `extend` says so.
        """
        self.path = path
        self.identity = Identity.of(os.fstat(fd))
        self._fd = fd
        self._blocks = blocks or Blocks()
        self._limit = 0 if growing else self.identity.bytes
        self.complete = not growing and self._blocks.scanned >= self._limit
        self._ends = None if growing else self._both_ends()
        self._decoded: OrderedDict[int, array[int]] = OrderedDict()
        self._closed = False
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, cache: Path | None = None) -> RowIndex:
        """Open a file and find its first rows, or all of them where `cache` knows them.

        Raises:
            NotFound: there is no such file.
            BadInput: it is no regular file, or may not be read.
        """
        return cls.of(path, open_regular(path), cache)

    @classmethod
    def of(cls, path: Path, fd: int, cache: Path | None = None) -> RowIndex:
        """As `open`, of a file that is open: `fd` is taken over."""
        identity = Identity.of(os.fstat(fd))
        index = cls(path, fd, _load(cache, path, identity) if cache else None)
        index.grow(rows=FIRST_ROWS, upto=FIRST_BYTES)
        return index

    def __len__(self) -> int:
        blocks = self._blocks
        return blocks.newlines + (self.complete and blocks.last != NEWLINE)

    @property
    def progress(self) -> float:
        """The share of the file that has been looked at, 0 to 1."""
        return 1.0 if self.complete else self._blocks.scanned / max(1, self._limit)

    @property
    def scanned(self) -> int:
        """Bytes that have been looked at."""
        return self._blocks.scanned

    @property
    def known_size(self) -> int:
        """Bytes that the file is known to have: all of them, unless it is being written."""
        return self._limit

    @property
    def final_newline(self) -> bool:
        """Does the last line end in a newline? (An empty file is taken to.)"""
        size = self._limit
        return size == 0 or self.read(size - 1, size) == b"\n"

    # Looking further

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
        bounded = rows is not None or upto is not None
        while not self.complete:
            if rows is not None and len(self) >= rows:
                break
            if upto is not None and self._blocks.scanned >= upto:
                break
            if stop is not None and time.monotonic() >= stop:
                break
            with self._lock:
                if self._closed or not self._scan(1 if bounded else _STRETCH):
                    break
        return self.complete

    def _scan(self, count: int) -> bool:
        """Count the newlines of the next blocks; False where nothing more can be read now."""
        blocks, fd, limit, desk = self._blocks, self._fd, self._limit, scratch()
        whole = min(count, (limit - blocks.scanned) // BLOCK)
        if whole > 1 and not blocks.scanned % BLOCK:
            desk.count_whole(fd, blocks, whole)
            count -= whole
        for _ in range(count):
            at = blocks.scanned
            size = desk.read(fd, at, min(blocks.room(), limit - at)) if at < limit else 0
            if size:
                blocks.add(desk.newlines(size), size, desk.buffer[size - 1])
            if not size or blocks.scanned >= limit:
                # A read that finds nothing means that the file was cut short: its identity tells
                # whoever asks.
                self.complete = self._ends is not None
                return False
        if blocks.scanned >= limit:
            self.complete = self._ends is not None
            return False
        return True

    def extend(self, size: int, *, ended: bool) -> None:
        """The file that is being written has `size` bytes now; `ended`: and that is all."""
        with self._lock:
            self._limit = size
            if ended:
                self.identity = Identity.of(os.fstat(self._fd))
                self._ends = self._both_ends()
            self.complete = ended and self._blocks.scanned >= size

    def refresh(self) -> None:
        """Take in what was added at the end of the file; the rows known stay what they are."""
        with self._lock:
            before = len(self)
            self._decoded.pop(len(self._blocks.sums), None)
            self.extend(os.fstat(self._fd).st_size, ended=True)
        # A last row without an ending may go on for some way yet.
        self.grow(rows=before)

    def adopt(self, blocks: Blocks) -> None:
        """Take what is known from elsewhere: from writing this very file."""
        with self._lock:
            if blocks.scanned == self._limit:
                self._blocks, self.complete = blocks, True
                self._decoded.clear()

    def load(self, cache: Path) -> None:
        """Take what `cache` knows of exactly this file."""
        blocks = _load(cache, self.path, self.identity)
        if blocks is not None:
            self.adopt(blocks)

    # Finding rows

    def span(self, row: int) -> tuple[int, int]:
        """The bytes [start, end) of a known row, its line ending included."""
        return self.start(row), self.start(row + 1)

    def start(self, row: int) -> int:
        """Where a known row begins; for the row after the last, where the file ends."""
        if row <= 0:
            return 0
        with self._lock:
            blocks = self._blocks
            if row > blocks.newlines:
                return blocks.scanned
            block = bisect_left(blocks.sums, row)
            ends = self._line_ends(block)
            at = row - (blocks.sums[block - 1] if block else 0) - 1
            if at < len(ends):
                return block * BLOCK + ends[at]
            # Cut short, or written over: whatever is there now, in order.
            return min((block + 1) * BLOCK, os.fstat(self._fd).st_size)

    def _line_ends(self, block: int) -> array[int]:
        """Where in a block lines have ended."""
        ends = self._decoded.get(block)
        if ends is not None:
            self._decoded.move_to_end(block)
            return ends
        desk, start = scratch(), block * BLOCK
        size = 0 if self._closed else desk.read(self._fd, start, min(BLOCK, self._limit - start))
        ends = desk.ends(size)
        if size == BLOCK or self.complete:
            self._decoded[block] = ends
            if len(self._decoded) > REMEMBERED:
                self._decoded.popitem(last=False)
        return ends

    def wrong(self, row: int) -> str | None:  # noqa: ARG002 - formats other than JSONL know
        """Why a row of the file is bad, where that is known without its JSON."""
        return None

    # The file

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

    def grew(self) -> bool:
        """Is the change only that bytes were added at the end?

        Both ends of what was there are compared: a program that writes a file anew in its place
        moves or alters one of them.
        """
        try:
            now = Identity.of(os.stat(self.path))
        except OSError:
            return False
        was = self.identity
        same_file = (now.device, now.inode) == (was.device, was.inode)
        return same_file and now.bytes > was.bytes and self._ends == self._both_ends()

    def _both_ends(self) -> tuple[bytes, int]:
        size = self.identity.bytes
        tail = os.pread(self._fd, min(size, _ENDS), max(0, size - _ENDS))
        return os.pread(self._fd, min(size, 4096), 0), zlib.crc32(tail)

    def keep(self, cache: Path) -> None:
        """Write the complete index to `cache`, so that the next opening finds it."""
        if not self.complete or self.identity.bytes < CACHE_FROM or self.changed():
            return
        blocks = self._blocks
        body = array("Q", [*blocks.sums, blocks.tail, blocks.last]).tobytes()
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


def open_regular(path: Path) -> int:
    """A descriptor of a regular file for reading.

    Raises:
        NotFound: there is no such file. BadInput: it is none that can be read.
    """
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
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise BadInput(
                f"{path}: a directory; expected a file of examples",
                f"name one file in it, or several by a quoted pattern: '{path}/*.jsonl'",
            )
        raise BadInput(f"{path}: not a regular file; expected a JSONL file", "name a JSONL file")
    return fd


def _key(path: Path, identity: Identity, crc: int) -> bytes:
    key = {"path": os.fsencode(path).hex(), **asdict(identity), "order": sys.byteorder, "crc": crc}
    return json.dumps(key).encode()


def _load(cache: Path, path: Path, identity: Identity) -> Blocks | None:
    """The cached blocks of exactly this file, or None."""
    if identity.bytes < CACHE_FROM:
        return None
    try:
        magic, key, body = cache.read_bytes().split(b"\n", 2)
    except (OSError, ValueError):
        return None
    if magic + b"\n" != _MAGIC or key != _key(path, identity, zlib.crc32(body)) or len(body) % 8:
        return None
    kept = array("Q")
    kept.frombytes(body)
    if len(kept) != identity.bytes // BLOCK + 2:
        return None
    last, tail = kept.pop(), kept.pop()
    return Blocks(kept, tail, identity.bytes, last)
