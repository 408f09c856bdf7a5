"""The tables of chats as they grew, as migrations of the catalogue.

Knows the shape. A conversation is a tree of questions: nothing that was asked or said is changed
when a question is edited or asked again.
"""

from __future__ import annotations

from store.sqlite import Database, statements, to_json
from store.tables import CATALOGUE

__all__ = ["CATALOGUE"]


@CATALOGUE(name="012-branches-and-library")
def _branches(db: Database) -> None:
    statements(
        db,
        "ALTER TABLE turns ADD COLUMN parent INTEGER",  # a question's: the one before; an answer's
        "ALTER TABLE turns ADD COLUMN system TEXT",  # of a question
        "ALTER TABLE turns ADD COLUMN sampling TEXT "  # of an answer
        "CHECK (sampling IS NULL OR json_valid(sampling))",
        "ALTER TABLE turns ADD COLUMN place TEXT",  # device and precision of an answer
        "ALTER TABLE chats ADD COLUMN changed REAL NOT NULL DEFAULT 0",
        "ALTER TABLE chats ADD COLUMN models TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(models))",
        "ALTER TABLE chats ADD COLUMN head INTEGER",  # the last question of the branch in view
        "CREATE INDEX chats_by_change ON chats(changed)",
        """CREATE TABLE library (
            kind TEXT NOT NULL CHECK (kind IN ('prompt', 'system', 'preset')),
            name TEXT NOT NULL,
            text TEXT NOT NULL,
            changed REAL NOT NULL,
            PRIMARY KEY (kind, name)
        ) STRICT, WITHOUT ROWID""",
    )
    _one_branch(db)


def _one_branch(db: Database) -> None:
    """What is there has one branch: a question comes after the one before it in its chat."""
    held = db.execute("SELECT id, created, system, sampling FROM chats").fetchall()
    for chat, created, system, sampling in held:
        head, position, changed, models = None, -2, created, dict[str, str]()
        sql = 'SELECT id, role, "column", model, created FROM turns WHERE chat_id = ? ORDER BY id'
        for turn, role, column, model, said in db.execute(sql, [chat]).fetchall():
            changed = said
            if role == "user":
                position += 2
                change = "parent = ?, position = ?, system = ?"
                db.execute(
                    f"UPDATE turns SET {change} WHERE id = ?", [head, position, system, turn]
                )
                head = turn
            else:
                models[column] = model
                change = "sampling = json_set(?, '$.seed', coalesce(seed, 0))"
                db.execute(
                    f"UPDATE turns SET parent = ?, position = ?, {change} WHERE id = ?",
                    [head, position + 1, sampling, turn],
                )
        db.execute(
            "UPDATE chats SET head = ?, changed = ?, models = ? WHERE id = ?",
            [head, changed, to_json([models[column] for column in sorted(models)]), chat],
        )
