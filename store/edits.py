"""Edits: a journal of what was done to a dataset's rows, as a tree of steps.

Knows bytes, row numbers and the order of things, so that undo works across restarts, saves and
files. Does not know JSON, files or indexes: `engine.data.document` lays the edits over the file.

A step is one thing to undo: any number of primitive edits, each on the document as the ones before
it left it. A step lies on its base (0: the file as it was first opened) and undo goes back to its
parent, which is the same but where an earlier version was restored. Each dataset has a head, the
step that the document shows, and remembers which step its file holds; the edits on the way from the
one to the other are the unsaved ones. Undo, redo and restoring only move the head, so they cost
nothing however large the step, and every state a file ever had stays in reach. Ids grow from a
step to those that lie on it, in all datasets together, so that several files undo in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from store import versions
from store.catalogue import Catalogue
from store.errors import Conflict
from store.sqlite import rows, storable, write
from store.steps import (
    Edit,
    NotThereError,
    Position,
    Step,
    Way,
    along,
    aside,
    at,
    exists,
    get,
    history,
    moment,
    outside_since,
    position,
    traces,
    upwards,
    way,
)
from store.versions import Version

__all__ = [
    "Draft",
    "Edit",
    "NotThereError",
    "Position",
    "Step",
    "Way",
    "along",
    "append",
    "aside",
    "at",
    "begin_save",
    "discard",
    "exists",
    "forget_undone",
    "get",
    "history",
    "mark_saved",
    "moment",
    "outside",
    "outside_since",
    "position",
    "recover",
    "redo",
    "stop_undo",
    "traces",
    "undo",
    "upwards",
    "way",
]

Event = Literal["edit", "undo", "redo", "save", "discard", "outside", "grew", "floor"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A step to be: see `Step` for what its attributes mean.

    `base` and `parent` are the head by default; `batch` is the id of the step of another file
    that it is made together with. `row` is the lowest that is edited and `rows` how many edits
    there are, where not given; the edits are read once, and written as they come.
    """

    label: str
    edits: Iterable[Edit] = ()
    row: int | None = None
    rows: int | None = None
    batch: int = 0
    base: int | None = None
    parent: int | None = None
    restores: int | None = None
    moves: bool = False
    aside: bool = False


class _Counted:
    """Edits as they go by."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        self._edits = edits
        self.count = 0
        self.lowest = 1

    def __iter__(self) -> Iterator[Edit]:
        for edit in self._edits:
            self.lowest = min(self.lowest, edit.row) if self.count else edit.row
            self.count += 1
            yield edit


def append(cat: Catalogue, dataset_id: int, new: Draft) -> Step:
    """Record a step on the head; what had been undone can no longer be redone."""
    with write(cat.db) as db:
        head = position(cat, dataset_id).head
        parent = head if new.parent is None else new.parent
        values = {
            "dataset_id": dataset_id,
            "parent": parent,
            "base": parent if new.base is None else new.base,
            "batch": new.batch,
            "label": storable(new.label),
            "row": new.row or 1,
            "rows": new.rows or 0,
            "restores": new.restores,
            "moves": int(new.moves),
            "aside": int(new.aside),
            "created": time.time(),
        }
        signs = ", ".join("?" * len(values))
        cursor = db.execute(
            f"INSERT INTO steps ({', '.join(values)}) VALUES ({signs})", list(values.values())
        )
        step_id = cast(int, cursor.lastrowid)
        if not new.batch:
            db.execute("UPDATE steps SET batch = id WHERE id = ?", [step_id])
        made = _Counted(new.edits)
        db.conn.executemany(
            "INSERT INTO edits (step_id, kind, row, anchor, after, before) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((step_id, e.kind, e.row, e.anchor, e.after, e.before) for e in made),
        )
        row = made.lowest if new.row is None else new.row
        count = made.count if new.rows is None else new.rows
        db.execute("UPDATE steps SET row = ?, rows = ? WHERE id = ?", [row, count, step_id])
        if not new.aside:
            _move(cat, dataset_id, "edit", head=step_id, tip=step_id)
        return get(cat, step_id)


def forget_undone(cat: Catalogue, dataset_id: int) -> None:
    """Give up what could be redone: a new step was made in a file that belongs with this one."""
    with write(cat.db):
        now = position(cat, dataset_id)
        if now.tip != now.head:
            _move(cat, dataset_id, "floor", tip=now.head)


def undo(cat: Catalogue, dataset_ids: Sequence[int]) -> list[Step]:
    """Take back the newest step that stands in any of the datasets, in all files that it changed.

    Returns:
        The steps taken back, none where nothing stands.
    Raises:
        Conflict: it also changed a file that has been edited since.
    """
    with write(cat.db):
        positions = [position(cat, dataset_id) for dataset_id in dataset_ids]
        top = [now.head for now in positions if now.head > now.floor]
        if not top:
            return []
        together = _batch(cat, max(top))
        for step in together:
            if position(cat, step.dataset_id).head != step.id:
                raise _entangled(cat, step)
            _move(cat, step.dataset_id, "undo", head=step.parent)
        return together


def redo(cat: Catalogue, dataset_ids: Sequence[int]) -> list[Step]:
    """Do the step again that was undone last; see `undo`."""
    with write(cat.db):
        ahead = []
        for dataset_id in dataset_ids:
            now = position(cat, dataset_id)
            sql = (
                "SELECT max(id) AS id FROM steps "
                "WHERE dataset_id = ? AND parent = ? AND id <= ? AND NOT aside"
            )
            if now.tip > now.head:
                ahead.append(int(rows(cat.db, sql, [dataset_id, now.head, now.tip])[0]["id"]))
        if not ahead:
            return []
        together = _batch(cat, min(ahead))
        for step in together:
            now = position(cat, step.dataset_id)
            if now.head != step.parent or now.tip < step.id:
                raise _entangled(cat, step)
            _move(cat, step.dataset_id, "redo", head=step.id)
        return together


def stop_undo(cat: Catalogue, dataset_id: int) -> None:
    """The file was changed where the next step to undo was: the history ends at the head."""
    with write(cat.db):
        _move(cat, dataset_id, "floor", floor=position(cat, dataset_id).head)


def outside(cat: Catalogue, dataset_id: int, event: Event = "outside") -> None:
    """The file was changed by someone else: earlier versions can no longer be got back."""
    with write(cat.db):
        _move(cat, dataset_id, event, epoch=position(cat, dataset_id).epoch + 1)


def discard(cat: Catalogue, dataset_id: int) -> int:
    """Drop the edits since the last save for good; returns how many changed rows that were.

    Edits that are in the file stand again, so they can still be undone.
    """
    with write(cat.db) as db:
        versions.forget_intended(cat, dataset_id)
        now = position(cat, dataset_id)
        gone = way(cat, dataset_id, now.file, now.head).rows
        _move(
            cat, dataset_id, "discard", head=now.file, tip=now.file, floor=min(now.floor, now.file)
        )
        # Steps that lead to a saved version stay, as it can be restored from them.
        db.execute(
            "WITH RECURSIVE kept(id) AS (SELECT ? UNION SELECT upto FROM versions "
            "WHERE dataset_id = ? UNION SELECT steps.parent FROM steps JOIN kept USING (id) "
            "UNION SELECT steps.base FROM steps JOIN kept USING (id)) "
            "DELETE FROM steps WHERE dataset_id = ? AND id NOT IN kept",
            [now.file, dataset_id, dataset_id],
        )
        return gone


# Saving


def begin_save(cat: Catalogue, dataset_id: int, version: Version, upto: int | None = None) -> None:
    """Say, before the file is renamed into place, what it will be; see `recover`.

    Args:
        upto: the step that the file will hold; the head by default.
    """
    with write(cat.db):
        now = position(cat, dataset_id)
        upto = now.head if upto is None else upto
        versions.record(cat, version, upto, now.epoch, saved=False)


def mark_saved(cat: Catalogue, dataset_id: int, version: Version, upto: int | None = None) -> None:
    """The file now holds every edit up to the step `upto` (the head by default)."""
    with write(cat.db):
        now = position(cat, dataset_id)
        upto = now.head if upto is None else upto
        known = versions.kept(cat, dataset_id)[:1]
        if known and (known[0].version.sha256, known[0].upto) == (version.sha256, upto):
            # Another process found the file in place and settled the save before us.
            versions.forget_intended(cat, dataset_id)
            return
        _move(cat, dataset_id, "save", file=upto)
        versions.record(cat, version, upto, now.epoch, saved=True)


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


def _batch(cat: Catalogue, step_id: int) -> list[Step]:
    batch = get(cat, step_id).batch
    found = rows(cat.db, "SELECT * FROM steps WHERE batch = ? ORDER BY id", [batch])
    return [Step(**row) for row in found]


def _entangled(cat: Catalogue, step: Step) -> Conflict:
    found = rows(cat.db, "SELECT path FROM datasets WHERE id = ?", [step.dataset_id])
    return Conflict(
        f"“{step.label}” also changed {found[0]['path']}, which has been edited since",
        "undo the later edits of that file first, or open the files together",
    )


def _move(cat: Catalogue, dataset_id: int, event: Event, **to: Any) -> None:
    """Change some of where a dataset stands, and note the moment."""
    cat.db.execute("INSERT OR IGNORE INTO heads (dataset_id) VALUES (?)", [dataset_id])
    names = ", ".join(f"{name} = ?" for name in to)
    cat.db.execute(f"UPDATE heads SET {names} WHERE dataset_id = ?", [*to.values(), dataset_id])
    cat.db.execute(
        "INSERT INTO moments (dataset_id, head, epoch, event, created) "
        "SELECT dataset_id, head, epoch, ?, ? FROM heads WHERE dataset_id = ?",
        [event, time.time(), dataset_id],
    )
