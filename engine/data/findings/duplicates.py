"""Rows that say the same, exactly, whatever their spelling.

Knows what a row says and 16 bytes a row. Does not know templates; rows that are only alike are
another check.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from engine.data.findings.kinds import Finding
from engine.data.rows import Row, parse_row

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

KEY_BYTES = 16
NO_KEY = bytes(KEY_BYTES)
"""Stands for a row that cannot be read: nobody's copy."""

_AT_ONCE = 1000
"""Findings that are made at a time: a file may be a million copies."""

_encoder = msgspec.json.Encoder(order="deterministic")


def content_key(row: Row) -> bytes:
    """128 bits of BLAKE2b over what a row says: roles, texts, calls, tools, verdicts, ids.

    Spacing, key order, escapes, the shape and which turns are trained make no difference.
    """
    if row.error is not None:
        return NO_KEY
    said: list[object] = [
        [[turn.role, turn.text, turn.extra] if turn.extra else [turn.role, turn.text]
         for turn in row.turns] or row.text
    ]  # fmt: skip
    if row.purpose not in ("sft", "text"):
        rejected = [[turn.role, turn.text] for turn in row.rejected]
        said += [row.purpose, row.prompt_turns, rejected, row.label, row.ids, row.labels]
        said.append(row.segments)
    if row.tools:
        said.append(row.tools)
    return hashlib.blake2b(_encoder.encode(said), digest_size=KEY_BYTES).digest()


class Keys:
    """The keys of all rows, in order: 16 bytes a row."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // KEY_BYTES

    def extend(self, keys: bytes) -> None:
        """Add the keys of the next rows, joined."""
        self._bytes += keys

    def groups(self) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        """(name, lines) of rows that say the same, at least two; lines from 1, in order.

        Groups come in the order of their first lines.
        """
        words = np.frombuffer(self._bytes, dtype=">u8").reshape(-1, 2)
        order = np.lexsort((words[:, 1], words[:, 0]))
        sorted_words = words[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = np.any(sorted_words[1:] != sorted_words[:-1], axis=1)
        starts = np.flatnonzero(fresh)
        sizes = np.diff(np.append(starts, len(order)))
        known = (sizes > 1) & np.any(sorted_words[starts] != 0, axis=1)
        starts, sizes = starts[known], sizes[known]
        # lexsort is stable, so that the first of a group is its first line.
        by_line = np.argsort(order[starts], kind="stable")
        for start, size in zip(starts[by_line].tolist(), sizes[by_line].tolist(), strict=True):
            lines = order[start : start + size] + 1
            at = (int(lines[0]) - 1) * KEY_BYTES
            name = bytes(self._bytes[at : at + 6]).hex()
            yield name, lines

    def findings(self, numbers: Sequence[int] | None = None) -> Iterator[Finding]:
        """One for each copy, none for the first of its group; in the order of groups.

        Args:
            numbers: the lines of the rows, where they are not 1, 2, 3 …
        """
        for name, places in self.groups():
            lines = places.tolist()
            if numbers is not None:
                lines = [numbers[place - 1] for place in lines]
            for line in lines[1:]:
                yield Finding(line, "duplicate", f"says the same as line {lines[0]:,}", name)


def find(data: Dataset) -> Iterator[float | list[Finding]]:
    """Look at every row; yields the share done, and at the end the findings, some at a time."""
    keys = Keys()
    total = max(data.count, 1)
    for number, raw in data.iter_raw():
        keys.extend(content_key(parse_row(number, raw)))
        if number % 10_000 == 0:
            total = max(data.count, total)
            yield min(number / total, 1.0)
    found = keys.findings()
    while batch := list(itertools.islice(found, _AT_ONCE)):
        yield batch
