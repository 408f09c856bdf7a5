"""Checks: what a suite said about a model.

Knows counts, the rate with its interval, and the items. Does not judge (see `engine.checks`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, rows, storable, to_json, write


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One suite on one model. What was skipped or an error is no failure: `rate` is over the rest.

    `low` and `high` bound the rate (0 to 1); all three are None when nothing was decided.
    """

    id: int
    suite: str
    suite_sha256: str
    model: str
    passed: int
    failed: int
    skipped: int
    errors: int
    rate: float | None
    low: float | None
    high: float | None
    created: float
    items: list[dict[str, Any]]


def record(
    cat: Catalogue,
    *,
    suite: str,
    suite_sha256: str,
    model: str,
    passed: int,
    failed: int,
    skipped: int = 0,
    errors: int,
    rate: float | None,
    low: float | None,
    high: float | None,
    items: list[dict[str, Any]],
) -> CheckResult:
    """Keep a result; one that says what the newest of its suite and model says is kept once."""
    values = {
        "suite": storable(suite),
        "suite_sha256": suite_sha256,
        "model": storable(model),
        "passed": passed,
        "failed": failed,
        "skipped": skipped,
        "errors": errors,
        "rate": rate,
        "low": low,
        "high": high,
        "items": to_json(items),
    }
    sql = "SELECT * FROM checks WHERE model = ? AND suite = ? ORDER BY id DESC LIMIT 1"
    with write(cat.db) as db:
        newest = rows(db, sql, [values["model"], values["suite"]])
        if newest and values.items() <= newest[0].items():
            return _result(newest[0])
        values["created"] = time.time()
        check_id = cast(int, db.table("checks").insert(values).last_pk)
        return get(cat, check_id)


def get(cat: Catalogue, check_id: int) -> CheckResult:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM checks WHERE id = ?", [check_id])
    if not found:
        raise NotFound(f"check {check_id} does not exist", "Run the suite with `workbench check`.")
    return _result(found[0])


def all(cat: Catalogue, *, suite: str | None = None, model: str | None = None) -> list[CheckResult]:
    """Results newest first, of one suite or one model where named."""
    sql = (
        "SELECT * FROM checks WHERE suite = coalesce(?, suite) AND model = coalesce(?, model) "
        "ORDER BY id DESC"
    )
    return [_result(row) for row in rows(cat.db, sql, [suite, model])]


def _result(row: dict[str, Any]) -> CheckResult:
    return CheckResult(**{**row, "items": from_json(row["items"])})
