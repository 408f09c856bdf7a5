"""Train, evaluation and test rows: which part a row is in, whoever comes and goes.

Knows keys, groups and shares. Does not know how rows are frozen for a run (see `snapshot`).

A row's part follows from a keyed hash of what it says, or of the group it belongs to, and from
nothing else: not from where it stands, nor from the other rows. So it stays where it is when rows
are added, moved or removed. Rows that say exactly the same are always together. Where a field
groups the rows, two groups that hold the same row are one (the union of groups), and that is the
one way in which others matter: a new row that ties two groups which lie in different parts has to
move one of them. What was tied once is remembered, so that taking the tie away moves nothing.

Memory is 8 bytes a row for each thing to group by, and a few such arrays more while groups are
joined.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from engine.data.row.strict import WrongError, load
from engine.data.rows import HEAD_BYTES, Row, parse_row
from engine.data.split import groups
from store.errors import BadInput
from store.splits import Rule, Split

Part = Literal["train", "eval", "test"]
PARTS: tuple[Part, ...] = ("train", "eval", "test")
NONE, TRAIN, EVAL, TEST = 0, 1, 2, 3
"""Codes of parts in arrays; `NONE` is a row that cannot be read."""
CONVERSATION = "conversation"
"""The group of rows that begin alike: the same system prompt and the same first question."""

Codes = npt.NDArray[np.uint8]
_FULL = 1 << 64
_TOLD = 4096
"""Rows between two words about progress."""


class Rows(Protocol):
    """What is needed of a dataset."""

    @property
    def count(self) -> int: ...
    def grow(self, seconds: float | None = None) -> bool: ...
    def row(self, n: int) -> Row: ...
    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the rows of a dataset went.

    Attributes:
        parts: a code for every row, in order.
        counts: rows by part, `none`, and `rows` in all.
        groups: how many groups there are; rows that stand alone are groups of one.
        ties: see `store.splits.Split`.
        digest: a hash of all rows, which tells a second reading whether it reads the same.
        warnings: what a person should know, in words.
        absent: of `group_by`, what not one row has.
    """

    parts: Codes
    counts: dict[str, int]
    groups: int
    ties: bytes
    digest: bytes
    warnings: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def part_of(self, row: int) -> Part | None:
        """The part of a row by its number; None for a row that cannot be read."""
        code = int(self.parts[row - 1])
        return PARTS[code - 1] if code else None


# Keys


def fingerprint(row: Row, seed: int = 0) -> int:
    """64 bits of a keyed BLAKE2b over all that a row says and would teach, whatever its spelling.

    Two rows with the same fingerprint are exact duplicates.
    """
    said: object = [_said(turn.role, turn.text, turn.extra) for turn in row.turns] or row.text
    if row.purpose not in ("sft", "text", "prompt") or row.tools:
        rejected = [_said(turn.role, turn.text, turn.extra) for turn in row.rejected]
        said = [said, row.tools, rejected, row.label, row.ids, row.labels, row.segments]
    return _hash(said, seed)


def keys_of(row: Row, rule: Rule) -> tuple[int, ...]:
    """What a row is grouped by: a number for each of `group_by` (0 where it has none), then its
    own; all 0 for a row that cannot be read."""
    if row.error is not None:
        return (0,) * width(rule)
    grouped = [
        _conversation(row, rule.seed) if name == CONVERSATION else _field(row.raw, name, rule.seed)
        for name in rule.group_by
    ]
    if _alone(rule):
        return (grouped[0] or fingerprint(row, rule.seed),)
    return (*grouped, fingerprint(row, rule.seed))


def width(rule: Rule) -> int:
    """How many keys a row has."""
    return 1 if _alone(rule) else len(rule.group_by) + 1


def _alone(rule: Rule) -> bool:
    """Is one key enough? Rows that say the same have begun the same."""
    return rule.group_by == (CONVERSATION,)


def _said(role: str, text: str, extra: object) -> list[object]:
    return [role, text, extra] if extra else [role, text]


def _hash(said: object, seed: int) -> int:
    raw = msgspec.json.encode(said, order="sorted")
    key = seed.to_bytes(16, "little", signed=True)
    found = int.from_bytes(hashlib.blake2b(raw, digest_size=8, key=key).digest(), "little")
    return found or 1


def _conversation(row: Row, seed: int) -> int:
    begins: list[list[object]] = []
    for turn in row.turns:
        begins.append(_said(turn.role, turn.text, None))
        if turn.role == "user":
            return _hash([CONVERSATION, begins], seed)
    return 0


def _field(raw: bytes, dotted: str, seed: int) -> int:
    value: object
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = load(raw)
        except WrongError:
            return 0
    for name in dotted.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return 0
    return 0 if value is None else _hash([dotted, value], seed)


# Rules


def rule_of(
    train: float | None = None,
    eval: float | None = None,
    test: float | None = None,
    *,
    seed: int = 0,
    group_by: tuple[str, ...] = (),
) -> Rule:
    """A rule from what a person said; shares that were left out are what is left over.

    Without any, 80 % are trained on, 10 % evaluate the training, 10 % are for the end.

    Raises:
        BadInput: shares that are no shares, or do not add up to 1; a group named twice or not.
    """
    given = {"train": train, "eval": eval, "test": test}
    for name, share in given.items():
        if share is not None and not 0 <= share <= 1:
            raise BadInput(f"{name} {share:g}: expected a share from 0 to 1", "0.1 is a tenth")
    if train is eval is test is None:
        train, eval, test = 0.8, 0.1, 0.1
    elif train is None:
        eval, test = eval or 0.0, test or 0.0
        train = 1 - eval - test
    elif eval is None:
        test = test or 0.0
        eval = 1 - train - test
    elif test is None:
        test = 1 - train - eval
    assert eval is not None
    assert test is not None
    shares = [round(share, 12) for share in (train, eval, test)]
    if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-9):
        said = ", ".join(f"{name} {value:g}" for name, value in given.items() if value is not None)
        raise BadInput(
            f"{said}: the shares add up to {sum(v or 0 for v in given.values()):g}; expected 1",
            "leave one out and it is what is left over, as: --eval 0.1 --test 0.1",
        )
    if len(set(group_by)) < len(group_by) or not all(group_by):
        raise BadInput(
            f"group by {', '.join(group_by)}: expected each field once",
            "name fields of a row, as `source` or `meta.id`, or `conversation`",
        )
    if not -(1 << 63) <= seed < 1 << 63:
        raise BadInput(f"seed {seed}: expected a number of 64 bits", "42 is as good as any")
    return Rule(shares[0], shares[1], shares[2], seed, group_by)


def described(rule: Rule) -> str:
    """A rule in words."""
    shares = ", ".join(f"{part} {share_of(rule, part):.4g}" for part in PARTS)
    groups = f", grouped by {' and '.join(rule.group_by)}" if rule.group_by else ""
    return f"{shares}, seed {rule.seed}{groups}"


def share_of(rule: Rule, part: Part) -> float:
    """The share of a part."""
    return {"train": rule.train, "eval": rule.eval, "test": rule.test}[part]


# Assigning


class Keys:
    """The keys of rows as they come, 8 bytes each, and a hash of all they are."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.columns = [array("Q") for _ in range(width(rule))]
        self.hash = xxhash.xxh3_128()

    def __len__(self) -> int:
        return len(self.columns[0])

    def add(self, row: Row) -> None:
        """Take the next row."""
        self.hash.update(row.raw)
        for column, key in zip(self.columns, keys_of(row, self.rule), strict=True):
            column.append(key)

    def settle(self, ties: bytes = b"") -> Assignment:
        """Where all the rows go."""
        columns = [np.array(column, np.uint64) for column in self.columns]
        grouped_by = [int(np.count_nonzero(column)) for column in columns]
        found = groups.join(columns, ties)
        parts = codes(found.marks, self.rule)
        sizes = np.bincount(parts, minlength=4)
        counts = {name: int(sizes[code]) for code, name in enumerate(("none", *PARTS))}
        counts["rows"] = len(parts)
        marks, members = np.unique(found.marks[found.marks != 0], return_counts=True)
        warnings = _warnings(self.rule, counts, grouped_by, found.joined)
        warnings += _too_large(self.rule, found.marks, marks, members)
        names = zip(self.rule.group_by, grouped_by, strict=False)
        absent = tuple(name for name, have in names if not have)
        digest = self.hash.digest()
        return Assignment(parts, counts, len(marks), found.ties, digest, tuple(warnings), absent)


def assign(data: Rows, rule: Rule, ties: bytes = b"") -> Generator[float, None, Assignment]:
    """Look at every row and say where it goes.

    Args:
        ties: of the split that is in force, where it has the same seed and groups.
    Yields:
        How far it is, 0 to 1; closing the generator ends it.
    Returns:
        The assignment (see `finished`).
    """
    keys = Keys(rule)
    for row in parsed(data):
        keys.add(row)
        if not len(keys) % _TOLD:
            yield len(keys) / max(data.count, 1)
    return keys.settle(ties)


def finished(work: Generator[float, None, Assignment]) -> Assignment:
    """Do the work to its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            assert isinstance(end.value, Assignment)
            return end.value


def parsed(data: Rows) -> Iterator[Row]:
    """Every row of a dataset, one after the other."""
    for n, raw in data.iter_raw():
        row = parse_row(n, raw)
        # The head of a line that is too long is not JSON, but that is not what is wrong with it.
        yield data.row(n) if row.error is not None and len(raw) == HEAD_BYTES else row


def codes(marks: npt.NDArray[np.uint64], rule: Rule) -> Codes:
    """The part of each mark. Evaluation rows have low marks and test rows high ones, so that
    changing one of these shares moves no row between the other two."""
    low, high = _bounds(rule)
    found = np.full(len(marks), TRAIN, np.uint8)
    found[marks > np.uint64(high)] = TEST
    if low >= 0:
        found[marks <= np.uint64(low)] = EVAL
    found[marks == 0] = NONE
    return found


class Placer:
    """Says of a row by itself which part it is in, by the split that is in force."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self._ties = groups.read_ties(split.ties)
        self._low, self._high = _bounds(split.rule)

    def part_of(self, row: Row) -> Part | None:
        """The part of a row; None for one that cannot be read."""
        mark = next(filter(None, keys_of(row, self.split.rule)), 0)
        if not mark:
            return None
        if len(self._ties):
            mark = groups.resolved(mark, self._ties)
        if mark <= self._low:
            return "eval"
        return "test" if mark > self._high else "train"


def _bounds(rule: Rule) -> tuple[int, int]:
    """The highest mark of an evaluation row (-1: there is none), the highest of a training row."""
    low = _FULL - 1 if rule.eval >= 1 else int(rule.eval * _FULL) - 1
    if not rule.test:
        return low, _FULL - 1
    return low, max(low, 0) if not rule.train else _FULL - 1 - int(rule.test * _FULL)


def _warnings(rule: Rule, counts: dict[str, int], grouped_by: list[int], joined: int) -> list[str]:
    said = []
    good = counts["rows"] - counts["none"]
    if counts["none"]:
        said.append(f"rows that cannot be read and are in no part: {counts['none']:,}")
    for part in PARTS:
        if share_of(rule, part) and not counts[part]:
            said.append(f"{part}: no row fell into this part; expected about "
                        f"{share_of(rule, part) * good:,.0f}")  # fmt: skip
    for name, have in zip(rule.group_by, grouped_by, strict=False):
        if name != CONVERSATION and have < good:
            said.append(f"{good - have:,} of {good:,} rows have no `{name}`: they are grouped "
                        "by what else they have, or stand alone")  # fmt: skip
    if joined:
        said.append(f"groups joined from several that hold the same row: {joined:,}")
    return said


def _too_large(
    rule: Rule,
    of_row: npt.NDArray[np.uint64],
    marks: npt.NDArray[np.uint64],
    members: npt.NDArray[np.intp],
) -> list[str]:
    """The largest group, where it is larger than a part should be."""
    if not len(members) or members.max() == 1:
        return []
    largest = int(members.max())
    good = int(members.sum())
    small = [part for part in PARTS if 0 < share_of(rule, part) * good < largest]
    if not small or largest == good == 1:
        return []
    line = int(np.argmax(of_row == marks[members.argmax()])) + 1
    held = min(small, key=lambda part: share_of(rule, part))
    return [
        f"the group of line {line} has {largest:,} rows, more than the "
        f"{share_of(rule, held) * good:,.0f} of {held}: the shares come out uneven"
    ]
