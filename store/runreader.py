"""The reading side of a run database, for every interface and any number of them.

Knows how to look without ever being in the writer's way: read-only, no checkpoint, every query
fetched to its end. Does not know whether the writer lives (see `engine.train.client`).

A database that is not there yet, or has no tables yet, reads as empty.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from store import metrics as lod
from store import pins
from store.errors import BadInput
from store.metrics import Series, Trace
from store.runrecords import Checkpoint, Event, Fit, Judged, News, RunState, Sample, Seen
from store.runseries import ROWS_AT_ONCE, read_series
from store.sqlite import error_code, explain

__all__ = ["ROWS_AT_ONCE", "RunReader"]

BUSY_SECONDS = 1.0
_CANNOT_SHARE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NAMES = "SELECT name FROM keys ORDER BY id"
_SAMPLES = (
    "SELECT id, step, prompt, model, text, tokens, stop, created FROM samples "
    "WHERE id > ? ORDER BY id"
)
_CHECKPOINTS = (
    "SELECT step, path, bytes, manifest_sha256, eval_loss, created FROM checkpoints ORDER BY step"
)
_EVENTS = "SELECT id, created, level, kind, text, step FROM events WHERE id > ? ORDER BY id"
_FITS = "SELECT created, kind, step, peak_bytes, seconds, detail FROM fits ORDER BY id"
_JUDGED = (
    "SELECT place, verdict, text, tokens, stop FROM judged "
    "WHERE suite = ? AND model = ? AND step = ? ORDER BY place"
)
_STATE = (
    "SELECT status, step, total_steps, reason, pid, process_started, heartbeat, started, "
    "finished FROM state"
)

T = TypeVar("T")


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
        return [row[0] for row in self._rows(_NAMES)]

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
            return lod.series(name, *read_series(connection, name, start, stop, points))

        return self._run(work, lod.series(name, (), points, None))

    def look(self, names: Iterable[str] | None = None, points: int = 600) -> News:
        """Everything a panel shows, in one transaction, the metrics as traces to be added to.

        Args:
            names: the metrics wanted; None takes all there are.
        """

        def work(connection: sqlite3.Connection) -> News:
            known = [row[0] for row in connection.execute(_NAMES).fetchall()]
            wanted = known if names is None else [name for name in names if name in known]
            traces = {}
            for name in wanted:
                buckets, _, last = read_series(connection, name, None, None, points)
                traces[name] = Trace(name, points, buckets, last)
            return News(traces, {}, *self._records(connection, Seen()))

        return self._run(work, News({}, {}, None, [], [], []))

    def since(self, steps: Mapping[str, int], seen: Seen) -> News:
        """What was written after a look: points beyond `steps` of those metrics, and records.

        A metric that is not in `steps` comes whole, as a trace of no points with its points as
        news; what a resume took back is not told (see `RunFeed`).
        """

        def work(connection: sqlite3.Connection) -> News:
            points = {}
            for key, name in connection.execute("SELECT id, name FROM keys ORDER BY id").fetchall():
                sql = "SELECT step, value FROM metrics WHERE key = ? AND step > ? ORDER BY step"
                found = connection.execute(sql, [key, steps.get(name, -1)]).fetchall()
                if found:
                    points[name] = found
            return News({}, points, *self._records(connection, seen))

        return self._run(work, News({}, {}, None, [], [], []))

    def _records(
        self, connection: sqlite3.Connection, seen: Seen
    ) -> tuple[RunState | None, list[Sample], list[Event], list[Checkpoint]]:
        state = connection.execute(_STATE).fetchall()
        samples = connection.execute(_SAMPLES, [seen.sample]).fetchall()
        events = connection.execute(_EVENTS, [seen.event]).fetchall()
        kept = connection.execute(_CHECKPOINTS).fetchall()
        return (
            RunState(*state[0]) if state else None,
            [Sample(*row) for row in samples],
            [Event(*row) for row in events],
            self._saved(kept),
        )

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
        return [Sample(*row) for row in self._rows(_SAMPLES, after_id)]

    def judged(self, suite: str, model: str, step: int) -> list[Judged]:
        """Answers of `base` or `adapter` to a check suite; none where it was not asked then."""
        return [Judged(*row) for row in self._rows(_JUDGED, suite, model, step)]

    def checkpoints(self) -> list[Checkpoint]:
        """Checkpoints that are whole, in order of steps."""
        return self._saved(self._rows(_CHECKPOINTS))

    def _saved(self, rows: list[tuple]) -> list[Checkpoint]:  # type: ignore[type-arg]
        folder = self.path.parent
        kept = pins.pinned(folder)
        return [
            Checkpoint(step, str(folder / path), *rest, pinned=step in kept)  # type: ignore[misc]
            for step, path, *rest in rows
        ]

    def events(self, after_id: int = 0) -> list[Event]:
        """Events in order, those after `after_id` only."""
        return [Event(*row) for row in self._rows(_EVENTS, after_id)]

    def fits(self) -> list[Fit]:
        """What memory and time were expected and measured, in order; empty in older runs."""
        rows = self._rows(_FITS)
        return [Fit(*(*row[:5], json.loads(row[5]))) for row in rows]

    def state(self) -> RunState | None:
        """What the training process said last, None before its first word."""
        found = self._rows(_STATE)
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
