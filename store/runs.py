"""Runs: one row a training run, with everything that is needed to repeat it, and its mailbox.

Knows the catalogue's view of a run, which is a cache: the truth is the run database (see
`store.rundb`). Does not know whether a process lives (see `engine.train.client.refresh`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, rows, storable, to_json, write

Status = Literal["queued", "running", "paused", "stopped", "finished", "failed", "lost"]
Command = Literal["stop", "pause", "checkpoint"]

_JSON = ("recipe", "versions", "machine", "split")
_FIXED = ("id", "created")


@dataclass(frozen=True, slots=True)
class Run:
    """One training run. `recipe` is resolved: no default is left to a later version.

    Attributes:
        place: where it stands in the queue; None where it does not wait (see `store.queue`).
        forked_step: the checkpoint of `parent` that it began from; None where it began anew.
    """

    id: int
    name: str
    note: str
    status: Status
    model: str
    dataset: str
    recipe: dict[str, Any]
    seed: int
    snapshot: str | None
    base_sha256: str | None
    template_sha256: str | None
    versions: dict[str, Any]
    machine: dict[str, Any]
    split: dict[str, Any]
    pid: int | None
    process_started: float | None
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    best_step: int | None
    created: float
    started: float | None
    finished: float | None
    reason: str | None
    promoted_step: int | None
    parent: int | None
    place: int | None
    method: str
    forked_step: int | None


def create(
    cat: Catalogue,
    *,
    model: str,
    dataset: str,
    recipe: dict[str, Any],
    seed: int,
    name: str | None = None,
    status: Status = "queued",
    **fields: Any,
) -> Run:
    """Add a run; `fields` are further fields of `Run`. Its name is `run N` where none is given.

    Raises:
        TypeError: a field that `Run` does not have.
    """
    given: dict[str, Any] = {"versions": {}, "machine": {}, "split": {}, **fields}
    given |= {"model": model, "dataset": dataset, "recipe": recipe, "seed": seed}
    given |= {"status": status, "name": name or ""}
    values = _values(given) | {"created": time.time()}
    with write(cat.db) as db:
        run_id = cast(int, db.table("runs").insert(values).last_pk)
        if not name:
            db.table("runs").update(run_id, {"name": f"run {run_id}"})
        return get(cat, run_id)


def get(cat: Catalogue, run_id: int) -> Run:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM runs WHERE id = ?", [run_id])
    if not found:
        raise NotFound(f"run {run_id} does not exist", "List the runs with `workbench runs`.")
    return _run(found[0])


def all(cat: Catalogue) -> list[Run]:
    """Every run, newest first."""
    return [_run(row) for row in rows(cat.db, "SELECT * FROM runs ORDER BY id DESC")]


def waiting(cat: Catalogue) -> list[Run]:
    """Every run that has a place in the queue, the first to go first."""
    sql = "SELECT * FROM runs WHERE place IS NOT NULL ORDER BY place, id"
    return [_run(row) for row in rows(cat.db, sql)]


def update(cat: Catalogue, run_id: int, **fields: Any) -> Run:
    """Change fields of a run.

    Raises:
        NotFound: no such run. TypeError: a field that `Run` does not have or that is fixed.
    """
    values = _values(fields)
    with write(cat.db) as db:
        before = get(cat, run_id)
        if values:
            assignments = ", ".join(f"{field} = ?" for field in values)
            db.execute(f"UPDATE runs SET {assignments} WHERE id = ?", [*values.values(), run_id])
        return get(cat, run_id) if values else before


def rename(cat: Catalogue, run_id: int, name: str) -> Run:
    return update(cat, run_id, name=name)


def note(cat: Catalogue, run_id: int, text: str) -> Run:
    return update(cat, run_id, note=text)


def post_command(cat: Catalogue, run_id: int, command: Command) -> int:
    """Leave a command for a running job, which polls; returns the command's id."""
    with write(cat.db) as db:
        get(cat, run_id)
        values = {"run_id": run_id, "command": command, "created": time.time()}
        return cast(int, db.table("commands").insert(values).last_pk)


def pending_commands(cat: Catalogue, run_id: int) -> list[tuple[int, Command]]:
    """Commands nobody has taken yet, oldest first."""
    sql = "SELECT id, command FROM commands WHERE run_id = ? AND taken IS NULL ORDER BY id"
    return [(row["id"], row["command"]) for row in rows(cat.db, sql, [run_id])]


def take_command(cat: Catalogue, command_id: int) -> bool:
    """Claim a command; False when it was taken before."""
    with write(cat.db) as db:
        sql = "UPDATE commands SET taken = ? WHERE id = ? AND taken IS NULL"
        return bool(db.execute(sql, [time.time(), command_id]).rowcount)


def clear_commands(cat: Catalogue, run_id: int) -> None:
    """Drop what was meant for a process that is gone, so that a resume does not stop at once."""
    with write(cat.db) as db:
        sql = "UPDATE commands SET taken = ? WHERE run_id = ? AND taken IS NULL"
        db.execute(sql, [time.time(), run_id])


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as SQLite takes them; the names are checked, for they become part of a statement."""
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if field not in Run.__slots__ or field in _FIXED:
            raise TypeError(f"a run has no changeable field {field!r}")
        if field in _JSON:
            values[field] = to_json(value)
        else:
            values[field] = storable(value) if isinstance(value, str) else value
    return values


def _run(row: dict[str, Any]) -> Run:
    return Run(**{**row, **{field: from_json(row[field]) for field in _JSON}})
