"""Writing a document back in the format that its file has.

Knows how arrays and tables are spliced, and how what is spliced is compressed again. Does not
know temporary files' names, renames or the catalogue: see `engine.data.file.save`.

Untouched elements and records are copied byte for byte, with what stands between them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from engine.data.file.copying import copy_range, write_all
from engine.data.journal.pieces import FileRows, OwnRow
from engine.data.sources.array import SPACE, flat
from engine.data.sources.plain import splice
from engine.data.sources.streams import pack_all, unpack_all
from engine.data.sources.table import Dialect
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.file.lines import Lines
    from engine.data.sources.packed import PackedSource

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[ \t]+|[^" \t]+', re.DOTALL)


def acceptor(source: PackedSource) -> Callable[[bytes], bytes]:
    """What makes of a row what the format of `source` will keep of it; see `Source.accept`."""
    if source.format == "csv":
        dialect = dialect_of(source)
        return lambda raw: msgspec.json.encode(dialect.row(raw))
    if source.format == "parquet":
        from engine.data.sources.parquet import Fit

        return Fit.of(source.path, source.fileno()).line
    return accept_element if source.format == "json" else bytes


def accept_element(raw: bytes) -> bytes:
    """A row as an array will keep it.

    Raises:
        BadInput: it is not JSON.
    """
    value = flat(raw.removeprefix(b"\xef\xbb\xbf").strip(SPACE))
    try:
        value.decode()
        msgspec.json.decode(value, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"not JSON ({error}); a JSON array can hold nothing else",
            "repair the row, or convert the file to JSONL, which holds any line",
        ) from None
    return value


def compose(source: PackedSource, fd: int, lines: Lines) -> int:
    """Write the whole document to `fd`; see `Source.compose`."""
    if source.trouble is not None:
        raise BadInput(
            f"{source.path}: not saved, as not all of it could be read: {source.trouble}",
            "`workbench data convert` writes the rows that are there into a new file",
        )
    if source.format == "parquet":
        from engine.data.sources.parquet import compose_parquet

        return compose_parquet(source.path, source.fileno(), fd, lines)
    if source.compression is None:
        return _splice(source, source.fileno(), fd, lines)
    with _spare(source) as plain:
        if source.format == "jsonl":
            written = splice(plain, lines)
        else:
            with _spare(source) as original:
                unpack_all(source.fileno(), source.compression, original, source.path)
                written = _splice(source, original, plain, lines)
        pack_all(plain, source.compression, fd, os.pread(source.fileno(), 16, 0))
    return written


@contextlib.contextmanager
def _spare(source: PackedSource) -> Iterator[int]:
    """A file without a name, where copies are kept."""
    with tempfile.TemporaryFile(dir=source.folder) as file:
        yield file.fileno()


def _splice(source: PackedSource, original: int, fd: int, lines: Lines) -> int:
    if source.format == "csv":
        return _Table(source, original, fd, lines).write()
    return _Array(source, original, fd, lines).write()


# Arrays


class _Array:
    """One pass over the pieces of an array; offsets are those of the uncompressed file."""

    def __init__(self, source: PackedSource, original: int, fd: int, lines: Lines) -> None:
        self._source, self._original, self._fd, self._lines = source, original, fd, lines
        self._rows = len(lines.index)
        self._size = os.fstat(original).st_size
        self._cut = bool(source.facts.get("cut"))
        self._open = int(source.facts["open"])
        self._windows = self._uses_crlf()
        self._written = 0

    def write(self) -> int:
        before: int | None = None
        for piece in self._lines.pieces:
            if isinstance(piece, FileRows):
                stop = min(piece.stop, self._rows)
                if piece.start >= stop:
                    continue
                self._between(before, piece.start)
                copy_range(self._original, self._start(piece.start), self._end(stop - 1), self._fd)
                self._written += stop - piece.start
                before = stop - 1
            else:
                self._between(before, piece.replaces)
                write_all(self._fd, self._unfolded(piece))
                self._written += 1
                before = piece.replaces
        self._tail(before)
        return self._written

    def _start(self, row: int) -> int:
        return self._source.origin(row)

    def _end(self, row: int) -> int:
        start, end = self._lines.index.span(row)
        return self._source.origin(row) + end - start - 1

    def _between(self, before: int | None, row: int | None) -> None:
        """What stands before an element: as it did where it did, else as it usually does."""
        if not self._written:
            self._head()
        elif before is not None and row is not None and row == before + 1:
            copy_range(self._original, self._end(before), self._start(row), self._fd)
        else:
            write_all(self._fd, self._usual())

    def _head(self) -> None:
        copy_range(self._original, 0, self._start(0) if self._rows else self._open, self._fd)

    def _usual(self) -> bytes:
        if self._rows > 1:
            start, end = self._end(0), self._start(1)
            return os.pread(self._original, min(end - start, 4096), start)
        lead = os.pread(self._original, 4096, self._open)
        if self._rows:
            lead = lead[: self._start(0) - self._open]
            return b"," + (lead or b" ")
        return b", "

    def _tail(self, before: int | None) -> None:
        last = self._rows - 1
        if self._cut and (before != last or not self._written):
            write_all(self._fd, b"\n]\n" if self._written else b"[]\n")
            return
        if not self._written:
            copy_range(self._original, 0, self._open, self._fd)
        end = self._end(last) if self._rows else self._open
        copy_range(self._original, end, self._size, self._fd)

    def _uses_crlf(self) -> bool:
        return b"\r\n" in os.pread(self._original, 4096, 0)

    def _unfolded(self, piece: OwnRow) -> bytes:
        """An own row, with the line breaks that it shows as spaces; read back it is the same."""
        model = piece.replaces if piece.replaces is not None else 0
        try:
            content = accept_element(piece.content)
        except BadInput as error:
            raise BadInput(
                f"{self._source.path}: line {self._written + 1}: {error.message}", error.hint
            ) from None
        if not self._rows:
            return content
        start, end = self._start(model), self._end(model)
        element = os.pread(self._original, min(end - start, 1 << 20), start)
        if b"\n" not in element:
            return content
        for closing in (False, True):
            if unfold(flat(element), self._windows, closing) == element:
                return unfold(content, self._windows, closing)
        return content


def unfold(row: bytes, windows: bool, closing: bool) -> bytes:
    """Line breaks where a row has the spaces that stand for them: two or more, outside of texts.

    Args:
        row: an element on one line.
        windows: line breaks are two bytes.
        closing: one space before a bracket that closes is a line break too.
    """
    break_ = b"\r\n" if windows else b"\n"
    tokens = _TOKENS.findall(row)
    for at, token in enumerate(tokens):
        if token[:1] not in b" \t" or not token.startswith(b" " * len(break_)):
            continue
        closes = closing and at + 1 < len(tokens) and tokens[at + 1][:1] in (b"}", b"]")
        if len(token) > len(break_) or (closes and token == b" " * len(break_)):
            tokens[at] = break_ + token[len(break_) :]
    return b"".join(tokens)


# Tables


def dialect_of(source: PackedSource) -> Dialect:
    """How the records of a table are written."""
    while "names" not in source.facts and source.advance(None):
        pass
    facts = source.facts
    return Dialect(
        str(facts["delimiter"]),
        tuple(msgspec.json.decode(str(facts["names"]), type=list[str])),
        str(facts["newline"]),
        bool(facts.get("quote_all")),
    )


class _Table:
    """One pass over the pieces of a table; offsets are those of the uncompressed file."""

    def __init__(self, source: PackedSource, original: int, fd: int, lines: Lines) -> None:
        self._source, self._original, self._fd, self._lines = source, original, fd, lines
        self._dialect = dialect_of(source)
        self._rows = len(lines.index)
        self._size = os.fstat(original).st_size
        self._newline = self._dialect.newline.encode()
        self._written = 0
        self._owed = False

    def write(self) -> int:
        head = self._start(0) if self._rows else self._size
        copy_range(self._original, 0, head, self._fd)
        self._owed = head > 0 and os.pread(self._original, 1, head - 1) != b"\n"
        open_end = self._size > 0 and os.pread(self._original, 1, self._size - 1) != b"\n"
        for piece in self._lines.pieces:
            if isinstance(piece, FileRows):
                stop = min(piece.stop, self._rows)
                if piece.start < stop:
                    self._pay()
                    end = self._start(stop)
                    copy_range(self._original, self._start(piece.start), end, self._fd)
                    self._owed = os.pread(self._original, 1, end - 1) != b"\n"
                    self._written += stop - piece.start
            else:
                self._own(piece)
        if self._owed and not open_end:
            self._pay()
        return self._written

    def _start(self, row: int) -> int:
        return self._source.origin(row) if row < self._rows else self._size

    def _pay(self) -> None:
        """A record that follows needs the line before it to end."""
        if self._owed:
            write_all(self._fd, self._newline)
        self._owed = False

    def _own(self, piece: OwnRow) -> None:
        self._pay()
        try:
            values = self._dialect.row(piece.content)
        except BadInput as error:
            raise BadInput(
                f"{self._source.path}: line {self._written + 1}: {error.message}", error.hint
            ) from None
        write_all(self._fd, self._dialect.record(values.values()))
        self._owed = True
        self._written += 1
