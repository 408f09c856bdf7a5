"""The catalogue: one open door to a workspace's precious database.

Knows how it is opened and closed. Does not know what is in it: each noun has its own module of
plain functions which take a `Catalogue` first.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from store.errors import BadInput, WorkbenchError
from store.migrations import migrate_catalogue
from store.sqlite import BUSY_MS, Database, connect, explain
from store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An open catalogue. One per thread; opening is cheap, so open late and close early."""

    db: Database
    workspace: Workspace

    @classmethod
    def open(cls, workspace: Workspace) -> Catalogue:
        """Open the catalogue, making the workspace's folders and tables where they are missing.

        Raises:
            WorkbenchError: the folder or the database cannot be made, opened or migrated.
        """
        try:
            workspace.create()
        except OSError as error:
            raise BadInput(
                f"{workspace.root}: cannot make the workspace folder ({error.strerror})",
                "Name a folder you may write to: --workspace DIR.",
            ) from error
        return cls(_open(workspace.catalogue_path), workspace)

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open(path: Path) -> Database:
    """Open (and where needed create or migrate) the catalogue at `path`.

    Rollback journal and `synchronous=FULL`: rarely written, precious, and free of every WAL trap.

    Raises:
        WorkbenchError: not a database, no room, no rights, or written by a newer Workbench.
    """
    _touch_private(path)
    db = connect(path)
    try:
        db.execute("PRAGMA journal_mode=DELETE").fetchall()
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        db.execute(f"PRAGMA busy_timeout={BUSY_MS}").fetchall()
        migrate_catalogue(db)
    except sqlite3.Error as error:
        db.close()
        raise explain(error, path) from error
    except WorkbenchError:
        db.close()
        raise
    return db


def _touch_private(path: Path) -> None:
    """Create a missing file readable by its owner alone.

    Only with O_EXCL: opening and closing an existing database outside SQLite would drop the POSIX
    locks that other connections of this process hold on it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise BadInput(
            f"{path}: cannot create the database ({error.strerror})",
            "Name a workspace folder you may write to: --workspace DIR.",
        ) from error
