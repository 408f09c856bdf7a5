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
