"""Edits: an append-only journal of primitive operations on a dataset's rows.

Knows bytes, row numbers and the order of things, so that undo works across restarts and across
saves. Does not know JSON, files or indexes: `engine.data.document` replays `unsaved` over the
file as it is now.

A row number is a 1-based position in the edited document at the moment of the edit. Undo takes
back the last edit that stands and appends its inverse as a primitive of its own; redo appends the
edit again. So the primitives since the last save, in order, always lead from the file to the
document. What stands is a stack (`done` … `done` `undone` … `undone`): a new edit drops the
undone ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from store import versions
from store.catalogue import Catalogue
from store.sqlite import rows, write
from store.versions import Version

Kind = Literal["replace", "insert", "delete"]
State = Literal["done", "undone", "dropped"]

_INVERSE: dict[Kind, Kind] = {"replace": "replace", "insert": "delete", "delete": "insert"}


@dataclass(frozen=True, slots=True)
class Edit:
    """One primitive. `before` is None for an insert, `after` for a delete.

    `reverts` names the edit that this one takes back or does again; None for a user's edit.
    """

    id: int
    dataset_id: int
    kind: Kind
    row: int
    before: bytes | None
    after: bytes | None
    reverts: int | None
    state: State
    saved: bool
    created: float


def append(
    cat: Catalogue,
    dataset_id: int,
    kind: Kind,
    row: int,
    before: bytes | None,
    after: bytes | None,
) -> Edit:
    """Record a user's edit; what had been undone can no longer be redone."""
    with write(cat.db) as db:
        db.execute(
            "UPDATE edits SET state = 'dropped' "
            "WHERE dataset_id = ? AND state = 'undone' AND reverts IS NULL",
            [dataset_id],
        )
        return _insert(cat, dataset_id, kind, row, before, after, None)


def undo(cat: Catalogue, dataset_id: int) -> Edit | None:
    """Take back the last edit that stands; returns the primitive to apply, None if none stands."""
    with write(cat.db):
        edit = _top(cat, dataset_id, "done", "DESC")
        if edit is None:
            return None
        _set_state(cat, edit.id, "undone")
        kind = _INVERSE[edit.kind]
        return _insert(cat, dataset_id, kind, edit.row, edit.after, edit.before, edit.id)


def redo(cat: Catalogue, dataset_id: int) -> Edit | None:
    """Do the edit again that was undone last; returns the primitive to apply, or None."""
    with write(cat.db):
        edit = _top(cat, dataset_id, "undone", "ASC")
        if edit is None:
            return None
        _set_state(cat, edit.id, "done")
        return _insert(cat, dataset_id, edit.kind, edit.row, edit.before, edit.after, edit.id)


def can_undo(cat: Catalogue, dataset_id: int) -> bool:
    return _top(cat, dataset_id, "done", "DESC") is not None


def can_redo(cat: Catalogue, dataset_id: int) -> bool:
    return _top(cat, dataset_id, "undone", "ASC") is not None


def unsaved(cat: Catalogue, dataset_id: int, after_id: int = 0) -> list[Edit]:
    """The primitives since the last save in order, those after `after_id` only."""
    sql = "SELECT * FROM edits WHERE dataset_id = ? AND saved = 0 AND id > ? ORDER BY id"
    return [_edit(row) for row in rows(cat.db, sql, [dataset_id, after_id])]


def last_id(cat: Catalogue, dataset_id: int) -> int:
    """The id of the newest primitive, 0 without any: tells whether another process edited."""
    sql = "SELECT coalesce(max(id), 0) AS id FROM edits WHERE dataset_id = ?"
    return int(rows(cat.db, sql, [dataset_id])[0]["id"])


def begin_save(cat: Catalogue, dataset_id: int, version: Version, upto: int | None = None) -> None:
    """Say, before the file is renamed into place, what it will be; see `recover`."""
    with write(cat.db):
        upto = last_id(cat, dataset_id) if upto is None else upto
        versions.record(cat, version, upto, saved=False)


def mark_saved(cat: Catalogue, dataset_id: int, version: Version, upto: int | None = None) -> None:
    """The file now holds every edit up to the id `upto` (all there are by default)."""
    with write(cat.db) as db:
        upto = last_id(cat, dataset_id) if upto is None else upto
        db.execute(
            "UPDATE edits SET saved = 1 WHERE dataset_id = ? AND saved = 0 AND id <= ?",
            [dataset_id, upto],
        )
        versions.record(cat, version, upto, saved=True)


def recover(cat: Catalogue, dataset_id: int, sha256: str) -> bool:
    """Settle a save that was begun and cut short, by the hash of the file as it is now.

    Returns:
        True when the file had been renamed into place: its edits now count as saved.
    """
    with write(cat.db):
        found = versions.intended(cat, dataset_id)
        if found is None:
            return False
        version, upto = found
        if version.sha256 == sha256:
            mark_saved(cat, dataset_id, version, upto)
            return True
        versions.forget_intended(cat, dataset_id)
        return False


def discard(cat: Catalogue, dataset_id: int) -> int:
    """Forget the edits since the last save for good; returns how many primitives that were.

    Edits that are in the file stand again, so they can still be undone.
    """
    with write(cat.db) as db:
        gone = len(unsaved(cat, dataset_id))
        versions.forget_intended(cat, dataset_id)
        db.execute(
            "DELETE FROM edits WHERE dataset_id = ? AND saved = 0 AND reverts IS NOT NULL",
            [dataset_id],
        )
        db.execute("DELETE FROM edits WHERE dataset_id = ? AND saved = 0", [dataset_id])
        # An edit is in the file when it was taken back and done again equally often.
        db.execute(
            "UPDATE edits SET state = CASE (SELECT count(*) FROM edits AS later "
            "WHERE later.reverts = edits.id) % 2 WHEN 0 THEN 'done' ELSE 'dropped' END "
            "WHERE dataset_id = ? AND reverts IS NULL",
            [dataset_id],
        )
        return gone


def forget(cat: Catalogue, dataset_id: int) -> None:
    """The file was changed by someone else: its journal no longer fits and is forgotten whole."""
    with write(cat.db) as db:
        versions.forget_intended(cat, dataset_id)
        db.execute("DELETE FROM edits WHERE dataset_id = ?", [dataset_id])


def _insert(
    cat: Catalogue,
    dataset_id: int,
    kind: Kind,
    row: int,
    before: bytes | None,
    after: bytes | None,
    reverts: int | None,
) -> Edit:
    created = time.time()
    cursor = cat.db.execute(
        "INSERT INTO edits (dataset_id, kind, row, before, after, reverts, state, saved, created) "
        "VALUES (?, ?, ?, ?, ?, ?, 'done', 0, ?)",
        [dataset_id, kind, row, before, after, reverts, created],
    )
    edit_id = cast(int, cursor.lastrowid)
    return Edit(edit_id, dataset_id, kind, row, before, after, reverts, "done", False, created)


def _top(cat: Catalogue, dataset_id: int, state: State, order: str) -> Edit | None:
    sql = (
        "SELECT * FROM edits WHERE dataset_id = ? AND state = ? AND reverts IS NULL "
        f"ORDER BY id {order} LIMIT 1"
    )
    found = rows(cat.db, sql, [dataset_id, state])
    return _edit(found[0]) if found else None


def _set_state(cat: Catalogue, edit_id: int, state: State) -> None:
    cat.db.execute("UPDATE edits SET state = ? WHERE id = ?", [state, edit_id])


def _edit(row: dict[str, Any]) -> Edit:
    return Edit(**{**row, "saved": bool(row["saved"])})
