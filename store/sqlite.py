"""How the house connects to and writes SQLite: one helper for writes.

Knows pragmas, transactions and what SQLite's error codes mean for a person. Does not know any
table (see `store.tables`) and nothing of run databases but the error texts (see `store.rundb`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import BadInput, Conflict, NoSpace, WorkbenchError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "Database",
    "Migrations",
    "connect",
    "error_code",
    "explain",
    "explain_or_none",
    "file_of",
    "from_json",
    "path_text",
    "rows",
    "statements",
    "storable",
    "to_json",
    "write",
]

BUSY_MS = 5000
WAL_FIXED = (3, 51, 3)
"""First SQLite without the WAL-reset corruption bug (sqlite.org/changes.html)."""


class _HideHeavy:
    """Makes numpy and pandas look absent to one thread.

    sqlite-utils imports both where they are installed, only to know their column types. That costs
    0.3 s at every start of the program and we never store such values.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname in ("numpy", "pandas") and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is hidden from sqlite-utils", name=fullname)
        return None


_hide = _HideHeavy()
sys.meta_path.insert(0, _hide)
try:
    from sqlite_utils.db import Database
    from sqlite_utils.migrations import Migrations
finally:
    sys.meta_path.remove(_hide)


def connect(path: Path, *, any_thread: bool = False) -> Database:
    """A connection without surprises: we begin and commit ourselves, plug-ins are not run.

    Args:
        any_thread: let several threads use it; the caller then sees to it that one does at a time.

    Raises:
        WorkbenchError: the file cannot be opened; see `explain`.
    """
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=not any_thread,
        )
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return Database(connection, execute_plugins=False)


@contextlib.contextmanager
def write(db: Database) -> Iterator[Database]:
    """The one way to write: BEGIN IMMEDIATE, then COMMIT or ROLLBACK. Nested use joins the outer.

    IMMEDIATE because a deferred transaction that turns into a write after someone else's commit
    fails at once with BUSY_SNAPSHOT, whatever the busy timeout says.

    Raises:
        NoSpace: the disk is full. Conflict: locked for longer than the busy timeout.
        WorkbenchError: any other way in which the file itself failed.
    """
    if db.conn.in_transaction:
        yield db
        return
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        known = explain_or_none(error, file_of(db))
        if known is None:
            raise
        raise known from error


def statements(db: Database, *all_of: str) -> None:
    """Run statements without parameters, one after the other."""
    for statement in all_of:
        db.execute(statement)


def rows(db: Database, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Run a SELECT to its end and return dictionaries; no cursor stays open.

    Raises:
        WorkbenchError: the file cannot be read (locked, damaged, disk error).
    """
    try:
        cursor = db.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except sqlite3.DatabaseError as error:
        known = explain_or_none(error, file_of(db))
        if known is None:
            raise
        raise known from error


def file_of(db: Database) -> Path:
    """The file behind a connection."""
    return Path(db.conn.execute("PRAGMA database_list").fetchone()[2])


def explain(error: sqlite3.Error, path: Path) -> WorkbenchError:
    """What went wrong with the file, in words; a plain WorkbenchError where no code is known."""
    return explain_or_none(error, path) or WorkbenchError(
        f"{path}: {error}", "Run `workbench doctor`; if it goes on, report this with the message."
    )


def explain_or_none(error: sqlite3.Error, path: Path) -> WorkbenchError | None:
    """The user's view of an error of the file, or None for errors of the program."""
    code = error_code(error) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return NoSpace(f"{path}: the disk is full", "Make room on that disk, then try again.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Conflict(
            f"{path}: locked by another process",
            "Try again; if it stays locked, end the other Workbench that holds it.",
        )
    if code == sqlite3.SQLITE_IOERR:
        return NoSpace(
            f"{path}: the disk failed to read or write ({error})",
            "Check that the disk is neither full nor read-only nor gone, then try again.",
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return BadInput(
            f"{path}: cannot be opened for this ({error})",
            "Check that the folder exists and that you may write to it.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BadInput(
            f"{path}: not a sound SQLite database ({error})",
            "Move it away, or restore it from a copy; Workbench will not write to it.",
        )
    return None


def error_code(error: sqlite3.Error) -> int:
    """SQLite's extended result code, 0 where Python raised the error itself."""
    try:
        return error.sqlite_errorcode
    except AttributeError:  # typed as always there, but unset on errors raised by the module
        return 0


def storable(text: str) -> str:
    """Text that SQLite takes: lone surrogates (from broken JSON or file names) become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def path_text(path: Path | str) -> str:
    """A path as the catalogue keeps it: absolute text.

    Raises:
        BadInput: the name is not valid UTF-8, so it cannot be kept in a database.
    """
    text = os.path.abspath(path)
    if storable(text) != text:
        raise BadInput(
            f"{storable(text)}: the file name is not valid UTF-8",
            "Rename the file, then try again.",
        )
    return text


def to_json(value: object) -> str:
    """JSON text with sorted keys; ASCII only, so any string in it can be stored."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The value behind a JSON column of ours."""
    return json.loads(text)
