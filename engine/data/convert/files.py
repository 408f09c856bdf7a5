"""A whole dataset in another shape: streamed into a new file, or in place as one step of undo.

Knows documents and files. Does not know shapes (`convert`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from engine.data.convert.rows import Converted, Target, convert
from engine.data.journal.changes import Insert, Replace
from engine.data.rows import HEAD_BYTES, parse_row
from engine.data.several import Several
from store.errors import BadInput, Conflict, NoSpace

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

LISTED = 1000
"""How many rows are listed one by one, of each kind; all are counted."""
_OTHER = (".gz", ".zst", ".csv", ".tsv", ".parquet")
_EVERY = 2000


class Loss(msgspec.Struct, frozen=True):
    """What a row lost."""

    line: int
    lost: tuple[str, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """A row that was not converted, and why."""

    line: int
    why: str


class Report(msgspec.Struct, frozen=True):
    """What a conversion did.

    Attributes:
        rows: rows read; `written`: rows of the new file (a pair may give two; in place, all rows).
        unchanged: rows that had the shape already, or nothing of which changed.
        lost: what was lost and in how many rows; `losses` names the first rows.
        left_out: how many rows were not converted; `omitted` names the first.
        out: the new file; None for a conversion in place.
    """

    to: Target
    out: str | None
    rows: int
    written: int
    unchanged: int
    lost: dict[str, int]
    losses: tuple[Loss, ...]
    left_out: int
    omitted: tuple[LeftOut, ...]


class _Tally:
    """Counts what happens to rows."""

    def __init__(self, data: Dataset, to: Target, told: Callable[[int], None] | None) -> None:
        self._data, self._to, self._told = data, to, told
        self.rows = self.written = self.unchanged = self.left_out = 0
        self.lost: Counter[str] = Counter()
        self.losses: list[Loss] = []
        self.omitted: list[LeftOut] = []

    def each(self) -> Iterator[tuple[int, bytes, Converted | None]]:
        """Every row with what becomes of it; None for one that cannot be converted."""
        for number, raw in self._data.iter_raw():
            self.rows += 1
            # Of a row that is too long to parse only the head comes; the document can tell.
            row = self._data.row(number) if len(raw) == HEAD_BYTES else parse_row(number, raw)
            try:
                made = convert(row, self._to)
            except BadInput as wrong:
                self.left_out += 1
                if len(self.omitted) < LISTED:
                    self.omitted.append(LeftOut(number, wrong.message))
                yield number, raw, None
                continue
            self.written += 1 + len(made.more)
            self.unchanged += made.raw == raw
            if made.lost:
                self.lost.update(made.lost)
                if len(self.losses) < LISTED:
                    self.losses.append(Loss(number, made.lost))
            if self._told is not None and self.rows % _EVERY == 0:
                self._told(self.rows)
            yield number, raw, made

    def stop(self) -> None:
        """Raise for rows that cannot be converted."""
        if not self.left_out:
            return
        some = "; ".join(item.why for item in self.omitted[:10])
        more = f"; and {self.left_out - 10:,} more" if self.left_out > 10 else ""
        raise BadInput(
            f"{self.left_out:,} of {self.rows:,} rows cannot become {self._to}: {some}{more}",
            "repair them, or leave them out with --leave-out; nothing was written",
        )

    def report(self, out: Path | None) -> Report:
        return Report(
            self._to,
            None if out is None else str(out),
            self.rows,
            self.written,
            self.unchanged,
            dict(self.lost.most_common()),
            tuple(self.losses),
            self.left_out,
            tuple(self.omitted),
        )


def convert_dataset(
    data: Dataset,
    to: Target,
    out: Path,
    *,
    leave_out: bool = False,
    force: bool = False,
    told: Callable[[int], None] | None = None,
) -> Report:
    """Write all rows in another shape to a new JSONL file, which is there whole or not at all.

    Args:
        leave_out: rows that cannot be converted are left out; else they stop everything.
        force: write over a file that is there.
        told: is called with the number of rows read now and then; what it raises ends it all.
    Raises:
        BadInput: rows cannot be converted, or `out` is no place for JSONL.
        Conflict: the file is there already. NoSpace: the disk is full.
    """
    out = Path(os.path.realpath(out))
    _check_out(data, out, force)
    tally = _Tally(data, to, told)
    with _draft(out, data) as draft:
        for _, _, made in tally.each():
            if made is not None and (leave_out or not tally.left_out):
                draft.write(b"\n".join((made.raw, *made.more, b"")))
        if not leave_out:
            tally.stop()
    return tally.report(out)


def convert_in_place(
    data: Dataset,
    to: Target,
    *,
    leave_out: bool = False,
    told: Callable[[int], None] | None = None,
) -> Report:
    """Give all rows another shape, as one step of undo; nothing is saved.

    With `leave_out` rows that cannot be converted stay as they are.

    Raises:
        BadInput: rows cannot be converted.
    """
    tally = _Tally(data, to, told)
    changes = data.batch()
    for number, raw, made in tally.each():
        if (
            made is None
            or (made.raw == raw and not made.more)
            or not (leave_out or not tally.left_out)
        ):
            continue
        if made.raw != raw:
            changes.append(Replace(number, made.raw))
        for more in made.more:
            changes.append(Insert(number + 1, more))
    if not leave_out:
        tally.stop()
    if changes:
        data.change(changes, f"convert to {to}")
    report = tally.report(None)
    return msgspec.structs.replace(report, written=report.written + report.left_out)


def _check_out(data: Dataset, out: Path, force: bool) -> None:
    if out.suffix in _OTHER:
        raise BadInput(f"{out}: a conversion writes JSONL", "give the file a name in .jsonl")
    if out.is_dir():
        raise BadInput(f"{out}: a folder", "name a file in it")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent}: there is no such folder", "make it, or name another")
    if not out.exists():
        return
    own = [file.path for file in data.files] if isinstance(data, Several) else [data.path]
    if any(path.exists() and out.samefile(path) for path in own):
        raise BadInput(
            f"{out}: the dataset itself", "name another file, or convert it with --in-place"
        )
    if not force:
        raise Conflict(f"{out}: is there already", "name another file, or add --force")


@contextlib.contextmanager
def _draft(out: Path, data: Dataset) -> Iterator[IO[bytes]]:
    """A file beside `out` that takes its name once all is written and on the disk."""
    try:
        fd, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    except OSError as wrong:
        raise BadInput(f"{out}: cannot be written ({wrong.strerror})", "name another") from wrong
    try:
        with open(fd, "wb", buffering=1 << 20) as file:
            mode = out.stat().st_mode & 0o777 if out.exists() else 0o666 & ~_umask()
            os.fchmod(fd, mode)
            yield file
            file.flush()
            os.fsync(fd)
        os.replace(name, out)
        folder = os.open(out.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as wrong:
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(
                f"{out}: no room for the new file; nothing was written",
                f"make room for about {data.size / 1e6:,.0f} MB, or name another folder",
            ) from wrong
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
