"""Steps: the journal of edits as it is read, a tree with a head.

Knows primitives, steps, where a dataset stands and the way from one step to another. Does not
change anything: see `store.edits`, which also says what the tree means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from store.catalogue import Catalogue
from store.sqlite import rows, to_json

Kind = Literal["replace", "insert", "delete"]


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
        """How many changes of a row that is; a step that restores has none of its own."""
        steps = (*self.back, *self.forth)
        return sum(step.rows for step in steps if step.base == step.parent)

    def __len__(self) -> int:
        return len(self.back) + len(self.forth)


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


def exists(cat: Catalogue, step_id: int) -> bool:
    """Is there such a step still (0, the file as it was found, always is)?"""
    return not step_id or bool(rows(cat.db, "SELECT 1 FROM steps WHERE id = ?", [step_id]))


def along(cat: Catalogue, path: Way, *, before: bool = True) -> Iterator[Edit]:
    """The primitives that lead along a way, in order; each to be done on what the last one left.

    Args:
        before: whether what was there before is needed; without it large journals read faster.
    """
    for edit in _edits(cat, path.back, "DESC", ("after", "before")):
        yield edit.inverse()
    yield from _edits(cat, path.forth, "ASC", ("after", "before") if before else ("after",))


def traces(cat: Catalogue, path: Way) -> Iterator[Edit]:
    """As `along`, of kinds and rows alone."""
    for edit in _edits(cat, path.back, "DESC", ()):
        yield edit.inverse()
    yield from _edits(cat, path.forth, "ASC", ())


def upwards(cat: Catalogue, step: Step) -> Iterator[Edit] | None:
    """The primitives of a step from the lowest row up, the last one first, without what was there.

    None where they were not made from the last row to the first.
    """
    sql = (
        "SELECT 1 FROM (SELECT kind, row, lag(row) OVER (ORDER BY id) AS below FROM edits "
        "WHERE step_id = ?) WHERE row > below OR (row = below AND kind <> 'insert') LIMIT 1"
    )
    if rows(cat.db, sql, [step.id]):
        return None
    return _edits(cat, (step,), "DESC", ("after",))


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
            for kind, row, anchor, *rest in batch:
                after, before = (*rest, None, None)[:2]
                yield Edit(kind, row, before, after, anchor)
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


def aside(cat: Catalogue, dataset_id: int) -> list[tuple[Step, list[Edit]]]:
    """Edits that found no place when they were merged into a file changed by others."""
    sql = "SELECT * FROM steps WHERE dataset_id = ? AND aside ORDER BY id"
    steps = [Step(**row) for row in rows(cat.db, sql, [dataset_id])]
    return [(step, list(_edits(cat, (step,), "ASC", ("after", "before")))) for step in steps]
