"""Exports and their proofs.

Knows which file came from which model, and what was proved of it. Does not convert, merge or
prove anything (see `engine.export`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, path_text, rows, storable, to_json, write

Kind = Literal["gguf", "merged", "adapter", "adapter-gguf", "ollama"]
ExportStatus = Literal["running", "proved", "unproved", "failed"]
Verdict = Literal["pass", "warn", "fail"]

_CHANGEABLE = ("path", "bytes", "sha256", "status", "finished", "provenance", "step", "run_id")


@dataclass(frozen=True, slots=True)
class Export:
    """A file (or folder) made from a model; `provenance` says from what, with what, and how."""

    id: int
    ref: str
    run_id: int | None
    step: int | None
    kind: Kind
    type: str
    path: str
    bytes: int | None
    sha256: str | None
    status: ExportStatus
    created: float
    finished: float | None
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Proof:
    """A comparison of a file with a model; `export_id` is None for a file from elsewhere."""

    id: int
    export_id: int | None
    file: str
    sha256: str
    against: str
    verdict: Verdict
    stages: list[dict[str, Any]]
    created: float


def create(
    cat: Catalogue,
    *,
    ref: str,
    kind: Kind,
    type: str,
    path: str,
    run_id: int | None = None,
    step: int | None = None,
    provenance: dict[str, Any] | None = None,
) -> Export:
    """Note an export that begins; its status is `running`."""
    values = {
        "ref": storable(ref),
        "run_id": run_id,
        "step": step,
        "kind": kind,
        "type": type,
        "path": path_text(path),
        "status": "running",
        "created": time.time(),
        "provenance": to_json(provenance or {}),
    }
    with write(cat.db) as db:
        export_id = cast(int, db.table("exports").insert(values).last_pk)
        return get(cat, export_id)


def update(cat: Catalogue, export_id: int, **fields: Any) -> Export:
    """Change fields of an export.

    Raises:
        NotFound: no such export. TypeError: a field that cannot be changed.
    """
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if field not in _CHANGEABLE:
            raise TypeError(f"an export has no changeable field {field!r}")
        values[field] = to_json(value) if field == "provenance" else value
    if "path" in values:
        values["path"] = path_text(values["path"])
    with write(cat.db) as db:
        before = get(cat, export_id)
        if not values:
            return before
        assignments = ", ".join(f"{field} = ?" for field in values)
        db.execute(f"UPDATE exports SET {assignments} WHERE id = ?", [*values.values(), export_id])
        return get(cat, export_id)


def get(cat: Catalogue, export_id: int) -> Export:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM exports WHERE id = ?", [export_id])
    if not found:
        raise NotFound(
            f"export {export_id} does not exist", "Make one with `workbench export REF --to gguf`."
        )
    return _export(found[0])


def delete(cat: Catalogue, export_id: int) -> None:
    """Forget an export and its proofs. Raises: NotFound."""
    with write(cat.db) as db:
        get(cat, export_id)
        db.execute("DELETE FROM proofs WHERE export_id = ?", [export_id])
        db.execute("DELETE FROM exports WHERE id = ?", [export_id])


def all(cat: Catalogue) -> list[Export]:
    """Every export, newest first."""
    return [_export(row) for row in rows(cat.db, "SELECT * FROM exports ORDER BY id DESC")]


def add_proof(
    cat: Catalogue,
    *,
    file: str,
    sha256: str,
    against: str,
    verdict: Verdict,
    stages: list[dict[str, Any]],
    export_id: int | None = None,
) -> Proof:
    values = {
        "export_id": export_id,
        "file": path_text(file),
        "sha256": sha256,
        "against": storable(against),
        "verdict": verdict,
        "stages": to_json(stages),
        "created": time.time(),
    }
    with write(cat.db) as db:
        proof_id = db.table("proofs").insert(values).last_pk
        return _proof(rows(db, "SELECT * FROM proofs WHERE id = ?", [proof_id])[0])


def proofs(cat: Catalogue, export_id: int | None = None) -> list[Proof]:
    """Proofs newest first, of one export where named."""
    sql = "SELECT * FROM proofs WHERE ? IS NULL OR export_id = ? ORDER BY id DESC"
    return [_proof(row) for row in rows(cat.db, sql, [export_id, export_id])]


def _export(row: dict[str, Any]) -> Export:
    return Export(**{**row, "provenance": from_json(row["provenance"])})


def _proof(row: dict[str, Any]) -> Proof:
    return Proof(**{**row, "stages": from_json(row["stages"])})
