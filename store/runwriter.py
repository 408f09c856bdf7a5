"""The writing side of a run database, for the training process alone.

Knows how to keep every step through a full disk and a killed process without ever stopping the
training. Does not know what trains, nor how it is read (see `store.runreader`).

One writer a file, held by a lock, and readers that never write: this is what keeps clear of the
WAL-reset corruption of SQLite 3.7 to 3.51.2 and of "database is locked".
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from store import metrics as lod
from store.errors import NoSpace, WorkbenchError
from store.identity import start_of
from store.migrations import migrate_run
from store.runrecords import Judged
from store.sqlite import Database, connect, explain, explain_or_none, storable, write
from store.writerlock import WriterLock

RETRY_SECONDS = 1.0
BATCH = 500
WAL_BYTES = 16 << 20
ENDED = ("stopped", "finished", "failed", "lost")

_CLOSE_POINTS = """INSERT OR REPLACE INTO lod
    SELECT key, 1, ?, min(step), max(step), min(value), max(value), total(value), count(value),
           count(*) - count(value)
    FROM metrics WHERE key = ? AND step >= ? AND step < ? GROUP BY key"""
_CLOSE_BUCKETS = """INSERT OR REPLACE INTO lod
    SELECT key, ?, ?, min(first), max(last), min(low), max(high), total(total), sum(n), sum(nulls)
    FROM lod WHERE key = ? AND level = ? AND bucket >= ? AND bucket < ? GROUP BY key"""
# After a rewind only buckets that end before their metric's newest point are closed.
_REOPEN = f"""DELETE FROM lod WHERE
    ((bucket + 1) << ({lod.BASE_SHIFT} + {lod.LEVEL_SHIFT} * (level - 1))) >
    coalesce((SELECT max(step) FROM metrics WHERE metrics.key = lod.key), -1)"""

Statement = tuple[str, Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class _Step:
    """Statements that belong together; `durable` ones also survive a loss of power."""

    statements: tuple[Statement, ...]
    durable: bool = False


class RunWriter:
    """The one writer of `run.db`. Its methods may be called from any thread, not from signal
    handlers.

    Nothing but `open` and `rewind` raises for a full or failing disk: rows wait in memory and are
    written when there is room again.

    Attributes:
        trouble: what keeps rows from being written, None while all is well.
    """

    def __init__(self, path: Path, db: Database, lock: WriterLock, pid: int) -> None:
        self.path = path
        self._pid = pid
        self._closed = False
        self.db = db
        self.trouble: str | None = None
        self._file_lock = lock
        self._lock = threading.RLock()
        self._queue: deque[_Step] = deque()
        self._most_pending = 0
        self._retry_at = 0.0
        self._keys: dict[str, int] = {}
        self._newest: dict[int, int] = {}
        self._load()

    @classmethod
    def open(cls, path: Path, pid: int | None = None) -> RunWriter:
        """Open or create the run database for this process.

        Args:
            pid: the process that stands for the run; None is this one. A run on several devices
                is written by one process, and stands or falls with the one that started them.
        Raises:
            Conflict: another process writes it. WorkbenchError: it cannot be made or opened.
        """
        lock = WriterLock.take(path)
        try:
            db = connect(path, any_thread=True)
        except WorkbenchError:
            lock.release()
            raise
        try:
            for pragma in (
                "busy_timeout=5000",
                "journal_mode=WAL",
                "synchronous=NORMAL",
                "foreign_keys=ON",
                f"journal_size_limit={WAL_BYTES}",
            ):
                db.execute(f"PRAGMA {pragma}").fetchall()
            migrate_run(db)
            return cls(path, db, lock, os.getpid() if pid is None else pid)
        except (sqlite3.Error, WorkbenchError) as error:
            db.close()
            lock.release()
            if isinstance(error, sqlite3.Error):
                raise explain(error, path) from error
            raise

    @property
    def pending(self) -> int:
        """How many commits wait in memory for room on the disk."""
        return len(self._queue)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of one step in one commit; NaN and infinity become gaps and an event.

        The same step again adds to it and replaces values of the same name.
        """
        step = int(step)
        with self._lock:
            statements: list[Statement] = []
            points: list[tuple[int, int, float | None]] = []
            closing: list[Statement] = []
            strange: list[str] = []
            for name, raw in values.items():
                value = float(raw)
                key = self._key(name, statements)
                finite = math.isfinite(value)
                points.append((key, step, value if finite else None))
                if not finite:
                    strange.append(f"{name} is {value}")
                closing += self._close(key, step)
            statements.append(("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)", points))
            statements += closing
            now = time.time()
            beat = "UPDATE state SET step = max(step, ?), heartbeat = ?"
            statements.append((beat, [(step, now)]))
            if strange:
                text = f"step {step}: {', '.join(strange)}"
                statements.append(_event(now, "error", "not-finite", text, step))
            self._commit(_Step(tuple(statements)))

    def sample(self, step: int, prompt: str, model: str, text: str, tokens: int, stop: str) -> None:
        """Record what the model answers to a probe at `step`."""
        sql = (
            "INSERT INTO samples (step, prompt, model, text, tokens, stop, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        row = (int(step), storable(prompt), storable(model), storable(text), int(tokens), stop)
        self._commit(_Step(((sql, [(*row, time.time())]),)))

    def judged(self, step: int, suite: str, model: str, answers: Iterable[Judged]) -> None:
        """Record the answers of `base` or `adapter` to a check suite at `step`."""
        sql = "INSERT OR REPLACE INTO judged VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        key = (int(step), storable(suite), model)
        rows = [(*key, a.place, a.verdict, storable(a.text), a.tokens, a.stop) for a in answers]
        self._commit(_Step(((sql, rows),)))

    def checkpoint(
        self,
        step: int,
        path: Path | str,
        bytes: int,
        manifest_sha256: str,
        eval_loss: float | None = None,
    ) -> None:
        """Record a complete checkpoint; a path inside the run's folder is kept relative to it."""
        folder = Path(os.path.abspath(self.path)).parent
        place = Path(os.path.abspath(folder / path))
        kept = str(place.relative_to(folder) if place.is_relative_to(folder) else place)
        sql = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)"
        loss = None if eval_loss is None else float(eval_loss)
        row = (int(step), storable(kept), int(bytes), manifest_sha256, loss, time.time())
        self._commit(_Step(((sql, [row]),), durable=True))

    def drop_checkpoint(self, step: int) -> None:
        """Forget a checkpoint whose folder was removed."""
        self._commit(_Step((("DELETE FROM checkpoints WHERE step = ?", [(int(step),)]),)))

    def event(
        self,
        kind: str,
        text: str,
        level: Literal["info", "warn", "error"] = "info",
        step: int | None = None,
    ) -> None:
        """Record something a person may want to read later."""
        self._commit(_Step((_event(time.time(), level, kind, text, step),)))

    def fit(
        self,
        kind: Literal["estimate", "probe", "measured"],
        step: int,
        peak_bytes: int,
        seconds: float | None,
        detail: Mapping[str, Any],
    ) -> None:
        """Record how much memory and time was expected or measured.

        Args:
            seconds: of one optimizer step; None where it was not measured.
            detail: JSON values, e.g. the peak by parts.
        """
        sql = (
            "INSERT INTO fits (created, kind, step, peak_bytes, seconds, detail) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        row = (time.time(), kind, int(step), int(peak_bytes), seconds, json.dumps(dict(detail)))
        self._commit(_Step(((sql, [row]),)))

    def state(
        self,
        status: str,
        *,
        step: int | None = None,
        total_steps: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Set the run's status; `step` and `total_steps` stay as they are where not given."""
        now = time.time()
        sql = (
            "UPDATE state SET status = ?, step = coalesce(?, step), "
            "total_steps = coalesce(?, total_steps), reason = ?, heartbeat = ?, "
            "started = coalesce(started, ?), finished = ?"
        )
        started = now if status == "running" else None
        finished = now if status in ENDED else None
        text = None if reason is None else storable(reason)
        row = (status, step, total_steps, text, now, started, finished)
        self._commit(_Step(((sql, [row]),), durable=True))

    def heartbeat(self) -> None:
        """Say that the process lives."""
        self._commit(_Step((("UPDATE state SET heartbeat = ?", [(time.time(),)]),)))

    def rewind(self, step: int) -> None:
        """Forget metrics, samples and checkpoints beyond `step`, as a resume from there needs.

        Raises:
            WorkbenchError: the disk is full or fails; nothing was forgotten then.
        """
        with self._lock:
            if not self.flush():
                raise NoSpace(f"{self.trouble}", "Make room on that disk, then resume again.")
            with write(self.db) as db:
                for table in ("metrics", "samples", "judged", "checkpoints"):
                    db.execute(f"DELETE FROM {table} WHERE step > ?", [step])
                db.execute(_REOPEN)
                db.execute("UPDATE state SET step = ?, heartbeat = ?", [step, time.time()])
            self._load()

    def flush(self) -> bool:
        """Try to write what waits in memory; True when nothing is left."""
        with self._lock:
            while self._queue:
                batch = list(islice(self._queue, BATCH))
                try:
                    self._write(batch)
                except sqlite3.DatabaseError as error:
                    self._hold(error)
                    return False
                for _ in batch:
                    self._queue.popleft()
            if self.trouble:
                text = f"{self.trouble}: {self._most_pending} commits waited in memory, all written"
                self.trouble, self._most_pending = None, 0
                self.event("disk", text, "warn")
            return not self._queue

    def close(self) -> int:
        """Write what waits, close, and leave a single plain file where no reader is in the way.

        A second call does nothing.

        Returns:
            How many commits could not be written: 0 unless the disk is still full.
        """
        with self._lock:
            if self._closed:
                return len(self._queue)
            self._closed = True
            self.flush()
            lost = len(self._queue)
            try:
                self.db.execute("PRAGMA busy_timeout=0").fetchall()
                self.db.execute("PRAGMA journal_mode=DELETE").fetchall()
            except sqlite3.OperationalError:
                pass  # a reader is at it, or the disk is full: then it stays in WAL mode
            self.db.close()
            self._file_lock.release()
            return lost

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> None:
        """Read back what is known and sign the state row as the run's process."""
        me = self._pid
        sql = (
            "INSERT INTO state (id, status, step, pid, process_started, heartbeat) "
            "VALUES (1, 'queued', 0, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "pid = excluded.pid, process_started = excluded.process_started, "
            "heartbeat = excluded.heartbeat"
        )
        with write(self.db) as db:
            db.execute(sql, [me, start_of(me), time.time()])
        self._keys = dict(self.db.execute("SELECT name, id FROM keys").fetchall())
        newest = "SELECT key, max(step) FROM metrics WHERE key = ? GROUP BY key"
        self._newest = {}
        for key in self._keys.values():
            self._newest.update(self.db.execute(newest, [key]).fetchall())

    def _key(self, name: str, statements: list[Statement]) -> int:
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = len(self._keys) + 1
            sql = "INSERT INTO keys (id, name) VALUES (?, ?)"
            statements.append((sql, [(key, storable(name))]))
        return key

    def _close(self, key: int, step: int) -> list[Statement]:
        """The statements that compute closed buckets of the level of detail anew."""
        newest = self._newest.get(key)
        statements: list[Statement] = []
        for level, bucket in lod.closed_by(newest, step):
            if level == 1:
                size = lod.width(1)
                row = (bucket, key, bucket * size, (bucket + 1) * size)
                statements.append((_CLOSE_POINTS, [row]))
            else:
                fan = 1 << lod.LEVEL_SHIFT
                span = (level, bucket, key, level - 1, bucket * fan, (bucket + 1) * fan)
                statements.append((_CLOSE_BUCKETS, [span]))
        if newest is None or step > newest:
            self._newest[key] = step
        return statements

    def _commit(self, step: _Step) -> None:
        with self._lock:
            self._queue.append(step)
            if self.trouble and time.monotonic() < self._retry_at:
                self._most_pending = len(self._queue)
            else:
                self.flush()

    def _write(self, batch: list[_Step]) -> None:
        connection = self.db.conn
        durable = any(step.durable for step in batch)
        if durable:
            connection.execute("PRAGMA synchronous=FULL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            for step in batch:
                for sql, rows in step.statements:
                    connection.executemany(sql, rows)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if durable:
                connection.execute("PRAGMA synchronous=NORMAL")

    def _hold(self, error: sqlite3.DatabaseError) -> None:
        known = explain_or_none(error, self.path)
        if known is None:
            raise error  # a defect of ours, no state of the disk
        self.trouble = known.message
        self._most_pending = len(self._queue)
        self._retry_at = time.monotonic() + RETRY_SECONDS


def _event(now: float, level: str, kind: str, text: str, step: int | None) -> Statement:
    sql = "INSERT INTO events (created, level, kind, text, step) VALUES (?, ?, ?, ?, ?)"
    return sql, [(now, level, kind, storable(text), step)]
