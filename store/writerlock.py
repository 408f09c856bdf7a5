"""One writer a file: a lock that the system drops with the process, however that ends.

Knows lock files. Does not know what is written (see `store.runwriter`).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar

from store.errors import Conflict, WorkbenchError


class WriterLock:
    """A lock on `NAME.lock` next to a database, held while the file is written.

    A POSIX record lock, for children that a data loader forks must not inherit it. Such a lock
    does not bind its own process, hence the set.
    """

    _held: ClassVar[set[Path]] = set()

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def take(cls, database: Path) -> WriterLock:
        """Hold the database for this process.

        Raises:
            Conflict: someone else holds it. WorkbenchError: the lock file cannot be made.
        """
        path = Path(os.path.realpath(database))
        busy = Conflict(
            f"{path}: another process is writing this run",
            "Watch it with `workbench show RUN`, or stop it first with `workbench stop RUN`.",
        )
        if path in cls._held:
            raise busy
        try:
            handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise WorkbenchError(
                f"{path}: cannot be written ({error.strerror})",
                "Check that the run's folder exists, is yours, and that the disk is not full.",
            ) from error
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise busy from error
        cls._held.add(path)
        return cls(path, handle)

    def release(self) -> None:
        os.close(self._handle)
        self._held.discard(self._path)
