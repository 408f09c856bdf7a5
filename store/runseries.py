"""A metric out of a run database in as many buckets as are drawn, whatever its length.

Knows which level of detail to read, and finer ones at both ends. Does not know connections or
transactions (see `store.runreader`).
"""

from __future__ import annotations

import sqlite3

from store import metrics as lod
from store.metrics import Bucket

ROWS_AT_ONCE = 65_536
"""Points that are put into buckets at once; SQLite does it, and lets other threads run."""
FEW_ROWS = 512
"""So many points are read as they are."""
_POINTS = (
    "SELECT step, step, value, value, coalesce(value, 0.0), value IS NOT NULL, value IS NULL "
    "FROM metrics WHERE key = ? AND step >= ? AND step <= ? ORDER BY step"
)
_GROUPED = (
    "SELECT min(step), max(step), min(value), max(value), total(value), count(value), "
    "count(*) - count(value) FROM metrics WHERE key = ? AND step >= ? AND step <= ? "
    "GROUP BY step >> ? ORDER BY 1"
)
_BUCKETS = (
    "SELECT min(first), max(last), min(low), max(high), sum(total), sum(n), sum(nulls) FROM lod "
    "WHERE key = ? AND level = ? AND bucket >= ? AND bucket < ? GROUP BY bucket >> ? ORDER BY 1"
)


def read_series(
    connection: sqlite3.Connection, name: str, start: int | None, stop: int | None, points: int
) -> tuple[list[Bucket], int, tuple[int, float | None] | None]:
    """Buckets of a metric, `points`, and its newest point; exact where the points are few."""
    found = connection.execute("SELECT id FROM keys WHERE name = ?", [name]).fetchall()
    if not found:
        return [], points, None
    key = found[0][0]
    first, newest = connection.execute(
        "SELECT (SELECT min(step) FROM metrics WHERE key = ?1), "
        "(SELECT max(step) FROM metrics WHERE key = ?1)",
        [key],
    ).fetchall()[0]
    if newest is None:
        return [], points, None
    low = first if start is None else max(first, start)
    high = newest if stop is None else min(newest, stop)
    width = lod.fitting_shift(low, high, points) if low <= high else 0
    buckets = _cover(connection, key, low, high, _level(connection, key, low, high, width), width)
    sql = "SELECT step, value FROM metrics WHERE key = ? AND step = ?"
    last = connection.execute(sql, [key, newest]).fetchall()[0]
    return buckets, points, last


def _level(connection: sqlite3.Connection, key: int, low: int, high: int, width: int) -> int:
    """The coarsest level whose buckets are no wider than what is drawn, where rows are many."""
    level = sum(lod.shift(level) <= width for level in range(1, lod.LEVELS + 1))
    most = FEW_ROWS if level else ROWS_AT_ONCE
    sql = (
        "SELECT count(*) FROM (SELECT 1 FROM metrics WHERE key = ? AND step >= ? AND step <= ? "
        "LIMIT ?)"
    )
    rows = connection.execute(sql, [key, low, high, most + 1]).fetchone()[0]
    if rows <= FEW_ROWS:
        return 0
    return max(level, int(rows > ROWS_AT_ONCE))


def _cover(
    connection: sqlite3.Connection, key: int, low: int, high: int, level: int, drawn: int = 0
) -> list[Bucket]:
    """Buckets that cover steps `low` to `high`: closed ones inside, finer ones at both ends.

    Args:
        drawn: 2 to this power steps are drawn as one: points may be merged so far.
    """
    if low > high:
        return []
    if level == 0 and drawn and high - low > FEW_ROWS:
        rows = connection.execute(_GROUPED, [key, low, high, drawn]).fetchall()
        return [Bucket(*row) for row in rows]
    if level == 0:
        return [Bucket(*row) for row in connection.execute(_POINTS, [key, low, high]).fetchall()]
    size = lod.width(level)
    begin, end = -(-low // size), (high + 1) // size
    wider = max(drawn - lod.shift(level), 0)
    found = connection.execute(_BUCKETS, [key, level, begin, end, wider]).fetchall()
    inside = [Bucket(*row) for row in found]
    if not inside:
        return _cover(connection, key, low, high, level - 1, drawn)
    before = lod.bucket_of(inside[0].first, level) * size - 1
    after = (lod.bucket_of(inside[-1].last, level) + 1) * size
    return [
        *_cover(connection, key, low, before, level - 1, drawn),
        *inside,
        *_cover(connection, key, after, high, level - 1, drawn),
    ]
