"""A document: the user's file with the unsaved edits on it.

Knows the index, the journal, undo and saving, and brings them together. Does not know what a row
means to a model. Rows are numbered from 1, as the document stands at that moment.

The file is never read whole. Edits are kept in the catalogue at once and replayed over the file
when it is opened again, so undo and redo survive a restart; where the file was changed by someone
else they are replayed only if every row they touched is still what it was. One thread may edit
while another calls `grow`; other processes may edit the same file through the same workspace.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from engine.data import scan
from engine.data.changes import FileRun, OwnLine, Place
from engine.data.index import Identity, RowIndex
from engine.data.lines import Lines
from engine.data.pieces import OwnRow, Pieces, standing
from engine.data.rows import HEAD_BYTES, MAX_ROW_BYTES, Row, oversized, parse_row, set_value
from engine.data.save import Draft, SaveReport, hash_of, sweep
from store import datasets, edits, versions
from store.catalogue import Catalogue
from store.edits import Edit, Kind
from store.errors import BadInput, Conflict, NotFound
from store.sqlite import write

Check = Literal["none", "exists", "same"]
"""How an edit is held against the row it was made on before it is replayed."""


class Document:
    """Use `Document.open`; close it when done (or use it as a context manager)."""

    def __init__(
        self, cat: Catalogue, path: Path, index: RowIndex, dataset_id: int, cache: Path
    ) -> None:
        self.path = path
        self.dataset_id = dataset_id
        self._cat = cat
        self._cache = cache
        self._lines = Lines(index, Pieces())
        self._edits: list[Edit] = []
        self._last_id = 0
        # Edits and saves wait for each other; looking waits for neither.
        self._writing = threading.RLock()
        self._lock = threading.RLock()

    @classmethod
    def open(cls, cat: Catalogue, path: Path | str, *, force: bool = False) -> Document:
        """Open a file; its first rows are there when this returns, `grow` finds the rest.

        Args:
            force: lay unsaved edits over the file even where it was changed underneath them.
        Raises:
            NotFound, BadInput: there is no such file, or it is not one that can be read.
            Conflict: the file was changed outside, where unsaved edits are; or a save of it
                was cut short.
        """
        real = Path(os.path.realpath(path))
        tag = hashlib.sha256(os.fsencode(real)).hexdigest()[:24]
        cache = cat.workspace.indexes / f"{tag}.rows"
        index = RowIndex.open(real, cache)
        try:
            sweep(real, cat.workspace.indexes)
            seen = os.fstat(index.fileno())
            known = datasets.by_path(cat, real)
            if known is not None:
                _settle(cat, known.id, real)
            dataset = known or datasets.remember(cat, real, seen)
            document = cls(cat, real, index, dataset.id, cache)
            was = Identity(dataset.device, dataset.inode, dataset.bytes, dataset.mtime_ns)
            document._replay(cat, "none" if was == index.identity else _strictness(force))
            datasets.remember(cat, real, seen)
        except BaseException:
            index.close()
            raise
        return document

    @staticmethod
    def discard(cat: Catalogue, path: Path | str) -> int:
        """Drop the unsaved edits of a file for good; returns how many there were.

        Needs no open document, as edits that no longer fit their file keep it from opening;
        an open one catches up.
        """
        dataset = datasets.by_path(cat, Path(os.path.realpath(path)))
        if dataset is None:
            return 0
        gone = len(standing(edits.unsaved(cat, dataset.id)))
        edits.discard(cat, dataset.id)
        return gone

    # Looking

    @property
    def name(self) -> str:
        """What to call it on a screen."""
        return self.path.name

    @property
    def count(self) -> int:
        """Rows known so far; all of them once `complete`."""
        return self._lines.known

    @property
    def complete(self) -> bool:
        """Has the whole file been looked at?"""
        return self._lines.index.complete

    @property
    def progress(self) -> float:
        """The share of the file that has been looked at, 0 to 1."""
        return self._lines.index.progress

    @property
    def size(self) -> int:
        """Bytes of the file as it was opened."""
        return self._lines.index.identity.bytes

    @property
    def unsaved(self) -> int:
        """How many edits the file does not have yet."""
        return len(standing(self._edits))

    def grow(self, seconds: float | None = None) -> bool:
        """Look further into the file for about so long; True when all of it is known.

        Where the file was changed outside, it is looked at anew.

        Raises:
            Conflict: it was changed where unsaved edits are.
        """
        if self._lines.index.changed():
            # Perhaps on another thread than the document's, which needs a catalogue of its own.
            with self._writing, Catalogue.open(self._cat.workspace) as cat:
                self._sync(cat)
        index = self._lines.index
        before = index.complete
        done = index.grow(seconds=seconds)
        if done and not before:
            index.keep(self._cache)
        return done

    def row(self, n: int) -> Row:
        """Row `n`, parsed; a broken row is a row with an error.

        Raises:
            NotFound: the document ends before it.
        """
        with self._lock:
            self._reach(n)
            size = self._lines.size(n - 1)
            if size > MAX_ROW_BYTES:
                return oversized(n, self._lines.head(n - 1, HEAD_BYTES), size)
            return parse_row(n, self._lines.content(n - 1))

    def raw(self, n: int) -> bytes:
        """The bytes of row `n` without its line ending, however long.

        Raises:
            NotFound: the document ends before it.
        """
        with self._lock:
            self._reach(n)
            return self._lines.content(n - 1)

    def rows(self, start: int, n: int) -> list[Row]:
        """Up to `n` rows from row `start` on, as far as they are known."""
        return [self.row(number) for number in range(start, min(start + n, self.count + 1))]

    def edited(self, n: int) -> bool:
        """Does row `n` differ from the file by an unsaved edit?"""
        with self._lock:
            return isinstance(self._lines.pieces.find(n - 1), OwnRow)

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Rows [start, stop) as (number, content), read in large pieces; see `scan.iter_raw`."""
        return scan.iter_raw(self._lines, start, stop)

    def runs(self) -> Iterator[FileRun | OwnLine]:
        """The whole document as untouched stretches of the file and lines of our own."""
        return scan.runs(self._lines)

    def locate(self, n: int) -> Place:
        """Where row `n` comes from."""
        with self._lock:
            self._reach(n)
            found = self._lines.pieces.find(n - 1)
            line = found.replaces if isinstance(found, OwnRow) else found
            return Place(self.path, None if line is None else line + 1)

    # Editing

    def set(self, n: int, dotted: str, value: str) -> None:
        """Replace one value of row `n`, as `messages.1.content`; see `set_values`."""
        self.set_values(n, [(dotted, value)])

    def set_values(self, n: int, pairs: Sequence[tuple[str, str]]) -> None:
        """Replace values (key, text) of row `n` in one edit: all of them or none.

        Raises:
            NotFound: no such row. BadInput: no such key, or the value does not fit it.
        """
        with self._writing:
            self._sync(self._cat)
            self._reach(n)
            if self._lines.size(n - 1) > MAX_ROW_BYTES:
                error = self.row(n).error
                raise BadInput(f"{self.path}: {error}", "split the row outside, or delete it")
            new = self._lines.content(n - 1)
            try:
                for dotted, value in pairs:
                    new = set_value(new, dotted, value)
            except BadInput as wrong:
                raise BadInput(f"{self.path}: line {n}: {wrong.message}", wrong.hint) from None
            self.replace(n, new)

    def replace(self, n: int, raw: bytes) -> None:
        """Make `raw` (one line, without ending) the content of row `n`."""
        _one_line(raw)
        with self._writing:
            self._sync(self._cat)
            self._reach(n)
            before = self._lines.content(n - 1)
            if raw != before:
                self._do("replace", n, before, raw)

    def insert(self, n: int, raw: bytes) -> None:
        """Add `raw` as a new row `n`, before the present one; `count + 1` adds at the end."""
        _one_line(raw)
        with self._writing:
            self._sync(self._cat)
            if n > 1:
                self._reach(n - 1)
            elif n < 1:
                raise self._no_row(n)
            self._do("insert", n, None, raw + self._lines.usual_ending())

    def delete(self, n: int) -> None:
        """Take row `n` away."""
        with self._writing:
            self._sync(self._cat)
            self._reach(n)
            self._do("delete", n, self._lines.whole(n - 1), None)

    def undo(self) -> int | None:
        """Take the last edit back, saved or not; returns its row, None when there is none.

        Raises:
            Conflict: the file was changed outside where that edit was.
        """
        return self._step(edits.undo)

    def redo(self) -> int | None:
        """Do again what was undone last; returns its row, None when there is nothing.

        Raises:
            Conflict: the file was changed outside where that edit was.
        """
        return self._step(edits.redo)

    def _do(self, kind: Kind, n: int, before: bytes | None, after: bytes | None) -> None:
        edit = edits.append(self._cat, self.dataset_id, kind, n, before, after)
        self._edits.append(edit)
        self._last_id = edit.id
        with self._lock:
            self._lines.pieces.apply(edit)

    def _step(self, take: Callable[[Catalogue, int], Edit | None]) -> int | None:
        with self._writing:
            self._sync(self._cat)
            try:
                with write(self._cat.db):
                    edit = take(self._cat, self.dataset_id)
                    if edit is None:
                        return None
                    self._check(self._lines, edit, "same")
            except Conflict as conflict:
                # Unsaved edits were held against the file before, so this one was saved, and the
                # row has been changed outside since: the way back ends here.
                edits.forget(self._cat, self.dataset_id)
                raise Conflict(
                    conflict.message, "edit the row itself: the history ends here"
                ) from None
            self._edits.append(edit)
            self._last_id = edit.id
            self._lay(standing(self._edits), "none", self._lines.index)
            return edit.row

    # Saving

    def save(self, force: bool = False, *, cat: Catalogue | None = None) -> SaveReport:
        """Write the edits into the file: untouched rows byte for byte, whole or not at all.

        Args:
            force: write even where the file was changed underneath the edits.
            cat: this thread's catalogue, where it is another thread than the document's.
        Raises:
            Conflict: the file was changed outside where edits are.
            NoSpace: the disk is full; the file is as it was.
            BadInput: the file or its folder may not be written.
        """
        cat = cat or self._cat
        with self._writing:
            self._sync(cat, force)
            index = self._lines.index
            index.grow()
            if not standing(self._edits):
                return self._report(cat, hash_of(index.fileno()))
            draft = Draft(self.path, os.fstat(index.fileno()), cat.workspace.indexes)
            try:
                ends = draft.compose(self._lines)
                digest = draft.seal()
                if index.changed():
                    raise Conflict(
                        f"{self.path}: changed outside during the save",
                        "nothing was written and your edits are kept; save again",
                    )
                size = os.fstat(draft.fd).st_size
                version = versions.Version(self.dataset_id, digest, len(ends), size)
                edits.begin_save(cat, self.dataset_id, version, self._last_id)
                draft.install()
                edits.mark_saved(cat, self.dataset_id, version, self._last_id)
                new = RowIndex.open(self.path)
                if new.identity.inode == draft.inode and new.identity.bytes == size:
                    new.adopt(ends)
            finally:
                draft.close()
            self._edits = []
            self._lay([], "none", new)
            new.grow()
            new.keep(self._cache)
            return self._report(cat, digest)

    def close(self) -> None:
        """Let go of the file; unsaved edits stay in the catalogue."""
        self._lines.index.close()

    def __enter__(self) -> Document:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _report(self, cat: Catalogue, digest: str) -> SaveReport:
        index = self._lines.index
        seen, rows = os.fstat(index.fileno()), len(index)
        datasets.remember(cat, self.path, seen, rows=rows, sha256=digest)
        return SaveReport(self.path, rows, seen.st_size, digest)

    # The journal over the file

    def _sync(self, cat: Catalogue, force: bool = False) -> None:
        """Catch up with a file changed, or edits made, by another process."""
        changed = self._lines.index.changed()
        if changed:
            _settle(cat, self.dataset_id, self.path)
        if changed or edits.last_id(cat, self.dataset_id) != self._last_id:
            self._replay(cat, _strictness(force) if changed else "none")
        if changed:
            datasets.remember(cat, self.path, os.fstat(self._lines.index.fileno()))

    def _replay(self, cat: Catalogue, check: Check) -> None:
        """Read the journal again and lay it over the file."""
        journal = edits.unsaved(cat, self.dataset_id)
        last = edits.last_id(cat, self.dataset_id)
        if self._lines.index.changed():
            self._renew(standing(journal), check)
        else:
            self._lay(standing(journal), check, self._lines.index)
        self._edits, self._last_id = journal, last

    def _renew(self, journal: Sequence[Edit], check: Check) -> None:
        """Open the file again, which is not the one that was open, and lay the edits over it."""
        new = RowIndex.open(self.path)
        try:
            self._lay(journal, check, new)
        except BaseException:
            new.close()
            raise

    def _lay(self, journal: Sequence[Edit], check: Check, index: RowIndex) -> None:
        lines = Lines(index, Pieces())
        for edit in journal:
            if check != "none":
                self._check(lines, edit, check)
            lines.pieces.apply(edit)
        with self._lock:
            old, self._lines = self._lines, lines
            if old.index is not index:
                old.index.close()

    def _check(self, lines: Lines, edit: Edit, check: Check) -> None:
        """Raise Conflict unless the row is there, and is what the edit was made on."""
        at = edit.row - 1
        if edit.kind == "insert":
            fits = at == 0 or lines.reach(at - 1)
        elif not lines.reach(at):
            fits = False
        elif check == "exists":
            fits = True
        elif edit.kind == "replace":
            fits = lines.content(at) == edit.before
        else:
            fits = lines.whole(at) == edit.before
        if not fits:
            raise Conflict(
                f"{self.path}: changed outside, and line {edit.row} is not what the edit of it "
                "was made on",
                "`workbench data discard` drops the edits; `workbench data save --force` writes "
                "them over the file as it is now",
            )

    def _reach(self, n: int) -> None:
        if n < 1 or not self._lines.reach(n - 1):
            raise self._no_row(n)

    def _no_row(self, n: int) -> NotFound:
        return NotFound(
            f"{self.path}: there is no row {n}; it has {self.count:,}",
            f"name a row from 1 to {self.count:,}" if self.count else "add rows to the file first",
        )


def _strictness(force: bool) -> Check:
    return "exists" if force else "same"


def _settle(cat: Catalogue, dataset_id: int, path: Path) -> None:
    """Find out whether a save that never reported back had put its file in place."""
    if versions.intended(cat, dataset_id):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            edits.recover(cat, dataset_id, hash_of(file.fileno()))


def _one_line(raw: bytes) -> None:
    if b"\n" in raw:
        raise BadInput(
            "a row is one line, and this text has a line break in it",
            "write line breaks inside a value as \\n",
        )
