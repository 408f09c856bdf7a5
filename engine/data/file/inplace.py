"""Overwriting a file that keeps its name and its place, with a copy of the old one meanwhile.

Knows descriptors, the draft of the new file and the copy of the old one. Does not know the
catalogue, nor why the file may not be replaced by another (see `engine.data.file.save`).

The draft is whole before this begins and the copy is whole before the file is touched, so where it
is cut short by a kill, `mend` finishes it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.data.file.copying import CHUNK, copy_range
from store.errors import Conflict


def overwrite(draft: int, target: Path, backup: Path, part: Path) -> None:
    """Write the draft over the target itself.

    Args:
        draft: descriptor of the new content.
        backup: where the copy of the old content lies while the target is touched.
        part: what that is called until it is whole.
    Raises:
        OSError: the target is as it was. Conflict: it is not, and the copy is named.
    """
    if backup.exists():
        raise cut_short(target, backup)
    size = os.fstat(draft).st_size
    fd = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        old = os.fstat(fd).st_size
        _back_up(fd, old, backup, part)
        try:
            if sys.platform == "linux" and size > old:
                # Room first: once the old bytes are touched nothing should fail for want of it.
                os.posix_fallocate(fd, 0, size)
            _pour(draft, size, fd)
        except OSError:
            _put_back(fd, target, backup)
            raise
        backup.unlink(missing_ok=True)
    finally:
        os.close(fd)


def mend(target: Path, backup: Path, drafts: Sequence[Path]) -> None:
    """Finish an overwriting that was cut short; its writer must be gone.

    Args:
        drafts: drafts of the target that lie about.
    Raises:
        Conflict: the target holds something else than a mixture of the copy and a draft.
        OSError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        fd = _opened(stack, target, os.O_RDWR)
        old = _opened(stack, backup, os.O_RDONLY)
        if not _is_mixture(fd, old, old):
            for path in drafts:
                draft = _opened(stack, path, os.O_RDONLY)
                if _is_mixture(fd, draft, old):
                    _pour(draft, os.fstat(draft).st_size, fd)
                    break
            else:
                raise cut_short(target, backup)
    backup.unlink()


def cut_short(target: Path, backup: Path) -> Conflict:
    """That a save was cut short and what to do, in words."""
    return Conflict(
        f"{target}: a save was cut short; the file as it was before lies at {backup}",
        "compare the two, then copy it back over the file (`cp`), and delete the copy",
    )


def _opened(stack: contextlib.ExitStack, path: Path, mode: int) -> int:
    fd = os.open(path, mode | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _is_mixture(fd: int, new: int, old: int) -> bool:
    """Does the file hold `new` up to some byte, and `old` (then zeros) after it?"""
    size = os.fstat(fd).st_size
    if size not in (os.fstat(new).st_size, os.fstat(old).st_size):
        return False
    written = True
    for at in range(0, size, CHUNK):
        here = os.pread(fd, CHUNK, at)
        if written:
            ahead = os.pread(new, len(here), at)
            if here == ahead:
                continue
            pairs = enumerate(zip(here, ahead, strict=False))
            same = next((n for n, (a, b) in pairs if a != b), min(len(here), len(ahead)))
            here, at, written = here[same:], at + same, False
        if here != os.pread(old, len(here), at).ljust(len(here), b"\0"):
            return False

    return True


def _pour(source: int, size: int, fd: int) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    copy_range(source, 0, size, fd)
    os.ftruncate(fd, size)
    os.fsync(fd)


def _back_up(fd: int, size: int, backup: Path, part: Path) -> None:
    out = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        copy_range(fd, 0, size, out)
        os.fsync(out)
        os.replace(part, backup)
        sync_folder(backup.parent)
    except OSError:
        part.unlink(missing_ok=True)
        backup.unlink(missing_ok=True)
        raise
    finally:
        os.close(out)


def _put_back(fd: int, target: Path, backup: Path) -> None:
    """What could not be written leaves what was there."""
    try:
        with contextlib.ExitStack() as stack:
            old = _opened(stack, backup, os.O_RDONLY)
            _pour(old, os.fstat(old).st_size, fd)
    except OSError as error:
        raise cut_short(target, backup) from error
    backup.unlink()


def sync_folder(folder: Path) -> None:
    """Make names in a folder as durable as what they name."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
