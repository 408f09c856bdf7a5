"""Chats: what was asked and what each column answered.

Knows texts and numbers. Does not know templates, models or streams (see `engine.chat`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, rows, storable, to_json, write


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, with the system prompt and sampling settings it was held under."""

    id: int
    title: str
    created: float
    system: str
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Answers of several columns to one question share a position.

    `tokens` were generated in `seconds`, the first after `first_token_seconds`.
    """

    id: int
    chat_id: int
    position: int
    role: str
    text: str
    column: str | None
    model: str | None
    tokens: int | None
    seconds: float | None
    first_token_seconds: float | None
    stop: str | None
    seed: int | None
    created: float


def create(
    cat: Catalogue,
    *,
    title: str = "",
    system: str = "",
    sampling: dict[str, Any] | None = None,
) -> Chat:
    values = {
        "title": storable(title),
        "created": time.time(),
        "system": storable(system),
        "sampling": to_json(sampling or {}),
    }
    with write(cat.db) as db:
        chat_id = cast(int, db.table("chats").insert(values).last_pk)
        return get(cat, chat_id)


def get(cat: Catalogue, chat_id: int) -> Chat:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM chats WHERE id = ?", [chat_id])
    if not found:
        raise NotFound(f"chat {chat_id} does not exist", "Pick one from the list of chats.")
    return _chat(found[0])


def all(cat: Catalogue) -> list[Chat]:
    """Every chat, newest first."""
    return [_chat(row) for row in rows(cat.db, "SELECT * FROM chats ORDER BY id DESC")]


def rename(cat: Catalogue, chat_id: int, title: str) -> Chat:
    with write(cat.db) as db:
        get(cat, chat_id)
        db.execute("UPDATE chats SET title = ? WHERE id = ?", [storable(title), chat_id])
        return get(cat, chat_id)


def add_turn(
    cat: Catalogue,
    chat_id: int,
    role: str,
    text: str,
    *,
    position: int | None = None,
    column: str | None = None,
    model: str | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    first_token_seconds: float | None = None,
    stop: str | None = None,
    seed: int | None = None,
) -> Turn:
    """Add a message; its position is the next one unless given (as for a second column)."""
    with write(cat.db) as db:
        get(cat, chat_id)
        if position is None:
            sql = "SELECT coalesce(max(position), -1) + 1 AS next FROM turns WHERE chat_id = ?"
            position = cast(int, rows(db, sql, [chat_id])[0]["next"])
        values = {
            "chat_id": chat_id,
            "position": position,
            "role": role,
            "text": storable(text),
            "column": column,
            "model": model,
            "tokens": tokens,
            "seconds": seconds,
            "first_token_seconds": first_token_seconds,
            "stop": stop,
            "seed": seed,
            "created": time.time(),
        }
        turn_id = cast(int, db.table("turns").insert(values).last_pk)
        return Turn(**rows(db, "SELECT * FROM turns WHERE id = ?", [turn_id])[0])


def turns(cat: Catalogue, chat_id: int) -> list[Turn]:
    """The messages of a chat in order; columns of one position next to each other."""
    sql = "SELECT * FROM turns WHERE chat_id = ? ORDER BY position, id"
    return [Turn(**row) for row in rows(cat.db, sql, [chat_id])]


def _chat(row: dict[str, Any]) -> Chat:
    return Chat(**{**row, "sampling": from_json(row["sampling"])})
