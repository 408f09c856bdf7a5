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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from store import versions
from store.catalogue import Catalogue
from store.errors import Conflict
from store.sqlite import rows, storable, to_json, write
from store.versions import Version

Kind = Literal["replace", "insert", "delete"]
Event = Literal["edit", "undo", "redo", "save", "discard", "outside", "grew", "floor"]


class NotThereError(KeyError):
    """A step that was dropped, by another process; never leaves the engine."""


_INVERSE: dict[Kind, Kind] = {"replace": "replace", "insert": "delete", "delete": "insert"}
_FETCH = 1000


@dataclass(frozen=True, slots=True)
class Edit:
    """One primitive on one row (from 1).

    A replacement holds contents, an insertion and a deletion the whole line with its ending, so
    that undo restores a file to the byte. `before` is None for an insertion (and where it was not
    asked for), `after` for a deletion. `anchor` is a hash of the row above an insertion.
    """

    kind: Kind
    row: int
    before: bytes | None
    after: bytes | None
    anchor: bytes | None = None

    def inverse(self) -> Edit:
        """The primitive that takes this one back."""
        return Edit(_INVERSE[self.kind], self.row, self.after, self.before)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to undo.

    Attributes:
        parent: the step that undo goes back to.
        base: the step that its edits are made on.
        batch: shared by the steps that several files made at once.
        row: where to look after it was undone or redone.
        rows: how many rows it changes.
        restores: the id of the version that it brings back.
        moves: it is one row taken away and put elsewhere.
        aside: it is no part of any document: edits that found no place in a merge.
    """

    id: int
    dataset_id: int
    parent: int
    base: int
    batch: int
    label: str
    row: int
    rows: int
    restores: int | None
    moves: int
    aside: int
    created: float


@dataclass(frozen=True, slots=True)
class Position:
    """Where a dataset stands.

    Attributes:
        head: the step that the document shows.
        tip: how far redo can go.
        file: the step that the file holds.
        floor: how far undo can go.
        epoch: how often the file was changed by others.
        moment: the id of the last thing that happened to any of these; it only grows.
    """

    head: int = 0
    tip: int = 0
    file: int = 0
    floor: int = 0
    epoch: int = 0
    moment: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """The way from one step to another: steps to take back in order, then steps to do."""

    back: tuple[Step, ...] = ()
    forth: tuple[Step, ...] = ()

    @property
    def rows(self) -> int:
        """How many changes of a row that is."""
        return sum(step.rows for step in (*self.back, *self.forth))

    def __len__(self) -> int:
        return len(self.back) + len(self.forth)


# Reading


def position(cat: Catalogue, dataset_id: int) -> Position:
    """Where the dataset stands now."""
    sql = (
        "SELECT head, tip, file, floor, epoch, (SELECT coalesce(max(id), 0) FROM moments "
        "WHERE dataset_id = heads.dataset_id) AS moment FROM heads WHERE dataset_id = ?"
    )
    found = rows(cat.db, sql, [dataset_id])
    return Position(**found[0]) if found else Position()


def moment(cat: Catalogue, dataset_id: int) -> int:
    """`Position.moment` alone: tells cheaply whether another process did something."""
    sql = "SELECT coalesce(max(id), 0) AS id FROM moments WHERE dataset_id = ?"
    return int(rows(cat.db, sql, [dataset_id])[0]["id"])


def at(cat: Catalogue, dataset_id: int, then: int) -> tuple[int, int]:
    """The head and the epoch at an earlier moment (of any dataset)."""
    sql = (
        "SELECT head, epoch FROM moments WHERE dataset_id = ? AND id <= ? ORDER BY id DESC LIMIT 1"
    )
    found = rows(cat.db, sql, [dataset_id, then])
    return (int(found[0]["head"]), int(found[0]["epoch"])) if found else (0, 0)


def outside_since(cat: Catalogue, dataset_id: int, epoch: int) -> tuple[str, float]:
    """What ended an epoch (`outside` or `grew`), and when it was noticed."""
    sql = (
        "SELECT event, created FROM moments WHERE dataset_id = ? AND epoch > ? ORDER BY id LIMIT 1"
    )
    found = rows(cat.db, sql, [dataset_id, epoch])
    return (str(found[0]["event"]), float(found[0]["created"])) if found else ("outside", 0.0)


def way(cat: Catalogue, dataset_id: int, start: int, stop: int) -> Way:
    """The way between two steps of a dataset, over the nearest step that both lie on."""
    back: list[Step] = []
    forth: list[Step] = []
    low, high = sorted((start, stop))
    sql = "SELECT * FROM steps WHERE dataset_id = ? AND id > ? AND id <= ?"
    known = {row["id"]: Step(**row) for row in rows(cat.db, sql, [dataset_id, low, high])}
    # A step lies on one with a smaller id, so the larger of the two is never common to both ways.
    while start != stop:
        side, step_id = (back, start) if start > stop else (forth, stop)
        step = known.get(step_id) or get(cat, step_id)
        side.append(step)
        if side is back:
            start = step.base
        else:
            stop = step.base
    return Way(tuple(back), tuple(reversed(forth)))


def get(cat: Catalogue, step_id: int) -> Step:
    """Raises: NotThereError: another process has dropped it."""
    found = rows(cat.db, "SELECT * FROM steps WHERE id = ?", [step_id])
    if not found:
        raise NotThereError(step_id)
    return Step(**found[0])


def along(cat: Catalogue, path: Way, *, before: bool = True) -> Iterator[Edit]:
    """The primitives that lead along a way, in order; each to be done on what the last one left.

    Args:
        before: whether what was there before is needed; without it large journals read faster.
    """
    for edit in _edits(cat, path.back, "DESC", ("after", "before")):
        yield edit.inverse()
    yield from _edits(cat, path.forth, "ASC", ("after", "before") if before else ("after",))


def _edits(
    cat: Catalogue, steps: Sequence[Step], order: str, blobs: Sequence[str]
) -> Iterator[Edit]:
    if not steps:
        return
    ids = sorted(step.id for step in steps)
    names = ", ".join(("kind", "row", "anchor", *blobs))
    # The unary plus keeps the index in order: blobs of other steps are never read.
    sql = (
        f"SELECT {names} FROM edits WHERE step_id BETWEEN ? AND ? "
        "AND +step_id IN (SELECT value FROM json_each(?)) "
        f"ORDER BY step_id {order}, id {order}"
    )
    cursor = cat.db.execute(sql, [ids[0], ids[-1], to_json(ids)])
    try:
        while batch := cursor.fetchmany(_FETCH):
            for kind, row, anchor, after, *rest in batch:
                yield Edit(kind, row, rest[0] if rest else None, after, anchor)
    finally:
        cursor.close()


def history(cat: Catalogue, dataset_ids: Sequence[int], limit: int) -> list[tuple[Step, bool]]:
    """The newest steps that can be undone (True) or done again (False), newest first."""
    found: list[tuple[Step, bool]] = []
    for dataset_id in dataset_ids:
        now = position(cat, dataset_id)
        sql = (
            "WITH RECURSIVE line(id) AS (SELECT ? UNION ALL SELECT parent FROM steps JOIN line "
            "USING (id) WHERE parent > ?) SELECT steps.* FROM steps JOIN line USING (id) LIMIT ?"
        )
        found += [(step, False) for step in _ahead(cat, now)]
        if now.head > now.floor:
            line = rows(cat.db, sql, [now.head, now.floor, limit])
            found += [(Step(**row), True) for row in line]
    return sorted(found, key=lambda pair: pair[0].id, reverse=True)[:limit]


def _ahead(cat: Catalogue, now: Position) -> Iterator[Step]:
    """The steps that can be done again, the last first."""
    step_id = now.tip
    while step_id > now.head:
        step = get(cat, step_id)
        yield step
        step_id = step.parent


# Doing


@dataclass(frozen=True, slots=True)
class Draft:
    """A step to be: see `Step` for what its attributes mean.

    `base` and `parent` are the head by default; `batch` is the id of the step of another file
    that it is made together with.
    """

    label: str
    edits: Sequence[Edit] = ()
    row: int = 1
    rows: int = 1
    batch: int = 0
    base: int | None = None
    parent: int | None = None
    restores: int | None = None
    moves: bool = False
    aside: bool = False


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
            "row": new.row,
            "rows": new.rows,
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
        db.conn.executemany(
            "INSERT INTO edits (step_id, kind, row, anchor, after, before) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((step_id, e.kind, e.row, e.anchor, e.after, e.before) for e in new.edits),
        )
        if not new.aside:
            _move(cat, dataset_id, "edit", head=step_id, tip=step_id)
        return get(cat, step_id)


def aside(cat: Catalogue, dataset_id: int) -> list[tuple[Step, list[Edit]]]:
    """Edits that found no place when they were merged into a file changed by others."""
    sql = "SELECT * FROM steps WHERE dataset_id = ? AND aside ORDER BY id"
    steps = [Step(**row) for row in rows(cat.db, sql, [dataset_id])]
    return [(step, list(_edits(cat, (step,), "ASC", ("after", "before")))) for step in steps]


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
