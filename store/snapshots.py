"""Snapshots: exactly the rows a run was trained on, named by their content.

Knows the record. Does not know how the parts are made or where a row went (see
`engine.data.split.snapshot`, and `meta.json` in the snapshot's folder).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, path_text, rows, to_json, write


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A content-addressed folder; `rows` counts the source, the parts count what is in them."""

    sha256: str
    dataset_id: int | None
    source: str
    rows: int
    train_rows: int
    eval_rows: int
    bytes: int
    path: str
    split: dict[str, Any]
    created: float = field(default_factory=time.time)
    test_rows: int = 0


def record(cat: Catalogue, snapshot: Snapshot) -> Snapshot:
    """Keep a snapshot; the same content twice is one snapshot, the first record stays."""
    with write(cat.db) as db:
        db.execute(
            "INSERT INTO snapshots (sha256, dataset_id, source, rows, train_rows, eval_rows, "
            "bytes, path, split, created, test_rows) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (sha256) DO NOTHING",
            [
                snapshot.sha256,
                snapshot.dataset_id,
                path_text(snapshot.source),
                snapshot.rows,
                snapshot.train_rows,
                snapshot.eval_rows,
                snapshot.bytes,
                path_text(snapshot.path),
                to_json(snapshot.split),
                snapshot.created,
                snapshot.test_rows,
            ],
        )
        return get(cat, snapshot.sha256)


def forget_unused(cat: Catalogue, sha256: str) -> bool:
    """Drop the record of a snapshot that no run was made from; True where it was dropped."""
    with write(cat.db) as db:
        cursor = db.execute(
            "DELETE FROM snapshots WHERE sha256 = ? "
            "AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.snapshot = snapshots.sha256)",
            [sha256],
        )
        return cursor.rowcount > 0


def get(cat: Catalogue, sha256: str) -> Snapshot:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM snapshots WHERE sha256 = ?", [sha256])
    if not found:
        raise NotFound(
            f"snapshot {sha256[:12]} is not in this workspace", "Train from the file again."
        )
    return _snapshot(found[0])


def all(cat: Catalogue) -> list[Snapshot]:
    """Every snapshot, newest first."""
    return [_snapshot(row) for row in rows(cat.db, "SELECT * FROM snapshots ORDER BY created DESC")]


def _snapshot(row: dict[str, Any]) -> Snapshot:
    return Snapshot(**{**row, "split": from_json(row["split"])})
