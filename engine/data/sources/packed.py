"""A file that is not JSONL, read through an unpacked copy that grows behind the reader.

Knows the copy, its index and the process that makes it. What a format is, and how it is written
back, is known elsewhere: `array`, `table`, `parquet`, `compose`.

Opening unpacks the first rows itself, for a few hundredths of a second. A process unpacks the
rest, and is ended when the file is closed before it is done.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.data.file.index import FIRST_BYTES, FIRST_ROWS, Identity, RowIndex
from engine.data.sources.base import Source
from engine.data.sources.copies import Copy, meta_of, sweep_copies
from engine.data.sources.detect import Kind
from engine.data.sources.out import Limits, Out
from engine.data.sources.unpack import Task, Told, unpacking
from store.errors import BadInput, NoSpace

if TYPE_CHECKING:
    from engine.data.file.lines import Lines

_FIRST_SECONDS = 0.03
_ARROW_SECONDS = 10.0
"""How long opening waits for the first rows of Parquet, which another process reads."""
_HOME = Path(__file__).parents[3]


class PackedSource(Source):
    """An array, a table, Parquet, or anything compressed."""

    def __init__(
        self, path: Path, fd: int, kind: Kind, folder: Path, tag: str, limits: Limits
    ) -> None:
        """Take over the descriptor `fd` of `path`."""
        self.path = path
        self.format = kind.format
        self.compression = kind.compression
        self.identity = Identity.of(os.fstat(fd))
        self.index: CopyIndex
        self.kind = kind
        self.folder = folder
        self._fd = fd
        self._limits = limits
        self._copy = Copy(folder, tag)
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._pipe = threading.Lock()
        self._accept: Callable[[bytes], bytes] | None = None
        self._closed = False
        self._kept = False
        self._done = False
        self._at = 0
        self._shown = 0.0
        self._trouble: str | None = None
        self.facts: dict[str, int | bool | str] = {}
        self.wrongs: dict[int, str] = {}
        if not self._open_kept():
            self._open_new()

    # Opening

    def _open_kept(self) -> bool:
        """Take the copy that was kept, if it is this file's."""
        whose = (self.path, self.identity, self.format, self.compression)
        meta = self._copy.load(*whose)
        if meta is None:
            return False
        try:
            copy, spans = self._copy.open_kept()
        except OSError:
            return False
        if self._copy.load(*whose) != meta:
            # Another interface kept another one in that moment.
            os.close(copy)
            os.close(spans)
            return False
        self._spans = spans
        self._learn(meta.wrongs, meta.facts, meta.trouble)
        self._done = self._kept = True
        self.index = CopyIndex.kept(self, copy, self._copy.rows)
        self.index.look(rows=FIRST_ROWS)
        return True

    def _open_new(self) -> None:
        sweep_copies(self.folder, spare=self._copy.tag)
        try:
            copy, self._spans = self._copy.make_parts()
        except OSError as error:
            self._copy.drop_parts()
            raise NoSpace(
                f"{self.path}: there is no room to unpack it ({error.strerror})",
                f"make room where {self.folder} lies",
            ) from None
        self.index = CopyIndex(self, copy, growing=True)
        try:
            self._first_rows(copy)
        except BaseException:
            self._fd = os.dup(self._fd)
            self.close()
            raise

    def _first_rows(self, copy: int) -> None:
        """Unpack the first rows here and now; Arrow is left to the other process."""
        if self.format == "parquet":
            self.index.grow(rows=1, seconds=_ARROW_SECONDS)
            return
        out = Out(copy, self._spans, self.identity.bytes, self._limits)
        until = time.monotonic() + _FIRST_SECONDS
        try:
            for _ in unpacking(self.path, self._fd, self.kind, out):
                enough = out.rows >= FIRST_ROWS or not self.identity.bytes
                if (enough or out.size > 8 << 20) and time.monotonic() >= until:
                    break
            else:
                self._done = True
        except BadInput as error:
            raise BadInput(f"{self.path}: {error.message}", error.hint) from None
        self._at = out.at
        self._learn(out.wrongs, out.facts if self._done else {}, out.trouble)
        self.index.extend(out.size, ended=self._done)
        self.index.look(rows=FIRST_ROWS)

    def _learn(
        self, wrongs: dict[int, str], facts: dict[str, int | bool | str], trouble: str | None
    ) -> None:
        self.wrongs = {**self.wrongs, **wrongs} if wrongs else self.wrongs
        self.facts.update(facts)
        self._trouble = trouble or self._trouble

    # Growing

    def advance(self, wait: float | None) -> bool:
        """Let the copy grow: wait up to so many seconds for news of it; False when it is done.

        Raises:
            BadInput: the file cannot be read. NoSpace: the process could not be started.
        """
        if self._done or self._closed:
            return False
        if not self._pipe.acquire(timeout=-1 if wait is None else max(0.0, wait)):
            return True
        try:
            if not self._done and not self._closed:
                self._hear(wait)
        finally:
            self._pipe.release()
        return not (self._done or self._closed)

    def _hear(self, wait: float | None) -> None:
        process = self._process or self._start()
        assert process.stdout is not None
        until = None if wait is None else time.monotonic() + wait
        while not self._closed:
            # In slices, so that closing need not wait for the process.
            left = 0.1 if until is None else min(0.1, max(0.0, until - time.monotonic()))
            ready, _, _ = select.select([process.stdout], [], [], left)
            if ready:
                break
            if until is not None and time.monotonic() >= until:
                return
        else:
            return
        news = os.read(process.stdout.fileno(), 1 << 20)
        *lines, self._unread = (self._unread + news).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line, type=Told))
        if not news and not self._done:
            process.wait()
            self._done = True
            self._trouble = "the unpacking was ended before it was done; open the file again"
            self.index.extend(self.index.known_size, ended=True)

    def _start(self) -> subprocess.Popen[bytes]:
        kind = self.kind
        task = Task(
            str(self.path),
            kind.format,
            kind.compression,
            str(self._copy.part),
            str(self._copy.spans_part),
            self._limits,
        )
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.data.sources.unpack_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_HOME,
            env={**os.environ, "PYTHONPATH": str(_HOME)},
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(task))
            process.stdin.close()
        return process

    def _take(self, told: Told) -> None:
        self._learn(told.wrongs, told.facts, told.trouble)
        self._at = max(self._at, told.at)
        if told.error is not None:
            own = told.error[0].startswith(str(self.path))
            self._trouble = told.error[0] if own else f"{self.path}: {told.error[0]}"
        if told.size >= self.index.known_size or told.done:
            self.index.extend(max(told.size, self.index.known_size), ended=told.done)
        if told.done:
            self._done = True
            if self._process is not None:
                self._process.wait()
        if told.error is not None and not self.index.known_size:
            raise BadInput(self._trouble or "", told.error[1])

    def grow(self, seconds: float | None = None) -> bool:
        return self.index.grow(seconds=seconds)

    @property
    def complete(self) -> bool:
        return self.index.complete

    @property
    def progress(self) -> float:
        if self.complete:
            return 1.0
        unpacked = min(0.99, self._at / max(1, self.identity.bytes))
        indexed = self.index.scanned / max(1, self.index.known_size)
        self._shown = max(self._shown, unpacked * indexed)
        return self._shown

    @property
    def trouble(self) -> str | None:
        return self._trouble

    # The user's file

    def fileno(self) -> int:
        return self._fd

    def changed(self) -> bool:
        try:
            return Identity.of(os.stat(self.path)) != self.identity
        except OSError:
            return True

    def origin(self, row: int) -> int:
        """Where in the user's file, uncompressed, a row begins: bytes."""
        return int.from_bytes(os.pread(self._spans, 8, 8 * row), sys.byteorder)

    def accept(self, raw: bytes) -> bytes:
        if self._accept is None:
            from engine.data.sources.compose import acceptor

            self._accept = acceptor(self)
        return self._accept(raw)

    def compose(self, fd: int, lines: Lines) -> int:
        from engine.data.sources.compose import compose

        return compose(self, fd, lines)

    def keep(self) -> None:
        if not self.complete or self._kept or self.changed():
            return
        if self._trouble is not None:
            # Perhaps there is more room, or nobody ends the process, the next time.
            return
        meta = meta_of(
            self.path,
            self.identity,
            self.format,
            self.compression,
            self.index.known_size,
            dict(self.wrongs),
            self.facts,
            self._trouble,
        )
        self._copy.keep(meta)
        self._kept = True
        self.index.keep(self._copy.rows)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
        with self._pipe:
            if process is not None:
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
            self.index.shut()
            os.close(self._fd)
            os.close(self._spans)
        if not self._kept:
            self._copy.drop_parts()


class CopyIndex(RowIndex):
    """The index of a copy: looking further waits for the copy to grow.

    Its `path` is the user's file's, which is what people are told about.
    """

    def __init__(self, source: PackedSource, fd: int, *, growing: bool) -> None:
        super().__init__(source.path, fd, growing=growing)
        self._source = source

    @classmethod
    def kept(cls, source: PackedSource, fd: int, cache: Path) -> CopyIndex:
        """The index of a copy that is whole."""
        index = cls(source, fd, growing=False)
        index.load(cache)
        return index

    def grow(
        self, *, seconds: float | None = None, rows: int | None = None, upto: int | None = None
    ) -> bool:
        stop = None if seconds is None else time.monotonic() + seconds
        while not super().grow(seconds=seconds, rows=rows, upto=upto):
            left = None if stop is None else stop - time.monotonic()
            if rows is not None and len(self) >= rows:
                break
            if upto is not None and self.scanned >= upto:
                break
            if left is not None and left <= 0:
                break
            if not self._source.advance(left) and (self._closed or self.scanned >= self.known_size):
                break
            seconds = None if stop is None else max(0.0, stop - time.monotonic())
        return self.complete

    def look(self, *, rows: int) -> None:
        """Look for so many rows in what there is of the copy, without waiting for more."""
        super().grow(rows=rows, upto=FIRST_BYTES)

    def wrong(self, row: int) -> str | None:
        return self._source.wrongs.get(row)

    def changed(self) -> bool:
        return self._source.changed()

    def close(self) -> None:
        self._source.close()

    def shut(self) -> None:
        """Let go of the copy alone."""
        super().close()
