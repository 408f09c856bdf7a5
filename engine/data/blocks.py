"""How many lines end in each block of a file: what a sparse index is made of.

Knows newlines and blocks of bytes. Does not know files, rows or identities.

Counting needs one comparison of a whole block and one count: with a block that stays in the
processor's cache that is about what `wc -l` takes. 8 bytes a block of 256 KiB are kept.
"""

from __future__ import annotations

import os
import threading
from array import array
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BLOCK = 256 << 10
NEWLINE = 10


@dataclass(slots=True)
class Blocks:
    """Newlines of the first `scanned` bytes of something.

    Attributes:
        sums: newlines up to the end of each full block.
        tail: newlines in the block after those, as far as it is scanned.
        last: the byte scanned last; a newline before there is any.
    """

    sums: array[int] = field(default_factory=partial(array, "Q"))
    tail: int = 0
    scanned: int = 0
    last: int = NEWLINE

    @property
    def newlines(self) -> int:
        return (self.sums[-1] if self.sums else 0) + self.tail

    def room(self) -> int:
        """Bytes that are missing to the end of the present block."""
        return BLOCK - self.scanned % BLOCK

    def add(self, newlines: int, size: int, last: int) -> None:
        """Take in `size` bytes, at most `room()`, with so many newlines, the last being `last`."""
        self.tail += newlines
        self.scanned += size
        self.last = last
        if not self.scanned % BLOCK:
            self.sums.append(self.newlines)
            self.tail = 0


class Scratch(threading.local):
    """This thread's place to read a block into and compare it."""

    def __init__(self) -> None:
        # Late: whoever only imports this module need not wait for numpy.
        import numpy as np

        self.count, self.equal, self.where = np.count_nonzero, np.equal, np.flatnonzero
        self.small = np.uint32
        self.buffer = bytearray(BLOCK)
        self.view = memoryview(self.buffer)
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(self.buffer, np.uint8)
        self.hits: npt.NDArray[np.bool_] = np.empty(BLOCK, np.bool_)

    def read(self, fd: int, at: int, size: int) -> int:
        """Read up to `size` bytes at `at`; returns how many there were."""
        view = self.view if size == BLOCK else self.view[:size]
        return os.preadv(fd, [view], at)

    def newlines(self, size: int) -> int:
        """How many of the first `size` bytes read are newlines."""
        if size == BLOCK:
            self.equal(self.bytes, NEWLINE, out=self.hits)
            return int(self.count(self.hits))
        hits = self.hits[:size]
        self.equal(self.bytes[:size], NEWLINE, out=hits)
        return int(self.count(hits))

    def places(self, size: int) -> npt.NDArray[np.uint32]:
        """Where in the first `size` bytes read the newlines are."""
        hits = self.hits[:size]
        self.equal(self.bytes[:size], NEWLINE, out=hits)
        return self.where(hits).astype(self.small)


_scratch: Scratch | None = None


def scratch() -> Scratch:
    """This thread's scratch."""
    global _scratch
    if _scratch is None:
        _scratch = Scratch()
    return _scratch
