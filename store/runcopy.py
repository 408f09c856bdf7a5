"""The beginning of a run's database as the beginning of another's, for a fork.

Knows what of a run is still true of one that leaves it at a step: metrics and answers up to there.
Events, checkpoints and state are each run's own. Does not know why one forks.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from store.sqlite import explain

_STEPPED = ("metrics", "samples", "judged")
_OWN = ("events", "checkpoints", "state", "fits")


def copy_until(source: Path, target: Path, step: int) -> None:
    """Write `target` with the metrics and answers of `source` up to `step`.

    The source may be written meanwhile. The level of detail still reaches beyond `step` until its
    writer rewinds to there, as every start does.

    Raises:
        WorkbenchError: it cannot be read, or there is no room.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE").fetchall()
            new.execute("BEGIN IMMEDIATE")
            found = new.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            tables = {row[0] for row in found}
            for table in tables.intersection(_STEPPED):
                new.execute(f"DELETE FROM {table} WHERE step > ?", [step])
            for table in tables.intersection(_OWN):
                new.execute(f"DELETE FROM {table}")
            new.execute("COMMIT")
            new.execute("VACUUM")
    except sqlite3.DatabaseError as error:
        raise explain(error, target) from error
