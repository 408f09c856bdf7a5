"""Exports and their proofs survive the migration that lets them be of more kinds."""

from __future__ import annotations

from store import exports
from store.catalogue import Catalogue
from store.sqlite import Database, connect, write
from store.tables_exports import CATALOGUE
from store.workspace import Workspace


def test_more_kinds_keep_what_there_was(workspace: Workspace) -> None:
    workspace.create()
    db = connect(workspace.root / "workbench.db")
    with write(db):
        _older(db)
    db.close()
    with Catalogue.open(workspace) as cat:
        assert [export.id for export in exports.all(cat)] == [2, 1]
        made = exports.create(cat, ref="starter", kind="ollama", type="f16", path="/y")
        assert made.id == 4
        exports.delete(cat, 1)
        assert [proof.export_id for proof in exports.proofs(cat)] == [2]


def _older(db: Database) -> None:
    """Three exports with proofs, the last of them deleted again."""
    CATALOGUE.apply(db, stop_before=["014-export-kinds"])
    for number in (1, 2, 3):
        db.execute(
            "INSERT INTO exports (id, ref, kind, type, path, status, created, provenance) "
            "VALUES (?, 'starter', 'gguf', 'f16', '/x', 'proved', 0, '{}')",
            [number],
        )
        db.execute(
            "INSERT INTO proofs (export_id, file, sha256, against, verdict, stages, created) "
            "VALUES (?, '/x', '0', 'starter', 'pass', '[]', 0)",
            [number],
        )
    db.execute("DELETE FROM proofs WHERE export_id = 3")
    db.execute("DELETE FROM exports WHERE id = 3")
