"""Findings: what is odd about rows of a dataset, of every kind and from every check.

Knows lines, kinds and sentences. Does not know how something is found, what a kind means, or
where a line is after edits (see `engine.data.findings`). What one check says of one dataset is a
*set*; a newer set of the same source takes the place of the older one at the moment it is whole.
"""

from __future__ import annotations

import itertools
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from store.catalogue import Catalogue
from store.sqlite import Database, from_json, rows, storable, to_json, write

Level = Literal["info", "warn", "error"]

BATCH = 50_000
"""Findings written in one transaction, so that nobody else waits long."""

_CACHE_KB = 64 << 10
"""Of the database held in memory while findings are written: three trees grow at once."""

ABANDONED = 24 * 3600.0
"""Seconds after which a set that was never finished is swept away."""


@dataclass(frozen=True, slots=True)
class New:
    """A finding to be kept. `group`: findings that belong together share it; else empty."""

    line: int
    kind: str
    level: Level
    detail: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that is kept.

    Attributes:
        line: the row when it was looked at, counted from 1.
        source: the check that said so, as `preflight`; key: what it looked with (a hash).
        moment: the dataset's last edit at that time; see `Document.shift`.
        set_id, n: with `line`, its place among all findings of the dataset.
    """

    line: int
    kind: str
    level: Level
    detail: str
    group: str
    source: str
    key: str
    moment: int
    created: float
    set_id: int
    n: int

    @property
    def place(self) -> tuple[int, int, int]:
        """What the next page begins after."""
        return self.line, self.set_id, self.n


@dataclass(frozen=True, slots=True)
class FindingSet:
    """What one check said of a dataset.

    Attributes:
        counts: kind -> findings.
        summary: numbers of the check's own, as preflight's tokens and steps.
    """

    id: int
    dataset_id: int
    source: str
    key: str
    moment: int
    counts: dict[str, int]
    summary: dict[str, Any]
    created: float
    finished: float | None = None


@dataclass(slots=True)
class Recording:
    """A set being written; it takes its source's place when the `with` block ends well."""

    cat: Catalogue
    dataset_id: int
    source: str
    key: str
    moment: int
    summary: dict[str, Any] = field(default_factory=dict)
    _id: int = 0
    _n: int = 0
    _counts: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Recording:
        values = [self.dataset_id, self.source, self.key, self.moment, "{}", "{}", time.time()]
        self.cat.db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        with write(self.cat.db) as db:
            found = db.execute(
                "INSERT INTO finding_sets (dataset_id, source, key, moment, counts, summary, "
                "created) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                values,
            )
            self._id = int(found.fetchone()[0])
        return self

    def add(self, found: Iterable[New]) -> None:
        """Write further findings."""
        remaining = iter(found)
        while batch := list(itertools.islice(remaining, BATCH)):
            first, self._n = self._n, self._n + len(batch)
            self._counts.update(item.kind for item in batch)
            values = (
                (
                    self.dataset_id,
                    item.line,
                    self._id,
                    first + place,
                    item.kind,
                    item.level,
                    storable(item.detail),
                    item.group or None,
                )
                for place, item in enumerate(batch)
            )
            with write(self.cat.db) as db:
                db.conn.executemany("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end(well=kind is None)
        finally:
            self.cat.db.execute("PRAGMA cache_size = -2000")

    def _end(self, *, well: bool) -> None:
        if not well:
            _remove(self.cat, self.dataset_id, [self._id])
            return
        now = time.time()
        with write(self.cat.db) as db:
            db.execute(
                "UPDATE finding_sets SET counts = ?, summary = ?, finished = ? WHERE id = ?",
                [to_json(dict(self._counts)), to_json(self.summary), now, self._id],
            )
            older = db.execute(
                "SELECT id FROM finding_sets WHERE dataset_id = ? AND source = ? AND id != ? AND "
                "(finished IS NOT NULL AND finished <= ? OR created < ?)",
                [self.dataset_id, self.source, self._id, now, now - ABANDONED],
            ).fetchall()
            db.conn.executemany("UPDATE finding_sets SET finished = NULL WHERE id = ?", older)
        _remove(self.cat, self.dataset_id, [row[0] for row in older])


def replace_all(
    cat: Catalogue,
    dataset_id: int,
    source: str,
    key: str,
    found: Iterable[New],
    *,
    moment: int = 0,
    summary: dict[str, Any] | None = None,
) -> None:
    """Put what a check says in place of what it said before; readers see one or the other."""
    with Recording(cat, dataset_id, source, key, moment, summary or {}) as out:
        out.add(found)


def sets(cat: Catalogue, dataset_id: int) -> list[FindingSet]:
    """What stands of a dataset, one set a source, the newest first."""
    sql = (
        "SELECT * FROM finding_sets WHERE dataset_id = ? AND finished IS NOT NULL ORDER BY id DESC"
    )
    newest: dict[str, FindingSet] = {}
    for row in rows(cat.db, sql, [dataset_id]):
        if row["source"] not in newest:
            counts, summary = from_json(row["counts"]), from_json(row["summary"])
            newest[row["source"]] = FindingSet(**{**row, "counts": counts, "summary": summary})
    return list(newest.values())


def counts(cat: Catalogue, dataset_id: int, source: str | None = None) -> dict[str, int]:
    """Findings by kind; does not look at the findings themselves."""
    total: Counter[str] = Counter()
    for found in sets(cat, dataset_id):
        if source in (None, found.source):
            total.update(found.counts)
    return dict(total)


def page(
    cat: Catalogue,
    dataset_id: int,
    *,
    kind: str | None = None,
    source: str | None = None,
    group: str | None = None,
    first_line: int = 1,
    last_line: int | None = None,
    after: tuple[int, int, int] | None = None,
    offset: int = 0,
    limit: int = 100,
) -> list[Finding]:
    """Findings in the order of their lines.

    Args:
        after: the `place` of the last finding of the page before: the same speed at any depth.
        offset: findings to leave out at the beginning.
    """
    known = {item.id: item for item in sets(cat, dataset_id) if source in (None, item.source)}
    if not known:
        return []
    where = ["dataset_id = ?", f"set_id IN ({', '.join('?' * len(known))})", "line >= ?"]
    values: list[Any] = [dataset_id, *known, max(first_line, after[0] if after else 1)]
    for clause, value in (("kind = ?", kind), ('"group" = ?', group), ("line <= ?", last_line)):
        if value is not None:
            where.append(clause)
            values.append(value)
    if after is not None:
        where.append("(line, set_id, n) > (?, ?, ?)")
        values += after
    # Without this the planner reads all rows in their order to save itself a small sort.
    index = "" if group is None else "INDEXED BY findings_by_group"
    sql = (
        f'SELECT line, set_id, n, kind, level, detail, "group" FROM findings {index} WHERE '
        f"{' AND '.join(where)} ORDER BY line, set_id, n LIMIT ? OFFSET ?"
    )
    return [
        _finding(row, known[row["set_id"]]) for row in rows(cat.db, sql, [*values, limit, offset])
    ]


def lines(cat: Catalogue, dataset_id: int, kinds: Sequence[str] | None = None) -> array[int]:
    """The lines with a finding of one of these kinds (None: of any), each once, in order."""
    known = [item.id for item in sets(cat, dataset_id)]
    if not known or (kinds is not None and not kinds):
        return array("Q")
    where = f"dataset_id = ? AND set_id IN ({', '.join('?' * len(known))})"
    if kinds is not None:
        where += f" AND kind IN ({', '.join('?' * len(kinds))})"
    sql = f"SELECT DISTINCT line FROM findings WHERE {where} ORDER BY line"
    cursor = cat.db.execute(sql, [dataset_id, *known, *(kinds or ())])
    return array("Q", (row[0] for row in cursor.fetchall()))


def forget(cat: Catalogue, dataset_id: int, source: str | None = None) -> None:
    """Remove what stands of a dataset, of one source or of all."""
    gone = [item.id for item in sets(cat, dataset_id) if source in (None, item.source)]
    _remove(cat, dataset_id, gone)


def _remove(cat: Catalogue, dataset_id: int, ids: Sequence[int]) -> None:
    """Delete sets, unseen from the start, a part at a time, so that nobody else waits long."""
    for set_id in ids:
        with write(cat.db) as db:
            db.execute("UPDATE finding_sets SET finished = NULL WHERE id = ?", [set_id])
        start: int | None = 0
        while start is not None:
            with write(cat.db) as db:
                start = _remove_part(db, dataset_id, set_id, start)
        with write(cat.db) as db:
            db.execute("DELETE FROM finding_sets WHERE id = ?", [set_id])


def _remove_part(db: Database, dataset_id: int, set_id: int, start: int) -> int | None:
    """Delete a stretch of a set from line `start` on; returns where the next one begins."""
    sql = "SELECT line FROM findings WHERE dataset_id = ? AND line >= ? ORDER BY line LIMIT 1"
    edge = db.execute(f"{sql} OFFSET ?", [dataset_id, start, BATCH]).fetchone()
    last = 1 << 62 if edge is None else int(edge[0])
    db.execute(
        "DELETE FROM findings WHERE dataset_id = ? AND line >= ? AND line <= ? AND set_id = ?",
        [dataset_id, start, last, set_id],
    )
    return None if edge is None else last + 1


def _finding(row: dict[str, Any], of: FindingSet) -> Finding:
    return Finding(
        line=row["line"],
        kind=row["kind"],
        level=row["level"],
        detail=row["detail"],
        group=row["group"] or "",
        source=of.source,
        key=of.key,
        moment=of.moment,
        created=of.created,
        set_id=of.id,
        n=row["n"],
    )
