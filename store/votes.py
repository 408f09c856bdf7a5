"""Votes: which of the answers to one question a person found better.

Knows questions, answers and verdicts. Does not know models or statistics (see `engine.votes`). A
vote is never changed: the newest on an item is the one that counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from store.catalogue import Catalogue
from store.errors import NotFound
from store.sqlite import from_json, path_text, rows, storable, to_json, write

Verdict = Literal["better", "tie", "bad", "void", "withdrawn"]
"""`bad`: none of the answers is good. `void`: there is nothing to judge, `note` says why.
`withdrawn`: the vote before was taken back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model (with its step) said.

    Attributes:
        text: None until it has been asked.
        parted: the conversation it continued, where others of the item continued another one.
    """

    model: str
    text: str | None = None
    tokens: int | None = None
    stop: str | None = None
    parted: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """One verdict on an item. `best` is the place of the better answer, for `better` alone."""

    id: int
    item_id: int
    verdict: Verdict
    best: int | None
    blind: bool
    note: str
    created: float


@dataclass(frozen=True, slots=True)
class Item:
    """A question and its answers, in the order in which they are shown.

    Attributes:
        review_id: the review it belongs to; chat_id: the chat it was said in.
        turns: (role, text) of the conversation that the answers continue.
        vote: the newest, unless it was withdrawn.
    """

    id: int
    review_id: int | None
    chat_id: int | None
    turns: tuple[tuple[str, str], ...]
    answers: tuple[Answer, ...]
    sampling: dict[str, Any]
    created: float
    vote: Vote | None

    @property
    def answered(self) -> bool:
        """Whether every model has been asked."""
        return all(answer.text is not None for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Review:
    """Items that are to be judged one after the other, now or later.

    Attributes:
        models: references with their step, in the order they were named.
        settings: `blind`, `source` of the questions, and the `sampling` of the answers.
    """

    id: int
    name: str
    models: tuple[str, ...]
    settings: dict[str, Any]
    created: float


def create_review(
    cat: Catalogue,
    name: str,
    models: Sequence[str],
    settings: dict[str, Any],
    questions: Iterable[tuple[Sequence[tuple[str, str]], Sequence[str]]],
) -> Review:
    """A review of these questions, each with the models that answer it in the order shown."""
    values = {
        "name": storable(name),
        "models": to_json(list(models)),
        "settings": to_json(settings),
        "created": time.time(),
    }
    with write(cat.db) as db:
        review_id = cast(int, db.table("reviews").insert(values).last_pk)
        for turns, asked in questions:
            answers = [Answer(model) for model in asked]
            _insert(cat, turns, answers, settings.get("sampling", {}), review_id=review_id)
        return review(cat, review_id)


def review(cat: Catalogue, review_id: int) -> Review:
    """Raises: NotFound."""
    found = rows(cat.db, "SELECT * FROM reviews WHERE id = ?", [review_id])
    if not found:
        raise NotFound(f"review {review_id} does not exist", "`workbench vote` lists them.")
    return _review(found[0])


def reviews(cat: Catalogue) -> list[Review]:
    """Every review, newest first."""
    return [_review(row) for row in rows(cat.db, "SELECT * FROM reviews ORDER BY id DESC")]


def add_item(
    cat: Catalogue,
    turns: Sequence[tuple[str, str]],
    answers: Sequence[Answer],
    sampling: dict[str, Any],
    *,
    chat_id: int | None = None,
) -> Item:
    """A question that was answered in a chat."""
    with write(cat.db):
        return item(cat, _insert(cat, turns, answers, sampling, chat_id=chat_id))


def answer(cat: Catalogue, item_id: int, answers: Sequence[Answer]) -> None:
    """Keep what the models said."""
    said = to_json([asdict(one) for one in answers])
    with write(cat.db) as db:
        db.execute("UPDATE vote_items SET answers = ? WHERE id = ?", [said, item_id])


def item(cat: Catalogue, item_id: int) -> Item:
    """Raises: NotFound."""
    found = _items(cat, "items.id = ?", [item_id])
    if not found:
        raise NotFound(f"there is nothing to vote on by number {item_id}", "Ask again.")
    return found[0]


def items(cat: Catalogue, review_id: int) -> list[Item]:
    """What a review asks, in its order."""
    return _items(cat, "items.review_id = ?", [review_id])


def of_chat(cat: Catalogue, chat_id: int) -> list[Item]:
    """What was voted on in a chat, in order."""
    return _items(cat, "items.chat_id = ?", [chat_id])


def all_items(cat: Catalogue) -> list[Item]:
    """Everything that can be or was voted on, oldest first."""
    return _items(cat, "TRUE", [])


def vote(
    cat: Catalogue,
    item_id: int,
    verdict: Verdict,
    best: int | None = None,
    *,
    blind: bool = False,
    note: str = "",
) -> Vote:
    """Give a verdict; it stands in the place of an earlier one."""
    values = {
        "item_id": item_id,
        "verdict": verdict,
        "best": best,
        "blind": int(blind),
        "note": storable(note),
        "created": time.time(),
    }
    with write(cat.db) as db:
        vote_id = cast(int, db.table("votes").insert(values).last_pk)
        return _vote(rows(db, "SELECT * FROM votes WHERE id = ?", [vote_id])[0])


def landed(cat: Catalogue, path: str) -> set[int]:
    """The votes that became rows of this dataset."""
    sql = "SELECT vote_id FROM vote_rows WHERE path = ?"
    return {row["vote_id"] for row in rows(cat.db, sql, [path_text(path)])}


def land(cat: Catalogue, path: str, vote_ids: Iterable[int]) -> None:
    """Remember that these votes became rows of a dataset."""
    with write(cat.db) as db:
        for vote_id in vote_ids:
            db.execute(
                "INSERT OR IGNORE INTO vote_rows (path, vote_id, created) VALUES (?, ?, ?)",
                [path_text(path), vote_id, time.time()],
            )


def _insert(
    cat: Catalogue,
    turns: Sequence[tuple[str, str]],
    answers: Sequence[Answer],
    sampling: dict[str, Any],
    *,
    review_id: int | None = None,
    chat_id: int | None = None,
) -> int:
    values = {
        "review_id": review_id,
        "chat_id": chat_id,
        "turns": to_json([list(turn) for turn in turns]),
        "answers": to_json([asdict(one) for one in answers]),
        "sampling": to_json(sampling),
        "created": time.time(),
    }
    return cast(int, cat.db.table("vote_items").insert(values).last_pk)


def _items(cat: Catalogue, where: str, parameters: Sequence[Any]) -> list[Item]:
    sql = (
        "SELECT items.*, votes.id AS vote_id, verdict, best, blind, note, "
        "votes.created AS voted FROM vote_items AS items LEFT JOIN votes ON votes.id = "
        "(SELECT max(id) FROM votes WHERE votes.item_id = items.id) "
        f"WHERE {where} ORDER BY items.id"
    )
    return [_item(row) for row in rows(cat.db, sql, parameters)]


def _item(row: dict[str, Any]) -> Item:
    found = None
    if row["vote_id"] is not None and row["verdict"] != "withdrawn":
        given = {key: row[key] for key in ("verdict", "best", "blind", "note")}
        found = _vote({**given, "id": row["vote_id"], "item_id": row["id"],
                       "created": row["voted"]})  # fmt: skip
    return Item(
        row["id"],
        row["review_id"],
        row["chat_id"],
        _turns(from_json(row["turns"])),
        tuple(
            Answer(**{**said, "parted": _turns(said["parted"])})
            for said in from_json(row["answers"])
        ),
        from_json(row["sampling"]),
        row["created"],
        found,
    )


def _turns(listed: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((role, text) for role, text in listed)


def _vote(row: dict[str, Any]) -> Vote:
    return Vote(**{**row, "blind": bool(row["blind"])})


def _review(row: dict[str, Any]) -> Review:
    models, settings = tuple(from_json(row["models"])), from_json(row["settings"])
    return Review(row["id"], row["name"], models, settings, row["created"])
