"""Check suites that run as jobs: what each asks of whom, and how far it has come.

Knows records. Does not know processes (see `engine.checks.jobs`) or what a suite is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, path_text, rows, storable, to_json, write

Status = Literal["waiting", "running", "finished", "stopped", "failed"]
Device = Literal["auto", "cpu"]


@dataclass(frozen=True, slots=True)
class CheckJob:
    """One job.

    Attributes:
        suites: files with the tags that are asked for; models: references with their step.
        device: `auto` waits for a GPU that a run holds; `cpu` does without.
        saying: what is done now, or why it ended; hint: what to do about that.
        done, total: answers that are there, and answers in all.
        began: when the first answer was awaited; first_done: what was there then.
    """

    id: int
    suites: tuple[tuple[str, tuple[str, ...]], ...]
    models: tuple[str, ...]
    device: Device
    status: Status
    saying: str
    hint: str
    done: int
    total: int
    first_done: int
    pid: int | None
    process_started: float | None
    created: float
    began: float | None
    finished: float | None


def create(
    cat: Catalogue,
    suites: Sequence[tuple[str, Sequence[str]]],
    models: Sequence[str],
    device: Device,
) -> CheckJob:
    """A job that has not begun."""
    values = {
        "suites": to_json([[path_text(path), list(tags)] for path, tags in suites]),
        "models": to_json([storable(model) for model in models]),
        "device": device,
        "status": "waiting",
        "created": time.time(),
    }
    with write(cat.db) as db:
        return get(cat, cast(int, db.table("check_jobs").insert(values).last_pk))


def get(cat: Catalogue, job_id: int) -> CheckJob:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM check_jobs WHERE id = ?", [job_id])
    if not found:
        raise NotFound(f"check job {job_id} does not exist", "`workbench check --jobs` lists them.")
    return _job(found[0])


def update(cat: Catalogue, job_id: int, **values: Any) -> None:
    """Set columns of a job."""
    if "saying" in values:
        values["saying"] = storable(values["saying"])
    if "hint" in values:
        values["hint"] = storable(values["hint"])
    with write(cat.db) as db:
        db.table("check_jobs").update(job_id, values)


def unfinished(cat: Catalogue) -> list[CheckJob]:
    """Jobs that did not come to an end, newest first; whether they live is another question."""
    sql = "SELECT * FROM check_jobs WHERE finished IS NULL ORDER BY id DESC"
    return [_job(row) for row in rows(cat.db, sql)]


def newest(cat: Catalogue, count: int) -> list[CheckJob]:
    """The newest jobs, newest first."""
    return [
        _job(r) for r in rows(cat.db, "SELECT * FROM check_jobs ORDER BY id DESC LIMIT ?", [count])
    ]


def _job(row: dict[str, Any]) -> CheckJob:
    suites = tuple((path, tuple(tags)) for path, tags in from_json(row["suites"]))
    return CheckJob(**{**row, "suites": suites, "models": tuple(from_json(row["models"]))})
