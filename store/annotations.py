"""Annotations: tags and notes on rows, kept beside the file.

Knows them by the hash of a row's content, so that they stay with a row wherever it moves. Does not
know rows or files: whoever edits a row says what it became.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.catalogue import Catalogue
from store.errors import BadInput
from store.sqlite import from_json, rows, storable, to_json, write

MOST_TAG = 64
"""Characters of a tag."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is noted about one content."""

    tags: tuple[str, ...] = ()
    note: str = ""


def of(cat: Catalogue, dataset_id: int, content: bytes) -> Note:
    """What is noted about a row, by the hash of its content."""
    sql = "SELECT tags, note FROM annotations WHERE dataset_id = ? AND content = ?"
    found = rows(cat.db, sql, [dataset_id, content])
    return Note(tuple(from_json(found[0]["tags"])), found[0]["note"]) if found else Note()


def all(cat: Catalogue, dataset_id: int) -> dict[bytes, Note]:
    """Everything noted about a dataset's rows, by content hash."""
    sql = "SELECT content, tags, note FROM annotations WHERE dataset_id = ?"
    return {
        row["content"]: Note(tuple(from_json(row["tags"])), row["note"])
        for row in rows(cat.db, sql, [dataset_id])
    }


def annotate(
    cat: Catalogue,
    dataset_id: int,
    contents: Iterable[bytes],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    note: str | None = None,
) -> None:
    """Add and remove tags of rows, and set their note where one is given ("" takes it away).

    Raises:
        BadInput: a tag is empty, too long or holds a comma or white space.
    """
    for tag in add:
        _valid(tag)
    with write(cat.db):
        for content in contents:
            old = of(cat, dataset_id, content)
            tags = tuple(sorted({*old.tags, *add} - set(remove)))
            text = old.note if note is None else storable(note)
            _put(cat, dataset_id, content, Note(tags, text))


def carry(cat: Catalogue, dataset_id: int, changes: Iterable[tuple[bytes, bytes]]) -> None:
    """A row's content became another: what was noted about it holds for the new one too."""
    with write(cat.db):
        for old, new in changes:
            was, has = of(cat, dataset_id, old), of(cat, dataset_id, new)
            if was != Note() and old != new:
                tags = tuple(sorted({*was.tags, *has.tags}))
                _put(cat, dataset_id, new, Note(tags, has.note or was.note))
                # Another row may be just as it was, so the old entry stays and is not counted.
                cat.db.execute(
                    "UPDATE annotations SET former = 1 WHERE dataset_id = ? AND content = ?",
                    [dataset_id, old],
                )


def tags(cat: Catalogue, dataset_id: int) -> dict[str, int]:
    """Tags in use and how many different rows have them."""
    sql = (
        "SELECT value AS tag, count(*) AS n FROM annotations, json_each(annotations.tags) "
        "WHERE dataset_id = ? AND NOT former GROUP BY value ORDER BY value"
    )
    return {row["tag"]: row["n"] for row in rows(cat.db, sql, [dataset_id])}


def some(cat: Catalogue, dataset_id: int) -> bool:
    """Is anything noted about this dataset?"""
    sql = "SELECT 1 AS one FROM annotations WHERE dataset_id = ? LIMIT 1"
    return bool(rows(cat.db, sql, [dataset_id]))


def _put(cat: Catalogue, dataset_id: int, content: bytes, new: Note) -> None:
    if new == Note():
        cat.db.execute(
            "DELETE FROM annotations WHERE dataset_id = ? AND content = ?", [dataset_id, content]
        )
        return
    cat.db.execute(
        "INSERT INTO annotations (dataset_id, content, tags, note, changed) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (dataset_id, content) DO UPDATE SET tags = excluded.tags, "
        "note = excluded.note, changed = excluded.changed, former = 0",
        [dataset_id, content, to_json(list(new.tags)), new.note, time.time()],
    )


def _valid(tag: str) -> None:
    if not tag or len(tag) > MOST_TAG or not tag.isprintable() or set(tag) & set(", \t"):
        raise BadInput(
            f"{tag[:MOST_TAG]!r} cannot be a tag",
            f"a tag is up to {MOST_TAG} signs without spaces and commas, as needs-work",
        )
