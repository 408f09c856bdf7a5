"""Writing a document back over its file: spliced, whole, or not at all.

Knows temporary files, renames, hard links, modes, owners and full disks. Does not know the
catalogue or JSON.

Untouched rows are copied as byte ranges inside the kernel. The new file is written beside the old
one, synced, given the old one's mode, owner and attributes, and renamed over it. A file with hard
links, of another owner, or in a folder that may not be written is overwritten in place instead,
with a full copy kept beside it (or in the workspace) until that is done.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import sys
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.data.index import CHUNK
from engine.data.lines import Lines
from engine.data.pieces import FileRows
from engine.data.sources import Source, open_source
from store.errors import BadInput, Conflict, NoSpace

_DAY = 86_400
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


@dataclass(frozen=True, slots=True)
class SaveReport:
    """The file as it is after a save."""

    path: Path
    rows: int
    bytes: int
    sha256: str


class Draft:
    """The new content of `target` in a temporary file, until it is installed or discarded."""

    def __init__(self, target: Path, seen: os.stat_result, spare: Path) -> None:
        """Make the temporary file beside `target`, or in `spare` where that folder is closed."""
        self.target, self.seen = target, seen
        if not os.access(target, os.W_OK):
            raise BadInput(
                f"{target}: not saved, it is read-only", "`chmod u+w` it, then save again"
            )
        self._in_place = seen.st_nlink > 1
        self.path = target.parent / _temporary_name(target)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with explained(target):
            try:
                self.fd = os.open(self.path, flags, 0o600)
            except PermissionError:
                self._in_place = True
                self.path = spare / self.path.name
                self.fd = os.open(self.path, flags, 0o600)
        self._installed = False

    def compose(self, lines: Lines) -> array[int]:
        """Write every line of the (completely indexed) document; returns the new line ends."""
        with explained(self.target):
            return _compose(self.fd, lines)

    def write(self, source: Source, lines: Lines) -> int:
        """Write the whole document in the format of `source`; returns how many rows it has."""
        with explained(self.target):
            return source.compose(self.fd, lines)

    def reopen(self, cache_folder: Path, tag: str) -> Source:
        """Open what was installed; what was learnt while it was written is not found out anew."""
        return open_source(self.target, cache_folder, tag)

    def seal(self) -> str:
        """Make it as durable and as much like the old file as can be; returns its SHA-256."""
        with explained(self.target):
            os.fchmod(self.fd, stat.S_IMODE(self.seen.st_mode))
            mine = os.fstat(self.fd)
            if (mine.st_uid, mine.st_gid) != (self.seen.st_uid, self.seen.st_gid):
                try:
                    os.fchown(self.fd, self.seen.st_uid, self.seen.st_gid)
                except PermissionError:
                    self._in_place = True
            _copy_attributes(self.target, self.fd)
            os.fsync(self.fd)
            return hash_of(self.fd)

    def install(self) -> None:
        """Put it under the final name."""
        with explained(self.target):
            if self._in_place:
                _overwrite(self.fd, self.target, _backup_name(self.target, self.path.parent))
                self.path.unlink()
            else:
                os.replace(self.path, self.target)
            self._installed = True
            _sync_folder(self.target.parent)

    @property
    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def close(self) -> None:
        """Let go; what was not installed is gone."""
        os.close(self.fd)
        if not self._installed:
            self.path.unlink(missing_ok=True)


def hash_of(fd: int) -> str:
    """SHA-256 of an open file, from its beginning."""
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(fd, CHUNK, at):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


def sweep(target: Path, spare: Path) -> None:
    """Remove temporary files of saves of `target` whose process is gone.

    Raises:
        Conflict: an in-place save was cut short; the copy of the old file is named.
    """
    pattern = re.compile(rf"\.workbench-{_tag(target)}-(\d+)-(\w+)\.tmp")
    for folder in (target.parent, spare):
        backup = _backup_name(target, folder)
        if backup.exists():
            raise Conflict(
                f"{target}: a save was cut short; the file as it was before lies at {backup}",
                "compare the two, then move the copy back over the file, or delete the copy",
            )
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                found = pattern.fullmatch(name)
                if found and _is_stale(folder / name, int(found[1]), found[2]):
                    (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn what the system refuses into an error with a way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(
                f"{target}: not saved, the disk is full ({error.strerror})",
                "make room and save again; the file is as it was and your edits are kept",
            ) from error
        raise BadInput(
            f"{target}: not saved ({error.strerror})",
            "see that the file and its folder may be written, then save again; edits are kept",
        ) from error


# Composing


def _compose(fd: int, lines: Lines) -> array[int]:
    index, ends, at = lines.index, array("Q"), 0
    rows, final_newline = len(index), index.final_newline
    # `owed`: the line written last has no ending yet, and needs one only if another follows.
    owed, last = False, b""
    for piece in lines.pieces:
        if isinstance(piece, FileRows):
            stop = min(piece.stop, rows)
            if piece.start >= stop:
                continue
            if owed:
                at += _write(fd, lines.usual_ending())
                ends[-1] = at
            start, end = index.start(piece.start), index.start(stop)
            _copy(index.fileno(), start, end, fd)
            shift = at - start
            known = index.ends(piece.start, stop)
            ends.extend(
                known if not shift else array("Q", [known_end + shift for known_end in known])
            )
            at += end - start
            last = lines.file_ending(stop - 1)
        else:
            ending = (
                lines.file_ending(piece.replaces or 0) if piece.ending is None else piece.ending
            )
            if owed:
                at += _write(fd, ending or lines.usual_ending())
                ends[-1] = at
                ending = b""
            at += _write(fd, piece.content + ending)
            ends.append(at)
            last = ending
        owed = not last
    if ends and not owed and not final_newline:
        at -= len(last)
        os.ftruncate(fd, at)
        ends[-1] = at
    return ends


def _write(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)


def _copy(source: int, start: int, end: int, fd: int) -> None:
    """Append the bytes [start, end) of `source` to `fd`, inside the kernel where it can."""
    if sys.platform == "linux":
        try:
            while start < end:
                done = os.copy_file_range(source, fd, end - start, offset_src=start)
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
        start += _write(fd, chunk)


# Installing


def _copy_attributes(target: Path, fd: int) -> None:
    """Extended attributes, access lists among them; one that may not be set is left."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(target):
            with contextlib.suppress(OSError):
                os.setxattr(fd, name, os.getxattr(target, name))


def _overwrite(source: int, target: Path, backup: Path) -> None:
    """Write the draft over the target itself, with a copy of the old file kept meanwhile."""
    size = os.fstat(source).st_size
    fd = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        old = os.fstat(fd).st_size
        _back_up(fd, old, backup)
        if sys.platform == "linux" and size > old:
            try:
                # Room first: once the old bytes are touched nothing may fail for want of it.
                os.posix_fallocate(fd, 0, size)
            except OSError:
                os.ftruncate(fd, old)
                backup.unlink(missing_ok=True)
                raise
        os.lseek(fd, 0, os.SEEK_SET)
        _copy(source, 0, size, fd)
        os.ftruncate(fd, size)
        os.fsync(fd)
        backup.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _back_up(fd: int, size: int, backup: Path) -> None:
    out = os.open(backup, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _copy(fd, 0, size, out)
        os.fsync(out)
    except OSError:
        backup.unlink()
        raise
    finally:
        os.close(out)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# Names


def _tag(target: Path) -> str:
    return hashlib.sha256(os.fsencode(target)).hexdigest()[:12]


def _temporary_name(target: Path) -> str:
    return f".workbench-{_tag(target)}-{os.getpid()}-{_boot()}.tmp"


def _backup_name(target: Path, folder: Path) -> Path:
    return folder / f".workbench-{_tag(target)}.backup"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:8]
    except OSError:
        return "boot"


def _is_stale(path: Path, pid: int, boot: str) -> bool:
    if boot != _boot():
        # Another machine may be at work in a shared folder: its day has long passed.
        with contextlib.suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > _DAY
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
