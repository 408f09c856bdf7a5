"""Chats: what was asked, what each column answered, and every branch of it.

A conversation is a tree of questions (see `store.rounds`): one that is edited or asked again is a
new question beside the old one, so nothing is ever overwritten. Knows texts and numbers. Does not
know templates, models or streams (see `engine.chat`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, rows, storable, to_json, write

DIED = "died"
"""The stop reason of half an answer, whose worker died."""
EDITED = "edited"
"""The stop reason of what a person wrote in place of an answer."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, with the system prompt and sampling settings it began under.

    Attributes:
        changed: when it was asked last.
        models: references of the columns, left first, as they were asked last.
        head: the last question of the branch in view; None before the first.
    """

    id: int
    title: str
    created: float
    system: str
    sampling: dict[str, Any]
    changed: float
    models: tuple[str, ...]
    head: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A question (`user`) or one column's answer to it (`assistant`).

    `tokens` were generated in `seconds`, the first after `first_token_seconds`.

    Attributes:
        position: even for a question, odd for the answers to it; branches share positions.
        parent: of a question the one before it, None for a first one; of an answer its question.
        system: of a question, the system prompt it was asked under.
        sampling: of an answer, how it was drawn, its seed with it.
        place: of an answer, the device and precision of the model.
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
    parent: int | None
    system: str | None
    sampling: dict[str, Any] | None
    place: str | None


def create(
    cat: Catalogue,
    *,
    title: str = "",
    system: str = "",
    sampling: dict[str, Any] | None = None,
) -> Chat:
    """A new chat, in which nothing was asked yet."""
    now = time.time()
    values = {
        "title": storable(title),
        "created": now,
        "changed": now,
        "system": storable(system),
        "sampling": to_json(sampling or {}),
        "models": "[]",
    }
    with write(cat.db) as db:
        return get(cat, cast(int, db.table("chats").insert(values).last_pk))


def get(cat: Catalogue, chat_id: int) -> Chat:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM chats WHERE id = ?", [chat_id])
    if not found:
        raise NotFound(f"chat {chat_id} does not exist", "`workbench chats` lists those there are.")
    return chat_of(found[0])


def all(cat: Catalogue) -> list[Chat]:
    """Every chat, newest first."""
    return [chat_of(row) for row in rows(cat.db, "SELECT * FROM chats ORDER BY id DESC")]


def rename(cat: Catalogue, chat_id: int, title: str) -> Chat:
    """Raises: NotFound."""
    with write(cat.db) as db:
        get(cat, chat_id)
        db.execute("UPDATE chats SET title = ? WHERE id = ?", [storable(title), chat_id])
        return get(cat, chat_id)


def delete(cat: Catalogue, chat_id: int) -> None:
    """Forget a chat with all its branches; votes on it stay. Raises: NotFound."""
    with write(cat.db) as db:
        get(cat, chat_id)
        db.execute("DELETE FROM chats WHERE id = ?", [chat_id])


def look_at(cat: Catalogue, chat_id: int, head: int | None, models: Sequence[str] = ()) -> None:
    """Remember which branch is in view, and the columns' models where given."""
    with write(cat.db) as db:
        get(cat, chat_id)
        db.execute("UPDATE chats SET head = ? WHERE id = ?", [head, chat_id])
        if models:
            listed = to_json([storable(model) for model in models])
            db.execute("UPDATE chats SET models = ? WHERE id = ?", [listed, chat_id])


def ask(
    cat: Catalogue,
    chat_id: int,
    text: str,
    *,
    after: int | None = None,
    system: str = "",
    models: Sequence[str] = (),
) -> Turn:
    """A question, which from now on is the head of its chat.

    Args:
        after: the question that it comes after; None begins the conversation (again).
        models: references of the columns that are asked.
    Raises:
        NotFound: there is no such chat, or no such question in it.
    """
    with write(cat.db) as db:
        get(cat, chat_id)
        position = 0
        if after is not None:
            position = _question(cat, after, chat_id).position + 2
        values = {
            "chat_id": chat_id,
            "position": position,
            "role": "user",
            "text": storable(text),
            "created": time.time(),
            "parent": after,
            "system": storable(system),
        }
        made = _insert(cat, values)
        db.execute("UPDATE chats SET changed = ? WHERE id = ?", [made.created, chat_id])
        look_at(cat, chat_id, made.id, models)
        return made


def answer(
    cat: Catalogue,
    question: int,
    text: str,
    *,
    column: str,
    model: str,
    tokens: int | None = None,
    seconds: float | None = None,
    first_token_seconds: float | None = None,
    stop: str | None = None,
    sampling: dict[str, Any] | None = None,
    place: str | None = None,
) -> Turn:
    """One column's answer to a question. Raises: NotFound."""
    with write(cat.db):
        asked = _question(cat, question)
        values = {
            "chat_id": asked.chat_id,
            "position": asked.position + 1,
            "role": "assistant",
            "text": storable(text),
            "column": column,
            "model": storable(model),
            "tokens": tokens,
            "seconds": seconds,
            "first_token_seconds": first_token_seconds,
            "stop": stop,
            "seed": (sampling or {}).get("seed"),
            "created": time.time(),
            "parent": question,
            "sampling": None if sampling is None else to_json(sampling),
            "place": place,
        }
        return _insert(cat, values)


def carry(cat: Catalogue, answers: Sequence[Turn], question: int) -> None:
    """Let answers stand under another question too: one column alone was asked again."""
    columns = ('role, text, "column", model, tokens, seconds, first_token_seconds, stop, seed, '
               "created, sampling, place")  # fmt: skip
    with write(cat.db) as db:
        asked = _question(cat, question)
        for one in answers:
            db.execute(
                f"INSERT INTO turns (chat_id, position, parent, {columns}) "
                f"SELECT ?, ?, ?, {columns} FROM turns WHERE id = ?",
                [asked.chat_id, asked.position + 1, question, one.id],
            )


def turns(cat: Catalogue, chat_id: int) -> list[Turn]:
    """Every question and answer of a chat, all branches, in the order they were said."""
    sql = "SELECT * FROM turns WHERE chat_id = ? ORDER BY id"
    return [turn_of(row) for row in rows(cat.db, sql, [chat_id])]


def asked_before(cat: Catalogue, limit: int = 200) -> list[str]:
    """Questions of all chats, oldest first, each once, at its newest place."""
    sql = "SELECT text FROM turns WHERE role = 'user' ORDER BY id DESC LIMIT ?"
    texts = dict.fromkeys(row["text"] for row in rows(cat.db, sql, [limit]))
    return list(texts)[::-1]


def _question(cat: Catalogue, turn_id: int, chat_id: int | None = None) -> Turn:
    found = rows(cat.db, "SELECT * FROM turns WHERE id = ? AND role = 'user'", [turn_id])
    if not found or chat_id not in (None, found[0]["chat_id"]):
        raise NotFound(
            f"there is no question {turn_id}" + ("" if chat_id is None else f" in chat {chat_id}"),
            "The chat was deleted meanwhile; begin a new one.",
        )
    return turn_of(found[0])


def _insert(cat: Catalogue, values: dict[str, Any]) -> Turn:
    turn_id = cast(int, cat.db.table("turns").insert(values).last_pk)
    return turn_of(rows(cat.db, "SELECT * FROM turns WHERE id = ?", [turn_id])[0])


def chat_of(row: dict[str, Any]) -> Chat:
    """A row of the table as a chat."""
    listed = {"sampling": from_json(row["sampling"]), "models": tuple(from_json(row["models"]))}
    return Chat(**{**row, **listed})


def turn_of(row: dict[str, Any]) -> Turn:
    """A row of the table as a turn."""
    sampling = row["sampling"]
    return Turn(**{**row, "sampling": None if sampling is None else from_json(sampling)})
