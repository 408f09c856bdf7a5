"""Hashes of files, taken while they are written.

Knows descriptors and SHA-256. Does not know what is written or why.
"""

from __future__ import annotations

import hashlib
import os
import threading

from engine.data.file.blocks import BLOCK, Blocks, scratch
from engine.data.file.copying import CHUNK

_PAUSE = 0.002
"""How long to wait for more, in seconds."""


def hash_of(fd: int) -> str:
    """SHA-256 of an open file, from its beginning."""
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(fd, CHUNK, at):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


_CUT = 16


class Follower:
    """Reads a file that is being written, on a thread of its own, close behind the writer.

    What it hashes is what reached the file, not what was meant to. It counts newlines on the way,
    so that the new file need not be read once more for its index. The writer may cut off up to
    sixteen bytes at the end before it calls `finish`.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._digest = hashlib.sha256()
        self._blocks = Blocks()
        self._done = threading.Event()
        self._left = False
        self._fault: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def finish(self) -> tuple[str, Blocks]:
        """The SHA-256 of the whole file, and its newlines; call once it is written.

        Raises:
            OSError: the file could not be read.
        """
        self._done.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._digest.hexdigest(), self._blocks

    def stop(self) -> None:
        """Let go early; the descriptor may be closed afterwards."""
        self._left = True
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                last = self._done.is_set()
                size = os.fstat(self._fd).st_size
                # Up to the end of the writing, the end may yet be cut off.
                self._read(size if last else max(0, size - _CUT) // BLOCK * BLOCK)
                if last:
                    return
                self._done.wait(_PAUSE)
        except OSError as error:
            self._fault = error

    def _read(self, upto: int) -> None:
        blocks, desk = self._blocks, scratch()
        while blocks.scanned < upto and not self._left:
            size = desk.read(self._fd, blocks.scanned, min(blocks.room(), upto - blocks.scanned))
            if not size:
                return
            self._digest.update(desk.view[:size])
            blocks.add(desk.newlines(size), size, desk.buffer[size - 1])
