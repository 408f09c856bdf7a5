"""Versions: what a dataset's file was as it was found, and at each save.

Knows hash, size and the step of the journal that a file held, and whether a save was only
intended. Does not know how a file is written (see `engine.data.document`).

A save has two steps so that a crash between them is harmless: `edits.begin_save` before the
rename, `edits.mark_saved` after it. `edits.recover` settles a save that was cut short.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import rows, write


@dataclass(frozen=True, slots=True)
class Kept:
    """A version with its place in the journal: the step it holds, and how often the file had been
    changed by others before it."""

    id: int
    version: Version
    upto: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Version:
    """The content of a dataset's file.

    `sha256` is `xxh128:…` for a large file that Workbench found and did not write.
    """

    dataset_id: int
    sha256: str
    rows: int
    bytes: int
    created: float = field(default_factory=time.time)


def record(cat: Catalogue, version: Version, upto: int, epoch: int, *, saved: bool) -> None:
    """Note a version that holds every edit up to the step `upto`; it settles what was intended."""
    values = {
        "dataset_id": version.dataset_id,
        "sha256": version.sha256,
        "rows": version.rows,
        "bytes": version.bytes,
        "upto": upto,
        "epoch": epoch,
        "state": "saved" if saved else "intended",
        "created": version.created,
    }
    with write(cat.db) as db:
        forget_intended(cat, version.dataset_id)
        db.table("versions").insert(values)


def intended(cat: Catalogue, dataset_id: int) -> tuple[Version, int] | None:
    """A save that was begun and neither confirmed nor given up: the version and its last edit."""
    sql = (
        "SELECT dataset_id, sha256, rows, bytes, created, upto FROM versions "
        "WHERE dataset_id = ? AND state = 'intended' ORDER BY id DESC LIMIT 1"
    )
    found = rows(cat.db, sql, [dataset_id])
    if not found:
        return None
    upto = found[0].pop("upto")
    return Version(**found[0]), upto


def forget_intended(cat: Catalogue, dataset_id: int) -> None:
    """Give up on a save that was begun."""
    with write(cat.db) as db:
        db.execute("DELETE FROM versions WHERE dataset_id = ? AND state = 'intended'", [dataset_id])


def all(cat: Catalogue, dataset_id: int) -> list[Version]:
    """Every saved version of a dataset, newest first."""
    return [kept.version for kept in kept(cat, dataset_id)]


def kept(cat: Catalogue, dataset_id: int) -> list[Kept]:
    """Every saved version with its place in the journal, newest first."""
    sql = (
        "SELECT id, dataset_id, sha256, rows, bytes, created, upto, epoch FROM versions "
        "WHERE dataset_id = ? AND state = 'saved' ORDER BY id DESC"
    )
    return [
        Kept(row.pop("id"), upto=row.pop("upto"), epoch=row.pop("epoch"), version=Version(**row))
        for row in rows(cat.db, sql, [dataset_id])
    ]


def get(cat: Catalogue, version_id: int) -> Kept:
    """Raises: NotFound."""
    sql = (
        "SELECT id, dataset_id, sha256, rows, bytes, created, upto, epoch FROM versions "
        "WHERE id = ?"
    )
    found = rows(cat.db, sql, [version_id])
    if not found:
        raise NotFound(f"there is no version {version_id}", "List them: data versions FILE.")
    row = found[0]
    return Kept(row.pop("id"), upto=row.pop("upto"), epoch=row.pop("epoch"), version=Version(**row))
