"""Labels: what a person said of one answer by one rubric, good or not.

Knows keys. Does not know what a key stands for (see `engine.checks.people`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice

from store.catalogue import Catalogue
from store.sqlite import rows, write

_AT_ONCE = 500


def find(cat: Catalogue, keys: Iterable[str]) -> dict[str, bool]:
    """Those of the keys that were labelled."""
    found: dict[str, bool] = {}
    remaining = iter(keys)
    while some := list(islice(remaining, _AT_ONCE)):
        sql = f"SELECT key, good FROM labels WHERE key IN ({','.join('?' * len(some))})"
        found |= {row["key"]: bool(row["good"]) for row in rows(cat.db, sql, some)}
    return found


def give(cat: Catalogue, key: str, good: bool | None) -> None:
    """Label an answer; None takes the label back."""
    with write(cat.db) as db:
        if good is None:
            db.execute("DELETE FROM labels WHERE key = ?", [key])
        else:
            db.execute(
                "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", [key, int(good), time.time()]
            )
