"""(heavy) What a model says of each sample, asked once and kept where the disk has room.

Knows arrays of logits and one file that nobody else sees. Does not know models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
"""[positions of one sample, vocabulary]."""
_BYTES = 4
_SPARE_BYTES = 1 << 30
"""What the disk must keep: an export is being written beside."""


class Kept:
    """Logits by the number of their sample.

    The file is unlinked from the start, so that nothing can leave it behind. Where it finds no room
    every question is asked again.

    Args:
        ask: the logits of a sample.
        positions: about how many there will be, over all samples.
        folder: where the file lies.
    """

    def __init__(self, ask: Callable[[int], Logits], positions: int, folder: Path) -> None:
        self._ask = ask
        self._positions = positions
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._full = False
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}

    def __call__(self, sample: int) -> Logits:
        """The logits of a sample; those that were kept are mapped, not read."""
        place = self._places.get(sample)
        if place is not None and self._file is not None:
            return np.memmap(self._file, np.float32, "r", *place)
        found = self._ask(sample)
        self._keep(sample, found)
        return found

    def holds(self, samples: Sequence[int]) -> bool:
        """Whether all of them are kept."""
        return all(sample in self._places for sample in samples)

    def _keep(self, sample: int, found: Logits) -> None:
        if self._full:
            return
        try:
            if self._file is None:
                self._file = self._open(found.shape[1])
            at = self._file.seek(0, os.SEEK_END)
            found.tofile(self._file)
        except OSError:  # no room: it is computed again
            self._full = True
        else:
            self._places[sample] = (at, found.shape)

    def _open(self, vocabulary: int) -> IO[bytes]:
        needed = self._positions * vocabulary * _BYTES + _SPARE_BYTES
        if shutil.disk_usage(self._folder).free < needed:
            raise OSError
        return TemporaryFile(dir=self._folder, buffering=0)

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._places.clear()
