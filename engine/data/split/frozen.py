"""Snapshots as they lie on disk: their rows, line numbers, and what was left out.

Knows the folder, also of earlier days. Does not know how it is made (see `snapshot`).
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from engine.data.rows import Row, parse_row
from engine.data.split.assign import Part
from store.errors import NotFound
from store.snapshots import Snapshot

GONE = "excluded.jsonl"
_CHUNK = 1 << 20


class Excluded(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that is in no part: it cannot be read, the line is blank, or it is held out too."""

    row: int
    reason: str
    kind: Literal["bad_row", "blank", "held_out"] = "bad_row"


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `meta.json` says. Line numbers are those of the source (of `eval_file` for its rows).

    `sha256` has the hash of every other file of the folder. Snapshots that were taken before
    there was one list their held-out rows in `eval_numbers`, and `excluded` is complete.
    """

    rows: int
    split: dict[str, Any]
    train_sha256: str
    eval_sha256: str
    eval_numbers: list[int] = []
    excluded: list[Excluded] = []
    eval_excluded: list[Excluded] = []
    left_out: int | None = None
    sha256: dict[str, str] = {}


def load(snapshot: Snapshot, part: Part) -> list[Row]:
    """The rows of a part, numbered as in the source; see `read`."""
    return list(read(snapshot, part))


def read(snapshot: Snapshot, part: Part) -> Iterator[Row]:
    """The rows of a part one after the other, numbered as in the source.

    Raises:
        NotFound: the snapshot's folder is gone.
    """
    meta, path = read_meta(snapshot), Path(snapshot.path) / f"{part}.jsonl"
    if part == "test" and not path.exists():
        return
    with path.open("rb") as lines:
        for n, line in zip(_numbers(snapshot, meta, part), lines, strict=False):
            yield parse_row(n, line[:-1])


class PartRows:
    """A part of a snapshot as a dataset to look through, its rows counted from 1.

    `numbers[n - 1]` is the line of row `n` in the source.
    """

    complete = True

    def __init__(self, snapshot: Snapshot, part: Part) -> None:
        self.path = Path(snapshot.path) / f"{part}.jsonl"
        self.numbers = array("L", _numbers(snapshot, read_meta(snapshot), part))
        self.size = self.path.stat().st_size

    @property
    def count(self) -> int:
        return len(self.numbers)

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Rows [start, stop) without their endings."""
        with self.path.open("rb") as lines:
            wanted = itertools.islice(lines, start - 1, None if stop is None else stop - 1)
            for n, line in enumerate(wanted, start=start):
                yield n, line[:-1]

    def row(self, n: int) -> Row:
        """Row `n`, parsed."""
        return next(parse_row(number, raw) for number, raw in self.iter_raw(n))


def excluded(snapshot: Snapshot) -> Iterator[Excluded]:
    """Every row that is in no part, in order.

    Raises:
        NotFound: the snapshot's folder is gone.
    """
    meta, path = read_meta(snapshot), Path(snapshot.path) / GONE
    if not meta.sha256:
        yield from meta.excluded
    elif path.exists():
        with path.open("rb") as lines:
            yield from (msgspec.json.decode(line, type=Excluded) for line in lines)


def read_meta(snapshot: Snapshot) -> Meta:
    """How a snapshot was split and what was left out.

    Raises:
        NotFound: the snapshot's folder is gone.
    """
    try:
        raw = (Path(snapshot.path) / "meta.json").read_bytes()
    except OSError as error:
        raise NotFound(
            f"{snapshot.path}: the snapshot cannot be read ({error.strerror})",
            "start a new run from the file: it makes a snapshot again",
        ) from None
    return msgspec.json.decode(raw, type=Meta)


def _numbers(snapshot: Snapshot, meta: Meta, part: Part) -> Iterator[int]:
    """Line numbers of a part in the source."""
    if meta.sha256:
        with (Path(snapshot.path) / f"{part}.rows").open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield from np.frombuffer(chunk, "<u4").tolist()
    elif part == "eval":
        yield from meta.eval_numbers
    else:
        gone = {item.row for item in meta.excluded}
        if meta.split["by"] == "hash":
            gone.update(meta.eval_numbers)
        yield from (n for n in range(1, meta.rows + 1) if n not in gone)
