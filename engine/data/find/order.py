"""All rows in an order: by length without reading JSON, or by anything that a row has.

Knows keys and sorting. Does not know how a field gets its values (see `filter.fields`). Memory is
16 bytes a row for numbers; texts are ordered by what tells them apart while they are few, else by
their first `HEAD` bytes. Rows without a value come last, whatever the direction.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.data.background.events import Hits
from engine.data.dataset import Dataset
from engine.data.filter import Context, Field, looks
from engine.data.filter.fields import Value
from engine.data.find.chunks import Chunk, parts
from engine.data.find.frequency import values_of
from engine.data.journal.changes import OwnLine

HEAD = 32
"""Bytes by which texts are ordered where there are too many different ones."""
FEW = 65_536
"""So many different texts are ordered in full."""
_EVERY = 0.1
_NAN = float("nan")


def order(
    data: Dataset, key: Field, reverse: bool = False, context: Context | None = None
) -> Iterator[Hits]:
    """All rows in order, in one batch at the end; before it batches without rows tell progress.

    Rows that are equal stay in the order of the document. Flags and names come first where they
    are true or there: sorting by `finding:duplicate` puts duplicates on top.

    Raises:
        BadInput: the key needs what the context does not have.
        Conflict: the file was cut short while it was read.
    """
    due = time.monotonic()
    size = max(1, data.size)
    keys = _Keys()
    if key.name == "bytes":
        for length, done in _lengths(data):
            keys.extend(length)
            if time.monotonic() >= due:
                yield Hits(rows=array("Q"), progress=min(1.0, done / size))
                due = time.monotonic() + _EVERY
    else:
        for number, (look, done) in enumerate(looks(data, context or Context())):
            found = values_of(key, look)
            if key.kind == "flag":
                # What is true comes first.
                keys.add(not any(found))
            else:
                keys.add(found[0] if found else None)
            if not number % 64 and time.monotonic() >= due:
                yield Hits(rows=array("Q"), progress=min(1.0, done / size))
                due = time.monotonic() + _EVERY
    rows = array("Q")
    rows.frombytes((keys.sorted(reverse) + 1).astype(np.uint64, copy=False).tobytes())
    yield Hits(rows=rows, progress=1.0)


def _lengths(data: Dataset) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Bytes of each row without its ending, read off the newlines; beside it the bytes done."""
    done = 0
    for part, used in parts(data):
        if isinstance(part, Chunk):
            newlines = part.newlines()
            edges = np.append(newlines, part.end) if part.is_open else newlines
            part.rows = len(edges)
            length = np.diff(edges, prepend=-1) - 1
            raw = np.frombuffer(part.buffer, np.uint8)
            carriage = (raw[np.maximum(newlines - 1, 0)] == 0x0D) & (length[: len(newlines)] > 0)
            length[: len(newlines)] -= carriage
            # The array must not keep the buffer from growing.
            del raw
        elif isinstance(part, OwnLine):
            length = np.array([len(part.content)])
        else:
            length = np.array([part.end - part.start])
        done += used
        yield length, done


class _Keys:
    """One key a row: numbers as such; texts as codes while they are few, else by their head."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._codes: dict[str, int] = {}
        self._texts = array("q")
        self._heads: bytearray | None = None
        self._rows = 0

    def extend(self, lengths: npt.NDArray[np.int64]) -> None:
        """Numbers, many at once."""
        self._numbers.frombytes(lengths.astype(np.float64).tobytes())
        self._rows += len(lengths)

    def add(self, value: Value) -> None:
        """The key of the next row; None where it has none."""
        if isinstance(value, str):
            self._text(value)
        else:
            self._number(_NAN if value is None else _as_number(value))
        self._rows += 1

    def _number(self, number: float) -> None:
        self._numbers.append(number)
        if self._texts or self._heads is not None:
            self._pad(1)

    def _pad(self, rows: int) -> None:
        if self._heads is not None:
            self._heads += bytes(HEAD * rows)
        else:
            self._texts.extend([-1] * rows)

    def _text(self, value: str) -> None:
        self._numbers.append(_NAN)
        if self._heads is None:
            if not self._texts:
                self._pad(self._rows)
            code = self._codes.setdefault(value[:4096], len(self._codes))
            self._texts.append(code)
            if len(self._codes) > FEW:
                self._by_heads()
        else:
            self._heads += _head(value)

    def _by_heads(self) -> None:
        """Too many different texts: from now on only their beginnings are kept."""
        heads = [_head(text) for text in self._codes] + [bytes(HEAD)]
        table = np.frombuffer(b"".join(heads), f"V{HEAD}")
        self._heads = bytearray(table[np.frombuffer(self._texts, np.int64)].tobytes())
        self._texts, self._codes = array("q"), {}

    def sorted(self, reverse: bool) -> npt.NDArray[np.int64]:
        """Row numbers from 0 in order: numbers, then texts, then rows without a value."""
        numbers = np.frombuffer(self._numbers, np.float64)
        ranks: npt.NDArray[np.int64] | None = None
        if self._heads is not None:
            heads = np.frombuffer(self._heads, f"S{HEAD}")
            _, inverse = np.unique(heads, return_inverse=True)
            ranks = np.where(heads == b"", -1, inverse)
        elif self._texts:
            place = np.empty(len(self._codes) + 1, np.int64)
            for rank, text in enumerate(sorted(self._codes)):
                place[self._codes[text]] = rank
            place[-1] = -1
            ranks = place[np.frombuffer(self._texts, np.int64)]
        if ranks is None:
            return _in_order(numbers, reverse)
        group = np.where(~np.isnan(numbers), 0, np.where(ranks >= 0, 1, 2))
        found = [np.flatnonzero(group == number) for number in (0, 1, 2)]
        found[0] = found[0][_in_order(numbers[found[0]], reverse)]
        found[1] = found[1][_in_order(ranks[found[1]].astype(np.float64), reverse)]
        if reverse:
            found[0], found[1] = found[1], found[0]
        return np.concatenate(found)


def _in_order(keys: npt.NDArray[np.float64], reverse: bool) -> npt.NDArray[np.int64]:
    # NaN sorts last, and so it does when the others are turned round.
    return np.argsort(-keys if reverse else keys, kind="stable")


def _as_number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _head(text: str) -> bytes:
    # A zero byte ends a text for numpy, and an empty text must not look like none.
    raw = text.encode("utf-8", "surrogatepass")[:HEAD].replace(b"\0", b"\1") or b"\1"
    return raw.ljust(HEAD, b"\0")
