"""Where unpacked rows go: a JSONL copy, and where each row came from.

Knows the two files of a copy, when there is no room for more, and what a bomb looks like. Does
not know formats.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field

from engine.data.file.copying import write_all

MAX_WRONGS = 10_000
"""So many rows have their own reason kept; the rest say what JSON says of them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When unpacking ends early."""

    free: int = 1 << 30
    """Bytes of the disk that stay free."""
    ratio: int = 200
    """So many times its own size a file may unpack to: text of people packs 3 to 10 times, of
    machines up to 100 times."""
    ratio_from: int = 1 << 30
    """... once it has unpacked to more than this."""


class FullError(Exception):
    """No more may be unpacked; the text says why."""


@dataclass(slots=True)
class Out:
    """The copy that is being written.

    Attributes:
        size, at: bytes of the copy so far, and of the user's file that they came from.
        rows: rows put so far.
        wrongs: why rows (from 0) are bad, where JSON cannot say it.
        facts: what the format must remember for saving.
        trouble: what ended the unpacking early.
    """

    copy: int
    spans: int
    original: int
    limits: Limits = field(default_factory=Limits)
    size: int = 0
    at: int = 0
    rows: int = 0
    wrongs: dict[int, str] = field(default_factory=dict)
    facts: dict[str, int | bool | str] = field(default_factory=dict)
    trouble: str | None = None
    _checked: int = 0

    def put(self, data: bytes, at: int, rows: int = 0, starts: array[int] | None = None) -> None:
        """Append lines.

        Args:
            data: whole lines, or parts of a long one.
            at: how far into the user's file they reach.
            rows: how many lines end in `data`.
            starts: where in the (uncompressed) file the rows that begin in `data` begin.
        Raises:
            FullError: it would be too much.
        """
        if self.size + len(data) - self._checked > 32 << 20:
            self._check(at)
        try:
            write_all(self.copy, data)
            if starts:
                write_all(self.spans, starts.tobytes())
        except OSError as error:
            os.ftruncate(self.copy, self.size)
            os.lseek(self.copy, self.size, os.SEEK_SET)
            raise FullError(f"there is no room to unpack the rest ({error.strerror})") from None
        self.size += len(data)
        self.rows += rows
        self.at = at

    def wrong(self, row: int, why: str) -> None:
        """Row `row` (from 0) is bad, and this is why."""
        if len(self.wrongs) < MAX_WRONGS:
            self.wrongs[row] = why

    def _check(self, at: int) -> None:
        self._checked = self.size
        limits, disk = self.limits, os.fstatvfs(self.copy)
        if disk.f_bavail * disk.f_frsize < limits.free:
            raise FullError(
                f"unpacked, it would fill the disk ({limits.free >> 20:,} MiB are left free)"
            )
        if self.size > limits.ratio_from and self.size > limits.ratio * max(at, 64 << 10):
            raise FullError(
                f"{at:,} bytes of it unpack to more than {self.size:,}; "
                "that is taken for a bomb, not for data"
            )
