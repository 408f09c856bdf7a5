"""A JSON array as rows: its elements, a line each, found without parsing them.

Knows strings, brackets and commas. Does not know what elements mean, nor files.

A row is the element's own bytes with its line breaks as spaces, so a row is as long as its
element and what is inside it is where it was. Method: quotes that are not escaped are counted up,
which tells what is inside of a string; brackets outside of strings are summed up, which tells the
depth; both for a whole piece at once with numpy.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from engine.data.sources.out import FullError, Out
from engine.data.sources.streams import Stream

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPACE = b" \t\r\n"
_FLAT = bytes.maketrans(b"\r\n", b"  ")
_RAW_BREAK = bytes.maketrans(b"\r\n", b"\x0b\x0b")
_SCALARS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[^\s,"]+', re.DOTALL)
_LONGEST = 64 << 20
_BOM = b"\xef\xbb\xbf"


def flat(element: bytes) -> bytes:
    """An element as a row: line breaks between its values become spaces."""
    return element.translate(_FLAT)


@dataclass(slots=True)
class _Batch:
    """Lines on their way out."""

    parts: list[bytes] = field(default_factory=list)
    starts: array[int] = field(default_factory=partial(array, "Q"))
    ends: int = 0


class ArrayRows:
    """Takes an array piece by piece, and puts its elements out as lines."""

    def __init__(self, out: Out) -> None:
        import numpy as np

        self._np = np
        self._out = out
        self._steps = np.zeros(256, np.int8)
        for byte in b"{[":
            self._steps[byte] = 1
        for byte in b"}]":
            self._steps[byte] = -1
        self._seen = 0
        self._depth = 0
        self._in_string = False
        self._odd_escape = False
        self._inside = False
        self._gap = b""
        self._gap_at = 0
        self._usual = b","
        self._count = 0
        self._commas = 0
        self._misplaced: str | None = None
        self._ended = False
        self._raw_break = False

    def take(self, piece: bytes, at: int) -> None:
        """The next bytes; `at` is how far into the user's file they reach."""
        num, batch = self._np, _Batch()
        data: npt.NDArray[np.uint8] = num.frombuffer(piece, num.uint8)
        toggles = self._quotes(data)
        steps = num.take(self._steps, data)
        places = num.flatnonzero(steps)
        within = (num.searchsorted(toggles, places) + self._in_string) & 1
        places = places[within == 0]
        moves = steps[places].astype(num.int32)
        depths = self._depth + num.cumsum(moves)
        edge = ((moves == 1) & (depths == 2)) | ((moves == -1) & (depths <= 1))
        if self._depth == 0:
            edge |= (moves == 1) & (depths == 1)
        self._raw_break = self._breaks_in_strings(piece, data, toggles)
        done = 0
        for place, move, depth in zip(
            places[edge].tolist(), moves[edge].tolist(), depths[edge].tolist(), strict=True
        ):
            done = self._edge(batch, piece, done, place, move, depth)
        if self._inside:
            batch.parts.append(self._line(piece[done:]))
        else:
            self._keep_gap(piece[done:], self._seen + done)
        if len(depths):
            self._depth = int(depths[-1])
        self._in_string = bool((len(toggles) + self._in_string) & 1)
        self._seen += len(piece)
        self._out.put(b"".join(batch.parts), at, batch.ends, batch.starts)

    def finish(self) -> str | None:
        """No more comes; returns what is wrong with the whole, if anything is."""
        batch = _Batch()
        out = self._out
        if self._inside:
            batch.parts.append(b"\n")
            batch.ends += 1
            why = "the file ends inside this element; expected its end, and `]` after it"
            self._cut(why)
        elif not self._ended:
            before = self._count
            self._between(batch, self._gap)
            if self._count == before:
                batch.parts.append(b"\n")
                batch.starts.append(self._seen)
                batch.ends += 1
                self._count += 1
            self._cut("the file ends here; expected another element, or `]`")
        out.put(b"".join(batch.parts), out.at, batch.ends, batch.starts)
        if self._ended and self._gap.strip(SPACE):
            return (
                f"there is text after the end of the array, at byte {self._gap_at + 1:,}; "
                "expected nothing"
            )
        return self._misplaced

    def _cut(self, why: str) -> None:
        self._out.facts["cut"] = True
        self._out.wrong(self._count - 1, why)

    def _quotes(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
        """Where strings begin and end."""
        num = self._np
        quotes: npt.NDArray[np.intp] = num.flatnonzero(data == 34)
        slashes = num.flatnonzero(data == 92)
        odd_before, self._odd_escape = self._odd_escape, False
        if not len(slashes):
            first = odd_before and len(quotes) > 0 and quotes[0] == 0
            return quotes[int(first) :]
        # Runs of backslashes: an odd one escapes what follows it.
        firsts = num.flatnonzero(num.diff(slashes, prepend=-2) != 1)
        lengths = num.diff(firsts, append=len(slashes))
        if slashes[0] == 0:
            lengths[0] += odd_before
            odd_before = False
        ends = slashes[firsts] + num.diff(firsts, append=len(slashes))
        escaped = ends[lengths % 2 == 1]
        if len(escaped) and escaped[-1] == len(data):
            self._odd_escape = True
            escaped = escaped[:-1]
        if odd_before:
            escaped = num.concatenate(([0], escaped))
        escaped = escaped[data[escaped] == 34]
        if not len(escaped):
            return quotes
        kept: npt.NDArray[np.intp] = quotes[~num.isin(quotes, escaped, assume_unique=True)]
        return kept

    def _breaks_in_strings(
        self, piece: bytes, data: npt.NDArray[np.uint8], toggles: npt.NDArray[np.intp]
    ) -> bool:
        """Is there a line break inside of a string, where JSON has none?"""
        if b"\n" not in piece:
            return False
        breaks = self._np.flatnonzero(data == 10)
        return bool(((self._np.searchsorted(toggles, breaks) + self._in_string) & 1).any())

    def _line(self, part: bytes) -> bytes:
        if self._raw_break:
            # Rare, and wrong: kept wrong, so that the row is seen to be.
            return _break_strings(part)
        return part.translate(_FLAT) if b"\n" in part or b"\r" in part else part

    def _edge(
        self, batch: _Batch, piece: bytes, done: int, place: int, move: int, depth: int
    ) -> int:
        """An element, or the array, begins or ends at `place`; returns what is done with."""
        if self._ended:
            return done
        if move == 1 and depth == 1:
            self._out.facts["open"] = self._seen + place + 1
            self._keep_gap(b"", self._seen + place + 1, anew=True)
            return place + 1
        if move == 1:
            self._between(batch, self._gap + piece[done:place])
            if self._commas != self._count:
                self._misplace(place)
            batch.starts.append(self._seen + place)
            self._count += 1
            self._inside = True
            return place
        if self._inside:
            batch.parts.append(self._line(piece[done : place + 1]))
            batch.parts.append(b"\n")
            batch.ends += 1
            self._inside = False
            self._keep_gap(b"", self._seen + place + 1, anew=True)
            return place + 1
        self._between(batch, self._gap + piece[done:place])
        if self._commas != max(0, self._count - 1):
            self._misplace(place)
        self._ended = True
        self._keep_gap(b"", self._seen + place + 1, anew=True)
        return place + 1

    def _misplace(self, place: int) -> None:
        """Remember the first place where elements and commas do not alternate."""
        few = self._commas < self._count
        self._misplaced = self._misplaced or (
            f"{'no comma' if few else 'a comma too many'} between two elements, or after the last, "
            f"before byte {self._seen + place + 1:,}; expected one between each two"
        )

    def _keep_gap(self, more: bytes, at: int, *, anew: bool = False) -> None:
        if anew or not self._gap:
            self._gap_at = at
        if self._ended and self._gap.strip(SPACE):
            return
        self._gap = more if anew else self._gap + more
        if len(self._gap) > 1 << 20 and not self._gap.strip(SPACE):
            self._gap, self._gap_at = b"", at + len(more)
        if len(self._gap) > _LONGEST:
            raise FullError(
                f"a value that is no object and no list is longer than {_LONGEST >> 20} MiB, "
                f"at byte {self._gap_at + 1:,}"
            )

    def _between(self, batch: _Batch, gap: bytes) -> None:
        """What stands between two brackets: a comma, and perhaps values that have none."""
        if gap == self._usual:
            self._commas += 1
            return
        if gap.strip(SPACE) == b",":
            self._usual = gap
            self._commas += 1
            return
        self._commas += _SCALARS.sub(b"", gap).count(b",")
        for found in _SCALARS.finditer(gap):
            batch.parts.append(self._line(found[0]) + b"\n")
            batch.starts.append(self._gap_at + found.start())
            batch.ends += 1
            self._count += 1


def _break_strings(part: bytes) -> bytes:
    """Line breaks become what JSON refuses inside of strings, and spaces outside of them."""
    return b"".join(
        found.translate(_RAW_BREAK if found.startswith(b'"') else _FLAT)
        for found in re.findall(rb'"(?:[^"\\]|\\.)*"?|[^"]+', part, re.DOTALL)
    )


def unpack_array(stream: Stream, out: Out) -> Iterator[None]:
    """Put the elements out, a piece at a time; whoever iterates may stop at any."""
    rows, first = ArrayRows(out), True
    for piece in stream.pieces():
        if first and piece.startswith(_BOM):
            piece = b"   " + piece[3:]
        first = False
        rows.take(piece, stream.at)
        yield
    out.trouble = rows.finish()
