"""A document: the user's file with the unsaved edits on it.

Knows the source, the journal, undo and saving, and brings them together. Does not know what a row
means to a model. Rows are numbered from 1, as the document stands at that moment.

The file is never read whole. Edits are kept in the catalogue at once and laid over the file when
it is opened again, so undo and redo survive a restart; where the file was changed by someone else
they are laid on only if every row they touched is still what it was, or by a choice of the user's.
One thread may edit while another calls `grow`; other processes may edit the same file through the
same workspace.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from types import TracebackType

from engine.data.file.lines import Lines
from engine.data.file.save import Draft, SaveReport, hash_of
from engine.data.journal import memory, overlay
from engine.data.journal.batch import Batch
from engine.data.journal.changes import (
    Annotation,
    Change,
    Changed,
    Step,
    VersionInfo,
)
from engine.data.journal.overlay import Choice, tag_of
from engine.data.journal.planned import needed, plan
from engine.data.reading import Reading
from engine.data.sources import Source
from store import annotations as noted
from store import datasets, edits, versions
from store.annotations import Note
from store.catalogue import Catalogue
from store.edits import Edit, Position
from store.errors import BadInput, Conflict, NotFound
from store.sqlite import write

_TRIES = 20
"""How often a document looks again before it takes what it sees for granted."""


class Document(Reading):
    """Use `Document.open`; close it when done (or use it as a context manager)."""

    def __init__(
        self, cat: Catalogue, source: Source, dataset_id: int, lines: Lines, at: Position
    ) -> None:
        super().__init__(cat, source, dataset_id, lines, at)
        # Edits and saves wait for each other; looking waits for neither.
        self._writing = threading.RLock()

    @classmethod
    def open(
        cls, cat: Catalogue, path: Path | str, *, force: bool = False, choice: Choice = "ask"
    ) -> Document:
        """Open a file; its first rows are there when this returns, `grow` finds the rest.

        Args:
            force: as `choice="mine"`.
            choice: what to do with unsaved edits where the file was changed underneath them:
                `mine` lays them on by line number, `merge` finds each its line by content.
        Raises:
            NotFound, BadInput: there is no such file, or it is not one that can be read.
            Conflict: the file was changed outside, where unsaved edits are; or a save of it
                was cut short.
        """
        real = Path(os.path.realpath(path))
        source, dataset_id, lines, at = overlay.arrive(cat, real, "mine" if force else choice)
        return cls(cat, source, dataset_id, lines, at)

    @staticmethod
    def discard(cat: Catalogue, path: Path | str) -> int:
        """Drop the unsaved edits of a file for good; returns how many there were.

        Needs no open document, as edits that no longer fit their file keep it from opening;
        an open one catches up.
        """
        dataset = datasets.by_path(cat, Path(os.path.realpath(path)))
        return 0 if dataset is None else edits.discard(cat, dataset.id)

    def grow(self, seconds: float | None = None) -> bool:
        """Look further into the file for about so long; True when all of it is known.

        Where the file was changed outside, it is looked at anew; where it only grew, it is
        followed.

        Raises:
            Conflict: it was changed where unsaved edits are. NotFound: it is gone.
        """
        if self._source.changed():
            # Perhaps on another thread than the document's, which needs a catalogue of its own.
            with self._writing, Catalogue.open(self._cat.workspace) as cat:
                self._sync(cat)
        source = self._source
        before = source.complete
        done = source.grow(seconds)
        if done and not before:
            source.keep()
        return done

    # Editing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with self._writing:
            self._sync(self._cat)
            yield

    def change(self, edits: Sequence[Change], label: str) -> int:
        with self._writing:
            while True:
                self._sync(self._cat)
                with write(self._cat.db):
                    # Between the two someone else may have edited: then the rows are not those.
                    if self.in_step():
                        step = self.record(edits, label)
                        break
            self.show(step)
            return step.count

    def batch(self) -> Batch:
        return Batch(self._cat.workspace.indexes)

    def in_step(self) -> bool:
        """Has nothing happened since this document last caught up with the journal?"""
        return edits.moment(self._cat, self.dataset_id) == self._at.moment

    def record(self, changes: Sequence[Change], label: str, batch: int = 0) -> overlay.Recorded:
        """Write changes to the journal, but do not show them yet; part of a transaction."""
        for n in needed(changes):
            self.reach(n)
        try:
            written = self._write(changes, label, batch)
        except BadInput as wrong:
            raise BadInput(f"{self.path}: {wrong.message}", wrong.hint) from None
        return overlay.Recorded(*written, edits.position(self._cat, self.dataset_id))

    def _write(
        self, changes: Sequence[Change], label: str, batch: int
    ) -> tuple[edits.Step | None, int, Sequence[Edit]]:
        """A large step goes into the journal as it is planned, and is never in memory whole."""
        new = plan(self._lines, changes, self._source.accept)
        begun = list(islice(new, overlay.IN_PLACE))
        if not begun:
            return None, 0, ()
        moves = len(changes) == 2 and label.startswith(self.MOVES)
        draft = edits.Draft(
            label, chain(begun, new), rows=1 if moves else None, batch=batch, moves=moves
        )
        step = edits.append(self._cat, self.dataset_id, draft)
        if moves or step.rows <= overlay.IN_PLACE:
            memory.carry(self._cat, self.dataset_id, begun)
            return step, len(begun), begun
        memory.carry(self._cat, self.dataset_id, edits.along(self._cat, edits.Way(forth=(step,))))
        return step, step.rows, ()

    def show(self, done: overlay.Recorded) -> None:
        """Show what was recorded, once that is sure."""
        if done.step is None:
            return
        lines = overlay.with_edits(self._cat, self._lines, done, self._lock)
        with self._lock:
            self._lines, self._at = lines, done.at
            if self._unsaved is not None:
                self._unsaved = replace(self._unsaved, rows=self._unsaved.rows + done.step.rows)

    def undo(self) -> Step | None:
        """Take the last step back, saved or not; None when there is none.

        Raises:
            Conflict: the file was changed outside where that step was, or the step also changed
                another file, which was edited since.
        """
        return self._travel(undo=True)

    def redo(self) -> Step | None:
        """Do again what was undone last; None when there is nothing.

        Raises:
            Conflict: see `undo`.
        """
        return self._travel(undo=False)

    def _travel(self, *, undo: bool) -> Step | None:
        with self._writing:
            self._sync(self._cat)
            fits = True
            try:
                with write(self._cat.db):
                    take = edits.undo if undo else edits.redo
                    steps = take(self._cat, [self.dataset_id])
                    if not steps:
                        return None
                    fits = False
                    self.follow()
                    fits = True
            except Conflict:
                if not fits:
                    edits.stop_undo(self._cat, self.dataset_id)
                raise
            return overlay.told(steps, self.dataset_id, done=not undo)

    def follow(self) -> None:
        """Show what the journal says now, by the way from what was shown."""
        self._show_journal(self._cat)

    def _show_journal(self, cat: Catalogue) -> None:
        was = self._at
        lines, at, way = overlay.followed(cat, self.dataset_id, self._source, self._lines, was)
        unsaved = None
        if way is not None and was.file == at.file:
            unsaved = overlay.counted(self._unsaved, way, at.file)
        with self._lock:
            self._lines, self._at, self._unsaved = lines, at, unsaved

    def history(self, limit: int = 100) -> list[Step]:
        """The newest steps, those that were undone (`done` False) first."""
        return overlay.history(self._cat, [self.dataset_id], limit)

    # Versions, tags and notes

    def versions(self) -> list[VersionInfo]:
        """What the file was when it was found and after each save, newest first."""
        return memory.version_infos(self._cat, self.dataset_id, self._at, self._source)

    def unplaced(self) -> tuple[Changed, ...]:
        """Edits that found no place in a merge and are kept; `discard` drops them."""
        return memory.unplaced(self._cat, self.dataset_id)

    def restore(self, version_id: int) -> Step:
        """Bring a version back, as one step that can be undone; save writes it.

        Raises:
            NotFound: no such version. Conflict: the way back is not known.
        """
        with self._writing:
            self._sync(self._cat)
            with write(self._cat.db):
                step = memory.restore(self._cat, self.dataset_id, self._at, version_id)
            self.follow()
            return overlay.told([step], self.dataset_id, done=True)

    def annotate(
        self,
        rows: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        note: str | None = None,
    ) -> None:
        """Add and remove tags of rows, and set their note; kept beside the file.

        Raises:
            NotFound: no such row. BadInput: not a tag.
        """
        contents = [self.raw(n) for n in rows]
        memory.annotate(self._cat, self.dataset_id, contents, add, remove, note)

    def annotations(self, n: int) -> Annotation:
        """Tags and note of row `n`."""
        return memory.annotation(self._cat, self.dataset_id, self.raw(n))

    def noted(self) -> dict[bytes, Note]:
        """All tags and notes, by `planned.content_hash` of a row: for scans of many rows."""
        return noted.all(self._cat, self.dataset_id)

    def tags(self) -> dict[str, int]:
        """Tags in use, and how many different rows have them."""
        return memory.tags(self._cat, [self.dataset_id])

    # Saving

    def catch_up(self, choice: Choice = "ask", cat: Catalogue | None = None) -> None:
        """See what others did to the file and the journal; `save` begins with it.

        Raises:
            Conflict, NotFound: see `save`.
        """
        with self._writing:
            self._sync(cat or self._cat, choice)

    def save(
        self, force: bool = False, choice: Choice = "ask", cat: Catalogue | None = None
    ) -> SaveReport:
        """Write the edits into the file: untouched rows byte for byte, whole or not at all.

        Args:
            force: as `choice="mine"`.
            choice: see `open`.
            cat: this thread's catalogue, where it is another thread than the document's.
        Raises:
            Conflict: the file was changed outside where edits are.
            NoSpace: the disk is full; the file is as it was.
            BadInput: the file or its folder may not be written, or cannot hold an edit.
        """
        cat = cat or self._cat
        with self._writing:
            while True:
                self._sync(cat, "mine" if force else choice)
                source = self._source
                source.grow()
                if self._at.head == self._at.file:
                    return self._report(cat, hash_of(source.fileno()))
                with contextlib.closing(self._draft(cat)) as draft:
                    digest = self._written(cat, draft)
                    if digest is None:
                        continue  # another process was quicker: look at what it did, and again
                    new = draft.reopen(cat.workspace.indexes, tag_of(self.path))
                new.grow()
                self._swap(new, *overlay.laid(cat, self.dataset_id, new))
                new.keep()
                return self._report(cat, digest)

    def _draft(self, cat: Catalogue) -> Draft:
        return Draft(self.path, os.fstat(self._source.fileno()), cat.workspace.indexes)

    def _written(self, cat: Catalogue, draft: Draft) -> str | None:
        """Write the document and put it in place; None where the file is another one by now."""
        source, at = self._source, self._at
        with memory.Found(cat, self.dataset_id, at, source) as found:
            rows = draft.write(source, self._lines)
            wanted = memory.restored(cat, at.head, source)
            if wanted is not None:
                draft.end_at(wanted.bytes, self._lines.usual_ending())
            digest = draft.seal()
        memory.expect(wanted, source, draft, digest)
        found.record()
        done = memory.install(cat, self.dataset_id, source, at, draft, digest, rows)
        return digest if done else None

    def _report(self, cat: Catalogue, digest: str) -> SaveReport:
        source = self._source
        seen, rows = os.fstat(source.fileno()), len(source.index)
        with write(cat.db):
            if not source.changed():
                datasets.remember(cat, self.path, seen, rows=rows, sha256=digest)
        aside = memory.unplaced(cat, self.dataset_id)
        return SaveReport(self.path, rows, seen.st_size, digest, unplaced=aside)

    def close(self) -> None:
        """Let go of the file; unsaved edits stay in the catalogue."""
        self._source.close()

    def __enter__(self) -> Document:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The file and the journal, as others leave them

    def _sync(self, cat: Catalogue, choice: Choice = "ask") -> None:
        """Catch up with a file changed, or edits made, by another process."""
        for _ in range(_TRIES):
            if self._source.changed():
                if not self._grown(cat):
                    self._renew(cat, choice)
            elif edits.moment(cat, self.dataset_id) != self._at.moment:
                self._show_journal(cat)
            else:
                return

    def _grown(self, cat: Catalogue) -> bool:
        """Follow a file to which only bytes were added; edits stay where they are."""
        if not self._source.grew() or not overlay.last_is_whole(self._lines):
            return False
        with write(cat.db):
            # A save of another process that writes in place makes the file grow as well. It has
            # ended now, or was cut short, or the file is as others left it.
            saved = edits.position(cat, self.dataset_id).file != self._at.file
            if saved or versions.intended(cat, self.dataset_id) or not self._source.grew():
                return False
            with self._lock:
                self._source.refresh()
            edits.outside(cat, self.dataset_id, "grew")
            if overlay.still(self._source):
                datasets.remember(cat, self.path, os.fstat(self._source.fileno()))
        self._at = edits.position(cat, self.dataset_id)
        return True

    def _renew(self, cat: Catalogue, choice: Choice) -> None:
        """Open the file again, which is not the one that was open, and lay the edits over it."""
        try:
            new, _, lines, at = overlay.arrive(cat, self.path, choice)
        except NotFound:
            raise NotFound(
                f"{self.path}: the file is gone since it was opened",
                "put it back; your edits are kept, and rows can still be read until it is closed",
            ) from None
        self._swap(new, lines, at)

    def _swap(self, new: Source, lines: Lines, at: Position) -> None:
        with self._lock:
            old, self._source = self._source, new
            self._lines, self._at, self._unsaved = lines, at, None
        if old is not new:
            old.close()
