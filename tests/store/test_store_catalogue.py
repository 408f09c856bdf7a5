"""The catalogue as a file: how it is opened, migrated, shared, and what happens when it fails."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils.migrations import Migrations

from store import datasets, migrations, runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, NotFound, Unsupported
from store.sqlite import Database, connect, rows, write
from store.workspace import Workspace


def pragma(cat: Catalogue, name: str) -> object:
    return cat.db.execute(f"PRAGMA {name}").fetchone()[0]


def test_opens_as_the_design_says(cat: Catalogue) -> None:
    assert pragma(cat, "journal_mode") == "delete"
    assert pragma(cat, "synchronous") == 2
    assert pragma(cat, "foreign_keys") == 1
    assert pragma(cat, "busy_timeout") == 5000
    assert cat.workspace.catalogue_path.stat().st_mode & 0o777 == 0o600
    assert cat.workspace.runs.is_dir()


def test_every_table_is_strict(cat: Catalogue) -> None:
    tables = cat.db.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
    loose = {name for name, strict in tables if not strict and not name.startswith("sqlite_")}
    assert loose == {"_sqlite_migrations"}


def test_migrations_are_recorded_once(workspace: Workspace) -> None:
    for _ in range(3):
        with Catalogue.open(workspace) as cat:
            found = [row["name"] for row in rows(cat.db, "SELECT name FROM _sqlite_migrations")]
    assert found == [
        "001-datasets-and-edits",
        "002-runs-and-commands",
        "003-chats-checks-exports",
        "004-splits",
        "005-edit-steps",
        "006-findings",
        "007-queue-and-forks",
        "008-answers",
        "009-votes",
        "010-skipped",
        "012-branches-and-library",
        "013-check-jobs",
        "014-export-kinds",
    ]


def test_a_failing_migration_leaves_no_trace_and_is_tried_again(tmp_path: Path) -> None:
    steps = Migrations("test")
    broken = [True]

    @steps(name="one")
    def _one(db: Database) -> None:
        db.execute("CREATE TABLE one (x INTEGER) STRICT")

    @steps(name="two")
    def _two(db: Database) -> None:
        db.execute("CREATE TABLE two (x INTEGER) STRICT")
        if broken[0]:
            raise RuntimeError("half way")

    db = connect(tmp_path / "a.db")
    with pytest.raises(RuntimeError):
        migrations.apply(db, steps)
    assert set(db.table_names()) == {"_sqlite_migrations", "one"}
    broken[0] = False
    migrations.apply(db, steps)
    assert [row["name"] for row in rows(db, "SELECT name FROM _sqlite_migrations")] == [
        "one",
        "two",
    ]
    db.close()


OPEN = """
import sys
from pathlib import Path
from store.catalogue import Catalogue
from store.workspace import Workspace
from store import chats
sys.stdin.readline()
with Catalogue.open(Workspace(Path(sys.argv[1]))) as cat:
    for number in range(5):
        chats.create(cat, title=str(number))
"""


def test_many_processes_may_make_and_write_one_catalogue(workspace: Workspace) -> None:
    command = [sys.executable, "-c", OPEN, str(workspace.root)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 4
    with Catalogue.open(workspace) as cat:
        assert rows(cat.db, "SELECT count(*) AS n FROM chats") == [{"n": 20}]
        applied = rows(cat.db, "SELECT name FROM _sqlite_migrations")
        assert len(applied) == len({row["name"] for row in applied}) >= 3


def test_a_catalogue_of_a_newer_workbench_is_refused(workspace: Workspace) -> None:
    with Catalogue.open(workspace) as cat, write(cat.db) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('catalogue', '999-votes', 'later')"
        )
    with pytest.raises(Unsupported, match="999-votes"):
        Catalogue.open(workspace)


def test_what_is_no_database_is_named(workspace: Workspace, tmp_path: Path) -> None:
    workspace.create()
    workspace.catalogue_path.write_text("this is a diary, not a database\n" * 100)
    with pytest.raises(BadInput, match=r"workbench\.db: not a sound SQLite database"):
        Catalogue.open(workspace)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot make the workspace folder"):
        Catalogue.open(Workspace(tmp_path / "file" / "below"))


def test_a_full_disk_refuses_the_write_and_keeps_the_rest(cat: Catalogue) -> None:
    run = runs.create(cat, model="starter", dataset="/a.jsonl", recipe={}, seed=1)
    pages = pragma(cat, "page_count")
    cat.db.execute(f"PRAGMA max_page_count={pages}").fetchall()
    with pytest.raises(NoSpace, match=r"workbench\.db: the disk is full"), write(cat.db):
        runs.rename(cat, run.id, "half")
        runs.note(cat, run.id, "x" * 100_000)
    assert runs.get(cat, run.id) == run
    cat.db.execute("PRAGMA max_page_count=1000000").fetchall()
    assert runs.note(cat, run.id, "x" * 100_000).note == "x" * 100_000
    assert pragma(cat, "integrity_check") == "ok"


def test_a_lock_held_too_long_is_a_conflict(cat: Catalogue) -> None:
    other = sqlite3.connect(cat.workspace.catalogue_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cat.db.execute("PRAGMA busy_timeout=10").fetchall()
    with pytest.raises(Conflict, match="locked by another process"):
        runs.create(cat, model="m", dataset="d", recipe={}, seed=0)
    other.execute("ROLLBACK")
    other.close()
    assert runs.create(cat, model="m", dataset="d", recipe={}, seed=0).id == 1


def test_nested_writes_are_one(cat: Catalogue) -> None:
    with pytest.raises(NotFound), write(cat.db):
        runs.create(cat, model="m", dataset="d", recipe={}, seed=0)
        runs.rename(cat, 77, "nobody")
    assert runs.all(cat) == []


def test_foreign_keys_hold(cat: Catalogue) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        runs.create(cat, model="m", dataset="d", recipe={}, seed=0, snapshot="0" * 64)


def test_a_path_that_is_no_utf8_is_named(cat: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.jsonl"
    with pytest.raises(BadInput, match="not valid UTF-8"):
        datasets.remember(cat, path, tmp_path.stat())


def test_importing_the_store_brings_nothing_heavy() -> None:
    program = (
        "import sys, store.rundb, store.runs, store.edits, store.exports, store.chats\n"
        "heavy = {'torch', 'numpy', 'pandas', 'textual', 'transformers', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "import numpy; print(numpy.arange(3).sum())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["[]", "3"], done.stderr
