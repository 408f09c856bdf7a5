"""Answers that were given once and need not be given again, by what decides them.

Knows keys and texts. Does not know what a key stands for (see `engine.checks.asking`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from store.catalogue import Catalogue
from store.sqlite import rows, storable, write

_AT_ONCE = 500
"""Keys in one question, below SQLite's limit of variables."""


@dataclass(frozen=True, slots=True)
class Known:
    """An answer as the model gave it."""

    text: str
    tokens: int
    stop: str


def find(cat: Catalogue, keys: Iterable[str]) -> dict[str, Known]:
    """Those of the keys that were answered."""
    found = {}
    remaining = iter(keys)
    while some := list(islice(remaining, _AT_ONCE)):
        marks = ",".join("?" * len(some))
        sql = f"SELECT key, text, tokens, stop FROM answers WHERE key IN ({marks})"
        for row in rows(cat.db, sql, some):
            found[row["key"]] = Known(row["text"], row["tokens"], row["stop"])
    return found


def keep(cat: Catalogue, answers: Mapping[str, Known]) -> None:
    """Remember answers."""
    now = time.time()
    values = [(key, storable(a.text), a.tokens, a.stop, now) for key, a in answers.items()]
    with write(cat.db) as db:
        db.conn.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", values)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a model cannot answer a conversation: the same would happen again."""

    message: str
    hint: str


def refused(cat: Catalogue, keys: Iterable[str]) -> dict[str, Unanswered]:
    """Those of the keys that could not be answered."""
    found = {}
    remaining = iter(keys)
    while some := list(islice(remaining, _AT_ONCE)):
        sql = (
            f"SELECT key, message, hint FROM unanswered WHERE key IN ({','.join('?' * len(some))})"
        )
        for row in rows(cat.db, sql, some):
            found[row["key"]] = Unanswered(row["message"], row["hint"])
    return found


def keep_refused(cat: Catalogue, refusals: Mapping[str, Unanswered]) -> None:
    """Remember what could not be answered."""
    now = time.time()
    values = [(key, storable(r.message), storable(r.hint), now) for key, r in refusals.items()]
    with write(cat.db) as db:
        db.conn.executemany("INSERT OR REPLACE INTO unanswered VALUES (?, ?, ?, ?)", values)
