"""Parquet as rows: a record is a JSON object, nested columns are nested values.

Knows Arrow's types and how JSON stands for them. Does not know documents' edits or the catalogue.

What JSON has no type for is a text: times in ISO 8601, decimals as digits, bytes in base64.
Arrow is imported only when a Parquet file is met.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import decimal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.data.journal.pieces import FileRows, OwnRow
from engine.data.sources.out import Out
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.file.lines import Lines

_BATCH = 256
"""Records at a time: few enough that the first are there at once."""


def unpack_parquet(path: Path, fd: int, out: Out) -> Iterator[None]:
    """Put the records out, a batch at a time; whoever iterates may stop at any.

    Raises:
        BadInput: Arrow cannot read the file.
    """
    with explained(path), open_parquet(fd) as file:
        total = max(1, file.metadata.num_rows)
        done = 0
        for batch in file.iter_batches(batch_size=_BATCH):
            lines = [as_line(record) for record in batch.to_pylist()]
            done += len(lines)
            at = out.original * done // total
            out.put(b"".join(line + b"\n" for line in lines), at, len(lines))
            yield


def as_line(record: object) -> bytes:
    """A record as one line of JSON."""
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except UnicodeEncodeError:
        return b"not UTF-8"


def open_parquet(fd: int) -> Any:
    """The open file as Arrow reads it; closing it leaves `fd` open."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # One thread, and no reading ahead: memory is one batch and the pages it is on.
    pa.set_cpu_count(1)
    return pq.ParquetFile(open(fd, "rb", closefd=False), pre_buffer=False, buffer_size=1 << 20)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what Arrow says into an error with a way out; what the system says stays."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: cannot be read as Parquet ({reason})",
            "perhaps it was not written to its end, or is encrypted; fetch it again",
        ) from None


@dataclass(frozen=True, slots=True)
class Fit:
    """Which rows a Parquet file can hold."""

    schema: Any

    @classmethod
    def of(cls, path: Path, fd: int) -> Fit:
        """The columns of an open file."""
        with explained(path), open_parquet(fd) as file:
            return cls(file.schema_arrow)

    def table(self, raw: bytes) -> Any:
        """One row as a table of the file's columns.

        Raises:
            BadInput: it does not fit them; the message names the key.
        """
        import pyarrow as pa

        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _misfit(f"not JSON ({error})") from None
        if not isinstance(found, dict):
            raise _misfit("not a JSON object")
        for key in found:
            if key not in self.schema.names:
                raise _misfit(f"key `{key}`: the file has no such column")
        columns = []
        for column in self.schema:
            try:
                value = _coerced(found.get(column.name), column.type)
                columns.append(pa.array([value], type=column.type))
            except (pa.ArrowException, TypeError, ValueError, OverflowError, ArithmeticError) as no:
                reason = " ".join(str(no).split())[:120]
                raise _misfit(
                    f"key `{column.name}`: expected {column.type} as the column has ({reason})"
                ) from None
            if not column.nullable and columns[-1].null_count:
                raise _misfit(f"key `{column.name}`: missing, and the column has no empty values")
        return pa.Table.from_arrays(columns, schema=self.schema)

    def line(self, raw: bytes) -> bytes:
        """A row as reading it back would give it."""
        return as_line(self.table(raw).to_pylist()[0])


def _misfit(what: str) -> BadInput:
    return BadInput(what, "convert the file to JSONL, which can hold it")


def _coerced(value: object, kind: Any) -> object:
    """A JSON value as Arrow takes it for a column of type `kind`."""
    from pyarrow import types

    if value is None:
        return None
    if isinstance(value, dict):
        if types.is_struct(kind):
            known = {field.name: field.type for field in kind}
            if unknown := value.keys() - known.keys():
                raise TypeError(f"no field `{sorted(unknown)[0]}`")
            return {name: _coerced(value.get(name), known[name]) for name in known}
        raise TypeError("not an object")
    if isinstance(value, list):
        if types.is_map(kind):
            return [(_coerced(k, kind.key_type), _coerced(v, kind.item_type)) for k, v in value]
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            return [_coerced(item, kind.value_type) for item in value]
        raise TypeError("not a list")
    return _read_text(value, kind) if isinstance(value, str) else value


def _read_text(text: str, kind: Any) -> object:
    from pyarrow import types

    if types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(text)
    if types.is_date(kind):
        return datetime.date.fromisoformat(text)
    if types.is_time(kind):
        return datetime.time.fromisoformat(text)
    if types.is_decimal(kind):
        return decimal.Decimal(text)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _bytes(text)
    return text


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def compose_parquet(path: Path, source: int, fd: int, lines: Lines) -> int:
    """Write the document as Parquet with the columns, groups and codecs that `source` has.

    Rows that were not edited stay Arrow's: no value passes through JSON.

    Raises:
        BadInput: a row does not fit; the message names row and key.
    """
    with explained(path), open_parquet(source) as file:
        return _Writer(path, file, fd).write(lines)


class _Writer:
    """One pass over the pieces of a document."""

    def __init__(self, path: Path, file: Any, fd: int) -> None:
        self._path, self._file = path, file
        self._fit = Fit(file.schema_arrow)
        self._fd = fd
        self._tables: list[Any] = []
        self._held = 0
        self._written = 0
        starts = [0]
        for group in range(file.metadata.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
        self._starts = starts
        self._group: tuple[int, Any] = (-1, None)
        self._most = max((b - a for a, b in pairwise(starts)), default=0)

    def write(self, lines: Lines) -> int:
        import pyarrow.parquet as pq

        meta = self._file.metadata
        codecs: dict[str, str] = {}
        if meta.num_row_groups:
            first = meta.row_group(0)
            for at in range(first.num_columns):
                column = first.column(at)
                codecs[column.path_in_schema] = column.compression
        codec: Any = {k: "NONE" if v == "UNCOMPRESSED" else v for k, v in codecs.items()}
        with open(self._fd, "wb", closefd=False) as out:
            writer = pq.ParquetWriter(out, self._fit.schema, compression=codec or "snappy")
            with writer:
                flush = partial(self._flush, writer)
                for piece in lines.pieces:
                    if isinstance(piece, FileRows):
                        self._rows(piece.start, min(piece.stop, self._starts[-1]), flush)
                    else:
                        self._own(piece)
                        if self._held >= max(self._most, 1024):
                            flush()
                flush()
        return self._written

    def _rows(self, start: int, stop: int, flush: Any) -> None:
        for group, (first, last) in enumerate(pairwise(self._starts)):
            begin, end = max(start, first), min(stop, last)
            if begin >= end:
                continue
            if self._group[0] != group:
                self._group = (group, self._file.read_row_group(group))
            self._tables.append(self._group[1].slice(begin - first, end - begin))
            self._held += end - begin
            if end == last:
                flush()

    def _own(self, piece: OwnRow) -> None:
        try:
            self._tables.append(self._fit.table(piece.content))
        except BadInput as error:
            row = self._written + self._held + 1
            raise BadInput(f"{self._path}: line {row}: {error.message}", error.hint) from None
        self._held += 1

    def _flush(self, writer: Any) -> None:
        import pyarrow as pa

        if self._held:
            table = pa.concat_tables(self._tables)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            self._written += self._held
        self._tables, self._held = [], 0
