"""How many lines end in each block of a file: what a sparse index is made of.

Knows newlines and blocks of bytes. Does not know files, rows or identities.

A block stays in the processor's cache while it is counted, which takes about as long as it does
in `wc -l`. 8 bytes a block of 256 KiB are kept.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BLOCK = 256 << 10
NEWLINE = 10
_DENSE = 256
"""Newlines a block from which it is worth importing numpy to count them."""


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
    """This thread's place to read a block into and look at it."""

    def __init__(self) -> None:
        self.buffer = bytearray(BLOCK)
        self.view = memoryview(self.buffer)
        self._dense = False
        self._hits: npt.NDArray[np.bool_] | None = None

    def read(self, fd: int, at: int, size: int) -> int:
        """Read up to `size` bytes at `at`; returns how many there were."""
        view = self.view if size == BLOCK else self.view[:size]
        return os.preadv(fd, [view], at)

    def newlines(self, size: int) -> int:
        """How many of the first `size` bytes read are newlines."""
        return self.buffer.count(b"\n", 0, size)

    def ends(self, size: int) -> array[int]:
        """Where in the first `size` bytes read a line has ended: behind each newline."""
        lines = self.buffer[:size].split(b"\n")
        lines.pop()
        return array("I", accumulate(len(line) + 1 for line in lines))

    def count_whole(self, fd: int, blocks: Blocks, count: int) -> None:
        """Count the newlines of the next `count` whole blocks; stops at one that is not whole.

        This is where the time of an index goes. numpy compares and counts a block at a time; where
        it is not there yet, long lines are found one by one before it would be.
        """
        numpy_is_there = "numpy" in sys.modules
        find, views, sums = self.buffer.find, [self.view], blocks.sums
        at, total = blocks.scanned, blocks.newlines
        for _ in range(count):
            if os.preadv(fd, views, at) != BLOCK:
                break
            if self._dense:
                found = self._count_dense()
            else:
                found, place = 0, find(b"\n")
                while place >= 0:
                    found += 1
                    place = find(b"\n", place + 1)
            self._dense = numpy_is_there or found > _DENSE
            total += found
            sums.append(total)
            at += BLOCK
            blocks.last = self.buffer[-1]
        blocks.scanned = at

    def _count_dense(self) -> int:
        # Late: the first rows, and files of long lines, are there before numpy would be.
        import numpy as np

        if self._hits is None:
            self._hits = np.empty(BLOCK, np.bool_)
        np.equal(np.frombuffer(self.buffer, np.uint8), NEWLINE, out=self._hits)
        return int(np.count_nonzero(self._hits))


_scratch: Scratch | None = None


def scratch() -> Scratch:
    """This thread's scratch."""
    global _scratch
    if _scratch is None:
        _scratch = Scratch()
    return _scratch
