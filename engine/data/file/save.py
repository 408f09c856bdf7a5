"""Writing a document back over its file: spliced, whole, or not at all.

Knows temporary files, renames, hard links, modes, owners and full disks. Does not know the
catalogue or JSON.

Untouched rows are copied as byte ranges inside the kernel, and hashed on a second thread while that
goes on. The new file is written beside the old
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.data.file.blocks import Blocks
from engine.data.file.copying import write_all
from engine.data.file.digest import Follower, hash_of
from engine.data.file.index import RowIndex
from engine.data.file.inplace import mend, overwrite, sync_folder
from engine.data.file.lines import Lines
from engine.data.journal.changes import Changed
from engine.data.sources import PlainSource, Source, open_source
from store.errors import BadInput, Conflict, NoSpace

__all__ = ["Draft", "SaveReport", "explained", "hash_of", "interrupted", "repair", "sweep"]

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class SaveReport:
    """The file as it is after a save; `unplaced` are edits that a merge found no line for."""

    path: Path
    rows: int
    bytes: int
    sha256: str
    unplaced: tuple[Changed, ...] = ()


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
        self._follower = Follower(self.fd)
        self._blocks: Blocks | None = None

    def write(self, source: Source, lines: Lines) -> int:
        """Write the whole document in the format of `source`; returns how many rows it has."""
        with explained(self.target):
            return source.compose(self.fd, lines)

    def end_at(self, size: int, ending: bytes) -> None:
        """Add or cut the last line's ending where that makes the file as long as it should be.

        Whether the last line of a version had one is not in the journal, and an empty file in
        between knows nothing of it.
        """
        with explained(self.target):
            now = os.fstat(self.fd).st_size
            if size == now + len(ending):
                os.lseek(self.fd, 0, os.SEEK_END)
                write_all(self.fd, ending)
            elif size == now - len(ending) and os.pread(self.fd, len(ending), size) == ending:
                os.ftruncate(self.fd, size)

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
            # Meanwhile the follower hashes what the disk has not taken yet.
            os.fsync(self.fd)
            digest, self._blocks = self._follower.finish()
            return digest

    def install(self) -> None:
        """Put it under the final name."""
        with explained(self.target):
            if self._in_place:
                backup = _backup_name(self.target, self.path.parent)
                overwrite(self.fd, self.target, backup, self.path.with_suffix(".part"))
                self.path.unlink()
            else:
                os.replace(self.path, self.target)
            self._installed = True
            sync_folder(self.target.parent)

    @property
    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def reopen(self, cache_folder: Path, tag: str) -> Source:
        """Open what was installed; what was learnt while it was written is not found out anew."""
        new = open_source(self.target, cache_folder, tag)
        if isinstance(new, PlainSource):
            self.teach(new.index)
        return new

    def teach(self, index: RowIndex) -> None:
        """Tell the index of the installed file its newlines, if it is that file's."""
        size = os.fstat(self.fd).st_size
        if self._blocks and (index.identity.inode, index.identity.bytes) == (self.inode, size):
            index.adopt(self._blocks)

    def close(self) -> None:
        """Let go; what was not installed is gone."""
        self._follower.stop()
        os.close(self.fd)
        if not self._installed:
            self.path.unlink(missing_ok=True)


def interrupted(target: Path, spare: Path) -> bool:
    """Is somebody overwriting the target in place, or was that cut short?"""
    return any(_backup_name(target, folder).exists() for folder in (target.parent, spare))


def repair(target: Path, spare: Path) -> None:
    """Finish a save in place that was cut short; no save of this workspace may be going on.

    Raises:
        Conflict: another workspace is saving it, or what it holds is neither old nor new; the copy
            of the old file is named.
    """
    for folder in (target.parent, spare):
        backup = _backup_name(target, folder)
        if not backup.exists():
            continue
        left = [(path, stale) for path, stale in _left(target, folder) if path.suffix == ".tmp"]
        if any(not stale for _, stale in left):
            raise Conflict(f"{target}: is being saved by another process", "try again in a moment")
        with explained(target):
            mend(target, backup, [path for path, _ in left])


def sweep(target: Path, spare: Path) -> None:
    """Remove temporary files of saves of `target` whose process is gone."""
    for folder in (target.parent, spare):
        for path, stale in _left(target, folder):
            if stale:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _left(target: Path, folder: Path) -> list[tuple[Path, bool]]:
    """Temporary files of saves of `target`, and whether their process is gone."""
    pattern = re.compile(rf"\.workbench-{_tag(target)}-(\d+)-(\w+)\.(?:tmp|part)")
    with contextlib.suppress(OSError):
        found = ((folder / name, pattern.fullmatch(name)) for name in os.listdir(folder))
        return [(path, _is_stale(path, int(m[1]), m[2])) for path, m in found if m]
    return []


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


# Installing


def _copy_attributes(target: Path, fd: int) -> None:
    """Extended attributes, access lists among them; one that may not be set is left."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(target):
            with contextlib.suppress(OSError):
                os.setxattr(fd, name, os.getxattr(target, name))


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
