"""Datasets: the files a workspace has met.

Knows a file's identity (path, device, inode, size, time) and what was learned about it. Does not
read the file, and does not know its rows (see `engine.data`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import path_text, rows, storable, write


@dataclass(frozen=True, slots=True)
class Dataset:
    """One file. `rows` and `sha256` are None until someone has counted and hashed it."""

    id: int
    path: str
    name: str
    rows: int | None
    bytes: int
    sha256: str | None
    device: int
    inode: int
    mtime_ns: int
    added: float
    opened: float


def remember(
    cat: Catalogue,
    path: Path | str,
    stat: os.stat_result,
    *,
    rows: int | None = None,
    sha256: str | None = None,
) -> Dataset:
    """Note that the file at `path` was opened; the path decides which dataset it is.

    What was known of rows and hash is kept only while size, time and inode are unchanged.

    Raises:
        BadInput: the file name is not valid UTF-8.
    """
    text, now = path_text(path), time.time()
    facts: dict[str, Any] = {
        "bytes": stat.st_size,
        "device": str(stat.st_dev),
        "inode": str(stat.st_ino),
        "mtime_ns": stat.st_mtime_ns,
    }
    with write(cat.db) as db:
        known = by_path(cat, text)
        if known is None:
            values = {"path": text, "name": Path(text).name, "added": now, "opened": now}
            db.table("datasets").insert({**values, **facts, "rows": rows, "sha256": sha256})
        else:
            same = (known.bytes, known.inode, known.mtime_ns, known.device) == (
                stat.st_size,
                stat.st_ino,
                stat.st_mtime_ns,
                stat.st_dev,
            )
            facts["rows"] = rows if rows is not None or not same else known.rows
            facts["sha256"] = sha256 if sha256 is not None or not same else known.sha256
            db.table("datasets").update(known.id, {**facts, "opened": now})
    found = by_path(cat, text)
    assert found is not None
    return found


def get(cat: Catalogue, dataset_id: int) -> Dataset:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM datasets WHERE id = ?", [dataset_id])
    if not found:
        raise NotFound(f"dataset {dataset_id} is not known here", "Open its file first.")
    return _dataset(found[0])


def by_path(cat: Catalogue, path: Path | str) -> Dataset | None:
    """The dataset of a path, or None when it was never opened here."""
    found = rows(cat.db, "SELECT * FROM datasets WHERE path = ?", [path_text(path)])
    return _dataset(found[0]) if found else None


def all(cat: Catalogue) -> list[Dataset]:
    """Every dataset, the one opened last first."""
    return [_dataset(row) for row in rows(cat.db, "SELECT * FROM datasets ORDER BY opened DESC")]


def rename(cat: Catalogue, dataset_id: int, name: str) -> Dataset:
    """Give a dataset another display name; its file is not touched."""
    with write(cat.db) as db:
        get(cat, dataset_id)
        db.table("datasets").update(dataset_id, {"name": storable(name)})
    return get(cat, dataset_id)


def _dataset(row: dict[str, Any]) -> Dataset:
    return Dataset(**{**row, "device": int(row["device"]), "inode": int(row["inode"])})
