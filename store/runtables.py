"""The tables of a run database, as named migrations; `store.migrations` applies them.

Knows the shape. Does not know what is done with it (see `store.runwriter` and `store.runreader`).
"""

from __future__ import annotations

from store.sqlite import Database, Migrations, statements

RUN = Migrations("run")


@RUN(name="001-run")
def _run(db: Database) -> None:
    statements(
        db,
        "CREATE TABLE keys (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
        """CREATE TABLE metrics (
            key INTEGER NOT NULL REFERENCES keys(id),
            step INTEGER NOT NULL,
            value REAL,                -- NULL: not a number, or infinite
            PRIMARY KEY (key, step)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE lod (
            key INTEGER NOT NULL REFERENCES keys(id),
            level INTEGER NOT NULL,
            bucket INTEGER NOT NULL,   -- step // store.metrics.width(level)
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            low REAL,
            high REAL,
            total REAL NOT NULL,
            n INTEGER NOT NULL,        -- finite values
            nulls INTEGER NOT NULL,
            PRIMARY KEY (key, level, bucket)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE samples (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            step INTEGER NOT NULL,
            prompt TEXT NOT NULL,
            model TEXT NOT NULL,
            text TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            stop TEXT NOT NULL,
            created REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE checkpoints (
            step INTEGER PRIMARY KEY,
            path TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            manifest_sha256 TEXT NOT NULL,
            eval_loss REAL,
            created REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            created REAL NOT NULL,
            level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            step INTEGER
        ) STRICT""",
        """CREATE TABLE state (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            status TEXT NOT NULL,
            step INTEGER NOT NULL,
            total_steps INTEGER,
            reason TEXT,
            pid INTEGER NOT NULL,
            process_started REAL NOT NULL,
            heartbeat REAL NOT NULL,
            started REAL,
            finished REAL
        ) STRICT""",
    )


@RUN(name="002-fits")
def _fits(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE fits (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            created REAL NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('estimate', 'probe', 'measured')),
            step INTEGER NOT NULL,
            peak_bytes INTEGER NOT NULL,
            seconds REAL,              -- of one optimizer step
            detail TEXT NOT NULL CHECK (json_valid(detail))
        ) STRICT""",
    )


@RUN(name="003-judged")
def _judged(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE judged (
            step INTEGER NOT NULL,
            suite TEXT NOT NULL,
            model TEXT NOT NULL CHECK (model IN ('base', 'adapter')),
            place INTEGER NOT NULL,    -- of the prompt in its suite
            verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'error')),
            text TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            stop TEXT NOT NULL,
            PRIMARY KEY (step, suite, model, place)
        ) STRICT, WITHOUT ROWID""",
    )


@RUN(name="004-skipped")
def _skipped(db: Database) -> None:
    columns = "step, suite, model, place, verdict, text, tokens, stop"
    statements(
        db,
        """CREATE TABLE outcomes (
            step INTEGER NOT NULL,
            suite TEXT NOT NULL,
            model TEXT NOT NULL CHECK (model IN ('base', 'adapter')),
            place INTEGER NOT NULL,    -- of the prompt in its suite
            verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'skipped', 'error')),
            text TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            stop TEXT NOT NULL,
            PRIMARY KEY (step, suite, model, place)
        ) STRICT, WITHOUT ROWID""",
        f"INSERT INTO outcomes ({columns}) SELECT {columns} FROM judged",
        "DROP TABLE judged",
        "ALTER TABLE outcomes RENAME TO judged",
    )
