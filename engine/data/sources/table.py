"""Separated values as rows: a record with a header is a JSON object of strings.

Knows dialects, quoted line breaks and records that do not fit the header. Does not know files or
what the columns mean.

Records are read by Python's own `csv`, fed line by line, so that it is known where in the file
each one begins.
"""

from __future__ import annotations

import contextlib
import csv
import io
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from engine.data.sources.out import FullError, Out
from engine.data.sources.streams import BrokenStreamError, Stream
from store.errors import BadInput

MAX_FIELD = 4 << 20
"""A longer field is a quote that is never closed, or nothing that a model could read."""
_GIVE_UP = 100
"""So many unclosed quotes are each read around; from then on the rest of a record is lost."""
_MAX_LINE = 64 << 20
_FLUSH = 256 << 10
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",\t;|"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How records are written."""

    delimiter: str
    names: tuple[str, ...]
    newline: str
    quote_all: bool

    def record(self, values: Iterable[str]) -> bytes:
        """One record, without its line ending."""
        text = io.StringIO()
        # "\r\n", whatever the file has: then a field with either in it is quoted.
        csv.writer(
            text,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL,
            lineterminator="\r\n",
        ).writerow(values)
        return text.getvalue()[:-2].encode()

    def row(self, raw: bytes) -> dict[str, str]:
        """The values of a row that is to be a record.

        Raises:
            BadInput: it is not an object of the header's columns with texts.
        """
        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _misfit(f"not JSON ({error})") from None
        if not isinstance(found, dict):
            raise _misfit("not a JSON object")
        for key in found:
            if key not in self.names:
                raise _misfit(f"key `{key}`: the table has no such column")
        values: dict[str, str] = {}
        for name in self.names:
            value = found.get(name, "")
            if value is None:
                value = ""
            elif isinstance(value, bool):
                value = "true" if value else "false"
            elif isinstance(value, int | float):
                value = msgspec.json.encode(value).decode()
            elif not isinstance(value, str):
                raise _misfit(f"key `{name}`: {_kind(value)}; a table holds only texts")
            values[name] = value
        return values


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "an object"


def _misfit(what: str) -> BadInput:
    return BadInput(what, "convert the file to JSONL, which can hold it")


class _Lines:
    """The lines of a stream as `csv` wants them, and how many bytes were given."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._pieces = stream.pieces()
        self._ready: deque[bytes] = deque()
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._ended = False
        self.begun = False
        self.taken: list[bytes] = []
        self.position = 0
        self.pieces = 0
        self.fault: BrokenStreamError | FullError | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.next_bytes()
        self.taken.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            return line.decode(errors="surrogateescape")

    def next_bytes(self) -> bytes:
        """The next line, its ending included."""
        while not self._ready:
            if self._ended:
                raise StopIteration
            self._fill()
        line = self._ready.popleft()
        self.position += len(line)
        if not self.begun:
            self.begun = True
            return line.removeprefix(_BOM)
        return line

    def at_end(self) -> bool:
        """Was the last line given?"""
        while not self._ready and not self._ended:
            self._fill()
        return not self._ready

    def give_back(self, lines: list[bytes]) -> None:
        self._ready.extendleft(reversed(lines))
        self.position -= sum(map(len, lines))

    def _fill(self) -> None:
        try:
            piece = next(self._pieces, None)
        except BrokenStreamError as error:
            # Raised again once what came before it is put out.
            self.fault, piece = error, None
        if piece is None:
            self._ended = True
            if any(self._rest):
                self._ready.append(b"".join(self._rest))
            self._rest = []
            return
        self.pieces += 1
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest, self._rest_size = [], 0
            self._ready.extend([line + b"\n" for line in lines])
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
        if self._rest_size > _MAX_LINE:
            self.fault = FullError(
                f"a line is longer than {_MAX_LINE >> 20} MiB, at byte {self.position + 1:,}"
            )
            self._rest, self._ended = [], True


def sniff(name: str, head: bytes) -> str:
    """The delimiter: what splits the first records into the most columns, alike in each."""
    lines = head.removeprefix(_BOM).decode(errors="replace").splitlines(keepends=True)[:20]
    likely = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    best, most = likely, (1, False)
    for delimiter in _DELIMITERS:
        counts = []
        with contextlib.suppress(csv.Error):
            counts = [len(record) for record in csv.reader(lines, delimiter=delimiter)]
        # The last one may be cut.
        widths = {count for count in counts[:-1] or counts if count}
        if len(widths) == 1 and (found := widths.pop()) > 1:
            score = (found, delimiter == likely)
            if score > most:
                best, most = delimiter, score
    return best


def unpack_table(stream: Stream, out: Out, name: str, head: bytes) -> Iterator[None]:
    """Put the records out, a piece at a time; whoever iterates may stop at any.

    Raises:
        BadInput: there is no header.
    """
    csv.field_size_limit(MAX_FIELD)
    delimiter = sniff(name, head)
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter)
    names = _header(reader)
    out.facts["delimiter"] = delimiter
    out.facts["names"] = msgspec.json.encode(names).decode()
    first = lines.taken[-1] if lines.taken else b""
    out.facts["newline"] = "\r\n" if first.endswith(b"\r\n") else "\n"
    yield from _Records(reader, lines, names, out, stream).run()


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader, [])
        while not names:
            names = next(reader)
    except StopIteration:
        return []
    except csv.Error as error:
        raise BadInput(f"the header cannot be read ({error})", "see that it is CSV") from None
    if any("\udc80" <= letter <= "\udcff" for name in names for letter in name):
        raise BadInput(
            "the header is not UTF-8; expected UTF-8 text",
            "convert it, as by `iconv -f CP1252 -t UTF-8 FILE > new.csv`",
        )
    seen: set[str] = set()
    unique = []
    for at, name in enumerate(names, 1):
        own = name or f"column {at}"
        while own in seen:
            own = f"{own} ({at})"
        seen.add(own)
        unique.append(own)
    return unique


class _Records:
    """One pass over the records after the header."""

    def __init__(
        self,
        reader: Iterator[list[str]],
        lines: _Lines,
        names: list[str],
        out: Out,
        stream: Stream,
    ) -> None:
        self._reader, self._lines, self._names = reader, lines, names
        self._out, self._stream = out, stream
        self._parts: list[bytes] = []
        self._starts = array("Q")
        self._size = 0
        self._row = 0
        self._unclosed = 0

    def run(self) -> Iterator[None]:
        lines, encode, names = self._lines, msgspec.json.encode, self._names
        width, seen = len(names), lines.pieces
        while True:
            start = lines.position
            lines.taken = []
            try:
                values = next(self._reader)
            except StopIteration:
                break
            except csv.Error as error:
                self._unreadable(start, str(error))
                continue
            if not values:
                continue
            if lines.at_end() and b"".join(lines.taken).count(b'"') % 2:
                self._bad(start, "a quote is opened here and never closed")
            elif len(values) == width:
                try:
                    self._put(start, encode(dict(zip(names, values, strict=True))))
                except UnicodeEncodeError:
                    self._bad(start, "not UTF-8; expected UTF-8 text")
            else:
                self._bad(start, f"{len(values)} fields; the header names {width}")
            if self._row == 1:
                self._note_quotes()
            if self._size > _FLUSH or lines.pieces != seen:
                seen = lines.pieces
                self._flush()
                yield
        self._flush()
        yield
        if lines.fault is not None:
            raise lines.fault

    def _put(self, start: int, line: bytes) -> None:
        self._parts.append(line)
        self._parts.append(b"\n")
        self._starts.append(start)
        self._size += len(line) + 1
        self._row += 1

    def _bad(self, start: int, why: str) -> None:
        raw = b"".join(self._lines.taken).rstrip(b"\r\n")
        self._out.wrong(self._row, f"{why} (at byte {start + 1:,} of the file)")
        self._put(start, raw.replace(b"\r", b" ").replace(b"\n", b" "))

    def _unreadable(self, start: int, why: str) -> None:
        taken = self._lines.taken
        self._unclosed += 1
        if "limit" in why and self._unclosed <= _GIVE_UP:
            # A quote that is never closed: one line is bad, not all that follow.
            why = "a quote is opened here and never closed"
            self._lines.give_back(taken[1:])
            self._lines.taken = taken[:1]
        self._bad(start, why)

    def _note_quotes(self) -> None:
        first = b"".join(self._lines.taken).rstrip(b"\r\n")
        quoted = first.count(b'"') >= 2 * len(self._names)
        self._out.facts["quote_all"] = quoted and first.startswith(b'"') and first.endswith(b'"')

    def _flush(self) -> None:
        self._out.put(b"".join(self._parts), self._stream.at, len(self._starts), self._starts)
        self._parts, self._starts, self._size = [], array("Q"), 0
