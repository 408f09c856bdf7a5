"""The table of exports as it grew, as a migration of the catalogue.

Knows the shape.
"""

from __future__ import annotations

from store.sqlite import Database, statements
from store.tables_checks import CATALOGUE

__all__ = ["CATALOGUE"]


@CATALOGUE(name="014-export-kinds")
def _kinds(db: Database) -> None:
    """Two more kinds of export: SQLite changes a constraint by copying its table."""
    statements(
        db,
        """CREATE TABLE more_exports (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            ref TEXT NOT NULL,
            run_id INTEGER REFERENCES runs(id),
            step INTEGER,
            kind TEXT NOT NULL CHECK (kind IN
                ('gguf', 'merged', 'adapter', 'adapter-gguf', 'ollama')),
            type TEXT NOT NULL,
            path TEXT NOT NULL,
            bytes INTEGER,
            sha256 TEXT,
            status TEXT NOT NULL CHECK (status IN ('running', 'proved', 'unproved', 'failed')),
            created REAL NOT NULL,
            finished REAL,
            provenance TEXT NOT NULL CHECK (json_valid(provenance))
        ) STRICT""",
        """CREATE TABLE more_proofs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            export_id INTEGER REFERENCES more_exports(id) ON DELETE CASCADE,
            file TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            against TEXT NOT NULL,
            verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'warn', 'fail')),
            stages TEXT NOT NULL CHECK (json_valid(stages)),
            created REAL NOT NULL
        ) STRICT""",
    )
    for name in ("exports", "proofs"):
        statements(
            db,
            f"INSERT INTO more_{name} SELECT * FROM {name}",
            # Ids of what was deleted are not given again.
            f"DELETE FROM sqlite_sequence WHERE name = 'more_{name}'",
            "INSERT INTO sqlite_sequence (name, seq) "
            f"SELECT 'more_{name}', seq FROM sqlite_sequence WHERE name = '{name}'",
        )
    for name in ("proofs", "exports"):
        statements(db, f"DROP TABLE {name}", f"ALTER TABLE more_{name} RENAME TO {name}")
    db.execute("CREATE INDEX proofs_by_export ON proofs(export_id, id)")
