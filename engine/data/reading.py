"""A document as it is looked at: its rows, what is unsaved, where rows come from.

Knows the lines as they stand, and the source below them. Does not change anything: `Document` puts
other lines in place while the lock is held.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from msgspec import structs

from engine.data import scan
from engine.data.editable import Editable
from engine.data.file.lines import Lines
from engine.data.journal import overlay
from engine.data.journal.changes import Changed, FileRun, OwnLine, Place, Status
from engine.data.journal.pieces import OwnRow
from engine.data.journal.shift import Shift, shift
from engine.data.rows import HEAD_BYTES, MAX_ROW_BYTES, Row, oversized, parse_row
from engine.data.sources import Source
from store.catalogue import Catalogue
from store.edits import Position


class Reading(Editable):
    """The rows of one file with its unsaved edits; safe to use from several threads."""

    def __init__(
        self, cat: Catalogue, source: Source, dataset_id: int, lines: Lines, at: Position
    ) -> None:
        self.path = source.path
        self.dataset_id = dataset_id
        self._cat = cat
        self._source = source
        self._lines = lines
        self._at = at
        self._unsaved: overlay.Unsaved | None = None
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """What to call it on a screen."""
        return self.path.name

    @property
    def title(self) -> str:
        return str(self.path)

    @property
    def format(self) -> str:
        """`jsonl`, `json` (one array), `csv` or `parquet`."""
        return self._source.format

    @property
    def compression(self) -> str | None:
        """`gzip`, `zstd` or None."""
        return self._source.compression

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file as a whole, in one line; see `Source.trouble`."""
        return self._source.trouble

    @property
    def count(self) -> int:
        """Rows known so far; all of them once `complete`."""
        return self._lines.known

    @property
    def complete(self) -> bool:
        """Has the whole file been looked at?"""
        return self._source.complete

    @property
    def progress(self) -> float:
        """The share of the file that has been looked at, 0 to 1."""
        return self._source.progress

    @property
    def size(self) -> int:
        """Bytes of the file as it was opened."""
        return self._source.identity.bytes

    @property
    def unsaved(self) -> int:
        """How many changes of rows the file does not have yet."""
        found = self._unsaved
        if found is None:
            # Perhaps on another thread than the document's, which needs a catalogue of its own.
            with Catalogue.open(self._cat.workspace) as cat:
                found = self._unsaved = overlay.unsaved(cat, self.dataset_id, self._at)
        return found.rows

    @property
    def moment(self) -> int:
        """The id of the last thing that happened to the document; see `shift`."""
        return self._at.moment

    def row(self, n: int) -> Row:
        """Row `n`, parsed; a broken row is a row with an error.

        Raises:
            NotFound: the document ends before it.
        """
        with self._lock:
            self.reach(n)
            size = self._lines.size(n - 1)
            if size > MAX_ROW_BYTES:
                return oversized(n, self._lines.head(n - 1, HEAD_BYTES), size)
            row = parse_row(n, self._lines.content(n - 1))
            wrong = self._lines.wrong(n - 1)
            return row if wrong is None else structs.replace(row, error=f"line {n}: {wrong}")

    def raw(self, n: int) -> bytes:
        """The bytes of row `n` without its line ending, however long.

        Raises:
            NotFound: the document ends before it.
        """
        with self._lock:
            self.reach(n)
            return self._lines.content(n - 1)

    def rows(self, start: int, n: int) -> list[Row]:
        """Up to `n` rows from row `start` on, as far as they are known."""
        return [self.row(number) for number in range(start, min(start + n, self.count + 1))]

    def status(self, n: int) -> Status:
        """Is row `n` as in the file, edited, or added?"""
        with self._lock:
            self.reach(n)
            found = self._lines.pieces.find(n - 1)
            if not isinstance(found, OwnRow):
                return "same"
            return "added" if found.replaces is None else "edited"

    def edited(self, n: int) -> bool:
        """Does row `n` differ from the file by an unsaved edit?"""
        with self._lock:
            return isinstance(self._lines.pieces.find(n - 1), OwnRow)

    def changes(self) -> list[Changed]:
        """The unsaved difference against the file, in the order of the document."""
        self._source.grow()
        return list(overlay.changes(self._lines))

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Rows [start, stop) as (number, content), read in large pieces; see `scan.iter_raw`."""
        return scan.iter_raw(self._lines, start, stop)

    def runs(self) -> Iterator[FileRun | OwnLine]:
        """The whole document as untouched stretches of the file and lines of our own."""
        return scan.runs(self._lines)

    def locate(self, n: int) -> Place:
        """Where row `n` comes from."""
        with self._lock:
            self.reach(n)
            found = self._lines.pieces.find(n - 1)
            line = found.replaces if isinstance(found, OwnRow) else found
            return Place(self.path, None if line is None else line + 1)

    def shift(self, since: int) -> Shift:
        """Where rows that were numbered at the moment `since` are now."""
        return shift(self._cat, self.dataset_id, since, self._at)

    def reach(self, n: int) -> None:
        if n < 1 or not self._lines.reach(n - 1):
            raise self.no_row(n)
