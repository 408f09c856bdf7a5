"""Bytes from one open file into another: inside the kernel where it can be.

Knows descriptors and ranges. Does not know what the bytes mean.
"""

from __future__ import annotations

import errno
import os
import sys

CHUNK = 1 << 20
STRIDE = 16 << 20
"""The most that is copied in one call, so that whoever follows the copy is never far behind."""
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def write_all(fd: int, data: bytes | memoryview) -> int:
    """Append all of `data`; returns how many bytes that was."""
    view = memoryview(data)
    size = len(view)
    while view:
        view = view[os.write(fd, view) :]
    return size


def copy_range(source: int, start: int, end: int, fd: int) -> None:
    """Append the bytes [start, end) of `source` to `fd`.

    Raises:
        OSError: EIO where `source` ends before `end`; whatever writing refuses.
    """
    if sys.platform == "linux":
        try:
            while start < end:
                size = min(STRIDE, end - start)
                done = os.copy_file_range(source, fd, size, offset_src=start)
                if not done:
                    break
                start += done
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
    while start < end:
        chunk = os.pread(source, min(CHUNK, end - start), start)
        if not chunk:
            raise OSError(errno.EIO, "the file was cut short while it was copied")
        start += write_all(fd, chunk)


class Gathered:
    """Appends to `fd` with small pieces gathered into large writes; `flush` at the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = bytearray()
        self._source, self._at, self._window = -1, 0, b""

    def write(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= CHUNK:
            self.flush()

    def copy(self, source: int, start: int, end: int) -> None:
        """Append the bytes [start, end) of `source`; see `copy_range`."""
        if end - start >= CHUNK:
            self.flush()
            copy_range(source, start, end, self._fd)
            return
        if source != self._source or not self._at <= start <= end <= self._at + len(self._window):
            # What follows is likely wanted next.
            self._source, self._at, self._window = source, start, os.pread(source, CHUNK, start)
        if end > self._at + len(self._window):
            raise OSError(errno.EIO, "the file was cut short while it was copied")
        self.write(self._window[start - self._at : end - self._at])

    def flush(self) -> None:
        write_all(self._fd, bytes(self._held))
        self._held.clear()
