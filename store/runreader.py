"""The reading side of a run database, for every interface and any number of them.

Knows how to look without ever being in the writer's way: read-only, no checkpoint, every query
fetched to its end. Does not know whether the writer lives (see `engine.train.client`).

A database that is not there yet, or has no tables yet, reads as empty.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from store import metrics as lod
from store.errors import BadInput
from store.metrics import Bucket, Series
from store.sqlite import error_code, explain

ROWS_AT_ONCE = 16_384
BUSY_SECONDS = 1.0
_CANNOT_SHARE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_POINTS = (
    "SELECT step, step, value, value, coalesce(value, 0.0), value IS NOT NULL, value IS NULL "
    "FROM metrics WHERE key = ? AND step >= ? AND step <= ? ORDER BY step"
)
_BUCKETS = (
    "SELECT first, last, low, high, total, n, nulls FROM lod "
    "WHERE key = ? AND level = ? AND bucket >= ? AND bucket < ? ORDER BY bucket"
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model answered to a probe at a step."""

    id: int
    step: int
    prompt: str
    model: str
    text: str
    tokens: int
    stop: str
    created: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint; `path` is absolute, also after the run's folder was moved."""

    step: int
    path: str
    bytes: int
    manifest_sha256: str
    eval_loss: float | None
    created: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `level` is info, warn or error."""

    id: int
    created: float
    level: str
    kind: str
    text: str
    step: int | None


@dataclass(frozen=True, slots=True)
class RunState:
    """What the training process said of itself last. `heartbeat` is when."""

    status: str
    step: int
    total_steps: int | None
    reason: str | None
    pid: int
    process_started: float
    heartbeat: float
    started: float | None
    finished: float | None


class RunReader:
    """A view of one `run.db`. Cheap to make, safe to keep, usable from any thread.

    Every method raises WorkbenchError where the file is damaged, locked or on a failing disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @classmethod
    def open(cls, path: Path) -> RunReader:
        """A reader of the file at `path`, which may not exist yet."""
        return cls(path)

    def close(self) -> None:
        with self._lock:
            self._forget()

    def __enter__(self) -> RunReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def names(self) -> list[str]:
        """The metrics this run has, in the order they appeared."""
        return [row[0] for row in self._rows("SELECT name FROM keys ORDER BY id")]

    def series(
        self,
        name: str,
        start: int | None = None,
        stop: int | None = None,
        points: int = 2000,
    ) -> Series:
        """A metric from step `start` to step `stop` (both included) in at most `points` buckets.

        Exact where there are few points, from the level of detail where there are many. An
        unknown name gives an empty series.
        """

        def work(connection: sqlite3.Connection) -> Series:
            found = connection.execute("SELECT id FROM keys WHERE name = ?", [name]).fetchall()
            if not found:
                return lod.series(name, (), points, None)
            key = found[0][0]
            first, newest = connection.execute(
                "SELECT (SELECT min(step) FROM metrics WHERE key = ?1), "
                "(SELECT max(step) FROM metrics WHERE key = ?1)",
                [key],
            ).fetchall()[0]
            if newest is None:
                return lod.series(name, (), points, None)
            low = first if start is None else max(first, start)
            high = newest if stop is None else min(newest, stop)
            buckets = _cover(connection, key, low, high, _level(connection, key, low, high))
            sql = "SELECT step, value FROM metrics WHERE key = ? AND step = ?"
            last = connection.execute(sql, [key, newest]).fetchall()[0]
            return lod.series(name, buckets, points, last)

        return self._run(work, lod.series(name, (), points, None))

    def exact(self, name: str, limit: int | None = None) -> list[tuple[int, float | None]]:
        """The newest `limit` points of a metric (all by default) in order of steps."""
        sql = (
            "SELECT step, value FROM metrics WHERE key = (SELECT id FROM keys WHERE name = ?) "
            "ORDER BY step DESC LIMIT ?"
        )
        return self._rows(sql, name, -1 if limit is None else limit)[::-1]

    def last(self) -> dict[str, tuple[int, float | None]]:
        """The newest point of every metric."""
        sql = (
            "SELECT name, step, value FROM keys JOIN metrics ON key = id AND step = "
            "(SELECT max(step) FROM metrics WHERE key = id) ORDER BY id"
        )
        return {name: (step, value) for name, step, value in self._rows(sql)}

    def samples(self, after_id: int = 0) -> list[Sample]:
        """Answers to probes in order, those after `after_id` only."""
        sql = (
            "SELECT id, step, prompt, model, text, tokens, stop, created FROM samples "
            "WHERE id > ? ORDER BY id"
        )
        return [Sample(*row) for row in self._rows(sql, after_id)]

    def checkpoints(self) -> list[Checkpoint]:
        """Checkpoints that are whole, in order of steps."""
        sql = (
            "SELECT step, path, bytes, manifest_sha256, eval_loss, created FROM checkpoints "
            "ORDER BY step"
        )
        folder = self.path.parent
        return [Checkpoint(row[0], str(folder / row[1]), *row[2:]) for row in self._rows(sql)]

    def events(self, after_id: int = 0) -> list[Event]:
        """Events in order, those after `after_id` only."""
        sql = "SELECT id, created, level, kind, text, step FROM events WHERE id > ? ORDER BY id"
        return [Event(*row) for row in self._rows(sql, after_id)]

    def state(self) -> RunState | None:
        """What the training process said last, None before its first word."""
        sql = (
            "SELECT status, step, total_steps, reason, pid, process_started, heartbeat, started, "
            "finished FROM state"
        )
        found = self._rows(sql)
        return RunState(*found[0]) if found else None

    # Any: rows of SQLite, given their types by the records above.
    def _rows(self, sql: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        return self._run(lambda connection: connection.execute(sql, parameters).fetchall(), [])

    def _run(self, work: Callable[[sqlite3.Connection], T], empty: T) -> T:
        """Do `work` in one short read transaction; `empty` while there is nothing to read."""
        with self._lock:
            try:
                connection = self._shared()
                return empty if connection is None else _read(connection, work, empty)
            except sqlite3.DatabaseError as error:
                self._forget()
                if error_code(error) & 0xFF not in _CANNOT_SHARE:
                    raise explain(error, self.path) from error
            try:
                with contextlib.closing(self._alone()) as connection:
                    return _read(connection, work, empty)
            except sqlite3.DatabaseError as error:
                if error_code(error) & 0xFF not in _CANNOT_SHARE:
                    raise explain(error, self.path) from error
                raise BadInput(
                    f"{self.path}: cannot be read where it lies ({error})",
                    "Copy the run's folder to a disk that has room and is not read-only.",
                ) from error

    def _shared(self) -> sqlite3.Connection | None:
        """The connection, made anew when the file is another one than before."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            self._forget()
            return None
        identity = (status.st_dev, status.st_ino)
        if self._connection is None or identity != self._identity:
            self._forget()
            self._connection = self._connect("mode=ro")
            self._identity = identity
        return self._connection

    def _alone(self) -> sqlite3.Connection:
        """A connection for when the shared memory of WAL mode cannot be had.

        On a full disk nobody can make the -shm file, in a read-only folder neither. Without a
        writer, an exclusive connection keeps that index in its own memory; where the -wal is
        empty, the file may be taken as it lies.
        """
        wal = Path(f"{self.path}-wal")
        if not (wal.exists() and wal.stat().st_size):
            return self._connect("immutable=1")
        connection = self._connect("mode=rw")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        return connection

    def _connect(self, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{options}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only=1")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        return connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._identity = None


def _read(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], empty: T) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return empty
        raise
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _level(connection: sqlite3.Connection, key: int, low: int, high: int) -> int:
    """The finest level with a handful of rows in the range."""
    for level in range(lod.LEVELS + 1):
        if level == 0:
            inner = "SELECT 1 FROM metrics WHERE key = ? AND step >= ? AND step <= ?"
            bounds = [key, low, high]
        else:
            inner = "SELECT 1 FROM lod WHERE key = ? AND level = ? AND bucket >= ? AND bucket <= ?"
            bounds = [key, level, lod.bucket_of(low, level), lod.bucket_of(high, level)]
        sql = f"SELECT count(*) FROM ({inner} LIMIT ?)"
        if connection.execute(sql, [*bounds, ROWS_AT_ONCE + 1]).fetchone()[0] <= ROWS_AT_ONCE:
            return level
    return lod.LEVELS


def _cover(
    connection: sqlite3.Connection, key: int, low: int, high: int, level: int
) -> list[Bucket]:
    """Buckets that cover steps `low` to `high`: closed ones inside, finer ones at both ends."""
    if low > high:
        return []
    if level == 0:
        return [Bucket(*row) for row in connection.execute(_POINTS, [key, low, high]).fetchall()]
    size = lod.width(level)
    begin, end = -(-low // size), (high + 1) // size
    inside = [
        Bucket(*row) for row in connection.execute(_BUCKETS, [key, level, begin, end]).fetchall()
    ]
    if not inside:
        return _cover(connection, key, low, high, level - 1)
    before = lod.bucket_of(inside[0].first, level) * size - 1
    after = (lod.bucket_of(inside[-1].last, level) + 1) * size
    return [
        *_cover(connection, key, low, before, level - 1),
        *inside,
        *_cover(connection, key, after, high, level - 1),
    ]
