"""What a person keeps by name: prompts, system prompts and sampling presets.

Knows names and texts; a preset's text is JSON (see `engine.chat.presets`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound
from store.sqlite import rows, storable, write

Kind = Literal["prompt", "system", "preset"]
LONGEST_NAME = 80
_CALLED = {"prompt": "prompt", "system": "system prompt", "preset": "preset"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A text by its name."""

    kind: Kind
    name: str
    text: str
    changed: float


def keep(cat: Catalogue, kind: Kind, name: str, text: str, *, replace: bool = False) -> Kept:
    """Keep a text under a name.

    Raises:
        BadInput: the name or the text is empty, or the name too long.
        Conflict: the name is taken, and `replace` was not said.
    """
    name, text = _name(name), storable(text)
    if not text.strip():
        raise BadInput(f"{_CALLED[kind]} '{name}': there is no text to keep", "Write it first.")
    with write(cat.db) as db:
        if not replace:
            _free(cat, kind, name)
        db.execute(
            "INSERT OR REPLACE INTO library VALUES (?, ?, ?, ?)", [kind, name, text, time.time()]
        )
        return find(cat, kind, name)


def find(cat: Catalogue, kind: Kind, name: str) -> Kept:
    """Raises: NotFound."""
    sql = "SELECT * FROM library WHERE kind = ? AND name = ?"
    found = rows(cat.db, sql, [kind, storable(name).strip()])
    if not found:
        known = ", ".join(one.name for one in all(cat, kind)[:8]) or "none yet"
        raise NotFound(f"there is no {_CALLED[kind]} '{name}'", f"There are: {known}.")
    return Kept(**found[0])


def all(cat: Catalogue, kind: Kind | None = None) -> list[Kept]:
    """What is kept, of one kind or all, by name."""
    sql = "SELECT * FROM library WHERE ?1 IS NULL OR kind = ?1 ORDER BY kind, name"
    return [Kept(**row) for row in rows(cat.db, sql, [kind])]


def rename(cat: Catalogue, kind: Kind, name: str, new: str) -> Kept:
    """Raises: NotFound; BadInput, Conflict: as in `keep`."""
    new = _name(new)
    with write(cat.db) as db:
        old = find(cat, kind, name)
        if new != old.name:
            _free(cat, kind, new)
            sql = "UPDATE library SET name = ? WHERE kind = ? AND name = ?"
            db.execute(sql, [new, kind, old.name])
        return find(cat, kind, new)


def delete(cat: Catalogue, kind: Kind, name: str) -> Kept:
    """Forget a text; what it was. Raises: NotFound."""
    with write(cat.db) as db:
        old = find(cat, kind, name)
        db.execute("DELETE FROM library WHERE kind = ? AND name = ?", [kind, old.name])
        return old


def _name(name: str) -> str:
    """Raises: BadInput."""
    cleaned = " ".join(storable(name).split())
    if not cleaned or len(cleaned) > LONGEST_NAME:
        raise BadInput(
            f"a name has 1 to {LONGEST_NAME} characters; this one has {len(cleaned)}",
            "Give it another name.",
        )
    return cleaned


def _free(cat: Catalogue, kind: Kind, name: str) -> None:
    """Raises: Conflict."""
    sql = "SELECT 1 FROM library WHERE kind = ? AND name = ?"
    if rows(cat.db, sql, [kind, name]):
        raise Conflict(
            f"there is a {_CALLED[kind]} '{name}' already",
            "Take another name, or replace it (--replace).",
        )
