"""Splits: how a dataset is divided into training, evaluation and test rows, and by whom.

Knows the record. Does not know rows, keys or groups, nor which row is where (see
`engine.data.split.assign`). A dataset has one split in force, the newest; earlier ones are kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from store.catalogue import Catalogue
from store.sqlite import from_json, rows, storable, to_json, write


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides about a row: three shares that add up to 1, a seed, and what is kept together.

    `group_by` names fields of a row, the first that a row has counting most, or `conversation`.
    """

    train: float
    eval: float
    test: float
    seed: int = 0
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """A rule that is in force for a dataset, and how its rows fell when it was recorded.

    Attributes:
        counts: rows by part, `none` for rows that are in no part, and `rows` in all.
        ties: groups that belong together, as pairs of unsigned 64-bit numbers, little-endian.
    """

    id: int
    dataset_id: int
    rule: Rule
    counts: dict[str, int]
    warnings: tuple[str, ...]
    ties: bytes
    who: str
    created: float = field(default_factory=time.time)


def record(
    cat: Catalogue,
    dataset_id: int,
    rule: Rule,
    *,
    counts: dict[str, int],
    warnings: tuple[str, ...] = (),
    ties: bytes = b"",
    who: str = "",
) -> Split:
    """Put a split in force for a dataset, in place of an earlier one."""
    with write(cat.db) as db:
        _retire(cat, dataset_id)
        db.execute(
            "INSERT INTO splits (dataset_id, train, eval, test, seed, group_by, counts, warnings, "
            "ties, who, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                dataset_id,
                rule.train,
                rule.eval,
                rule.test,
                rule.seed,
                to_json([storable(name) for name in rule.group_by]),
                to_json(counts),
                to_json([storable(text) for text in warnings]),
                ties,
                storable(who),
                time.time(),
            ],
        )
        found = current(cat, dataset_id)
    assert found is not None
    return found


def tie(cat: Catalogue, split: Split, ties: bytes) -> None:
    """Remember groups that were found to belong together since the split was recorded."""
    with write(cat.db) as db:
        db.execute("UPDATE splits SET ties = ? WHERE id = ?", [ties, split.id])


def current(cat: Catalogue, dataset_id: int) -> Split | None:
    """The split in force for a dataset, or None."""
    return next(iter(_all(cat, dataset_id, "AND retired IS NULL")), None)


def history(cat: Catalogue, dataset_id: int) -> list[Split]:
    """Every split that a dataset ever had, newest first."""
    return _all(cat, dataset_id, "")


def forget(cat: Catalogue, dataset_id: int) -> bool:
    """Let no split be in force; True where one was."""
    with write(cat.db):
        return _retire(cat, dataset_id)


def _retire(cat: Catalogue, dataset_id: int) -> bool:
    cursor = cat.db.execute(
        "UPDATE splits SET retired = ? WHERE dataset_id = ? AND retired IS NULL",
        [time.time(), dataset_id],
    )
    return cursor.rowcount > 0


def _all(cat: Catalogue, dataset_id: int, more: str) -> list[Split]:
    sql = f"SELECT * FROM splits WHERE dataset_id = ? {more} ORDER BY id DESC"
    return [_split(row) for row in rows(cat.db, sql, [dataset_id])]


def _split(row: dict[str, Any]) -> Split:
    group_by = tuple(from_json(row["group_by"]))
    rule = Rule(row["train"], row["eval"], row["test"], row["seed"], group_by)
    return Split(
        id=row["id"],
        dataset_id=row["dataset_id"],
        rule=rule,
        counts=from_json(row["counts"]),
        warnings=tuple(from_json(row["warnings"])),
        ties=row["ties"],
        who=row["who"],
        created=row["created"],
    )
