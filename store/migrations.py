"""How both databases get their shape: named migrations are applied once and recorded.

Knows how to do that while several processes arrive. Does not know the tables: the catalogue's are
in `store.tables`, a run's in `store.runtables`. A published migration is never changed; a new need
is a new migration at the end.
"""

from __future__ import annotations

import functools
import sqlite3

from store.errors import Unsupported
from store.runtables import RUN
from store.sqlite import Database, Migrations, file_of, write
from store.tables_exports import CATALOGUE


def migrate_catalogue(db: Database) -> None:
    """Bring the catalogue up to date; nearly free where there is nothing to do."""
    apply(db, CATALOGUE)


def migrate_run(db: Database) -> None:
    """Bring a run database up to date. Only its writer calls this."""
    apply(db, RUN)


def apply(db: Database, migrations: Migrations) -> None:
    """Apply what is pending, each migration and its record in one transaction of their own.

    BEGIN IMMEDIATE and a second look inside make it safe for several processes to arrive at a
    fresh file at the same moment.

    Raises:
        Unsupported: the file was written by a newer Workbench.
    """
    known = _names(migrations)
    applied = _applied(db, migrations.name)
    strangers = sorted(applied - set(known))
    if strangers:
        raise Unsupported(
            f"{file_of(db)}: written by a newer Workbench (knows {strangers[0]!r})",
            "Update Workbench, or name another workspace with --workspace DIR.",
        )
    while not applied.issuperset(known):
        with write(db):
            pending = [migration.name for migration in migrations.pending(db)]
            if pending:
                migrations.apply(db, stop_before=pending[1:])
        applied = _applied(db, migrations.name)


def _applied(db: Database, name: str) -> set[str]:
    sql = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    try:
        return {row[0] for row in db.execute(sql, [name]).fetchall()}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return set()
        raise


@functools.cache
def _names(migrations: Migrations) -> tuple[str, ...]:
    with Database(memory=True, execute_plugins=False) as empty:
        return tuple(migration.name for migration in migrations.pending(empty))
