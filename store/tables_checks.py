"""The catalogue's tables about check suites that run as jobs, as named migrations.

Knows the shape. Does not know what is done with it (see `store.checkjobs`, `store.labels`).
"""

from __future__ import annotations

from store.sqlite import Database, statements
from store.tables_chat import CATALOGUE

__all__ = ["CATALOGUE"]


@CATALOGUE(name="013-check-jobs")
def _jobs(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE check_jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            suites TEXT NOT NULL CHECK (json_valid(suites)),   -- files, each with its tags
            models TEXT NOT NULL CHECK (json_valid(models)),   -- references with their step
            device TEXT NOT NULL CHECK (device IN ('auto', 'cpu')),
            status TEXT NOT NULL CHECK (status IN
                ('waiting', 'running', 'finished', 'stopped', 'failed')),
            saying TEXT NOT NULL DEFAULT '',   -- what is done now, or why it ended
            hint TEXT NOT NULL DEFAULT '',
            done INTEGER NOT NULL DEFAULT 0,
            total INTEGER NOT NULL DEFAULT 0,
            first_done INTEGER NOT NULL DEFAULT 0,   -- `done` when it began
            pid INTEGER,
            process_started REAL,
            created REAL NOT NULL,
            began REAL,                -- when the first answer was awaited
            finished REAL
        ) STRICT""",
        "CREATE INDEX check_jobs_open ON check_jobs(id) WHERE finished IS NULL",
        """CREATE TABLE unanswered (
            key TEXT PRIMARY KEY,      -- as in answers: what cannot be answered, and why
            message TEXT NOT NULL,
            hint TEXT NOT NULL,
            created REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE labels (
            key TEXT PRIMARY KEY,  -- of rubric, question and answer: see engine.checks.people
            good INTEGER NOT NULL CHECK (good IN (0, 1)),
            created REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
    )
