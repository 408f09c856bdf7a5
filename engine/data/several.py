"""Several files as one dataset: edited, undone and saved together.

Knows how a step that touches several files is made and undone as one. Does not know how a file is
read or saved: each is a `Document`, and its edits are its own, so that they are there too when it
is opened alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from engine.data.document import Document
from engine.data.file.save import SaveReport
from engine.data.joined import Joined
from engine.data.journal import memory, overlay
from engine.data.journal.batch import Batch
from engine.data.journal.changes import (
    Annotation,
    Change,
    Changed,
    Delete,
    Insert,
    Replace,
    Step,
    VersionInfo,
)
from engine.data.journal.overlay import Choice
from store import datasets, edits
from store.annotations import Note
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound
from store.sqlite import write

MOST_FILES = 400
"""Each file keeps a descriptor open, and systems allow about a thousand."""


class Several(Joined):
    """Use `Several.open`; close it when done (or use it as a context manager)."""

    @classmethod
    def open(
        cls,
        cat: Catalogue,
        where: str,
        paths: Sequence[Path],
        *,
        force: bool = False,
        choice: Choice = "ask",
    ) -> Several:
        """Open all files; see `Document.open`. `where` is what the person called them.

        Raises:
            BadInput: they are too many to be held open.
        """
        if len(paths) > MOST_FILES:
            raise BadInput(
                f"{where}: {len(paths):,} files; {MOST_FILES} can be open as one dataset",
                "name fewer, or put them together: cat PART… > all.jsonl",
            )
        files: list[Document] = []
        try:
            for path in paths:
                files.append(Document.open(cat, path, force=force, choice=choice))
            name = _name(where, paths)
            dataset = datasets.remember(cat, name, _together(files))
        except BaseException:
            for file in files:
                file.close()
            raise
        return cls(cat, Path(dataset.path), dataset.id, files)

    # Editing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for file in self.files:
                stack.enter_context(file.writing())
            yield

    def change(self, edits: Sequence[Change], label: str) -> int:
        while True:
            with self.writing():
                done = self._record(edits, label)
                for file, recorded in done or ():
                    file.show(recorded)
            if done is not None:
                return sum(recorded.count for _, recorded in done)

    def batch(self) -> Batch:
        return Batch(self._cat.workspace.indexes)

    def _record(
        self, changes: Sequence[Change], label: str
    ) -> list[tuple[Document, overlay.Recorded]] | None:
        """Write changes to all journals at once, or (None) to none as someone was quicker."""
        with write(self._cat.db):
            if not all(file.in_step() for file in self.files):
                return None
            parts = self._parted(changes)
            done = []
            batch = 0
            for file, part in parts.items():
                recorded = file.record(part, label, batch)
                done.append((file, recorded))
                if recorded.step is not None:
                    batch = recorded.step.batch
            for file in self.files:
                if batch and file not in parts:
                    edits.forget_undone(self._cat, file.dataset_id)
            return done

    def _parted(self, changes: Sequence[Change]) -> dict[Document, Batch]:
        """The changes of each file, in its own numbers."""
        parts: dict[Document, Batch] = {}
        for change in changes:
            new: Change
            if isinstance(change, Insert):
                if change.before_row > 1 and change.before_row == self.count + 1:
                    file, local = self._at(change.before_row - 1)
                    local += 1
                elif self.count == 0:
                    file, local = self.files[0], change.before_row
                else:
                    file, local = self._at(change.before_row)
                new = Insert(local, change.raw)
            else:
                file, local = self._at(change.row)
                new = Delete(local) if isinstance(change, Delete) else Replace(local, change.raw)
            if file not in parts:
                parts[file] = self.batch()
            parts[file].append(new)
        return parts

    def undo(self) -> Step | None:
        """Take the newest step back, whichever files it was in; None when there is none."""
        return self._travel(undo=True)

    def redo(self) -> Step | None:
        """Do again what was undone last; None when there is nothing."""
        return self._travel(undo=False)

    def _travel(self, *, undo: bool) -> Step | None:
        with self.writing():
            stuck: Document | None = None
            try:
                with write(self._cat.db):
                    take = edits.undo if undo else edits.redo
                    steps = take(self._cat, [file.dataset_id for file in self.files])
                    if not steps:
                        return None
                    touched = {step.dataset_id: step for step in steps}
                    changed = [file for file in self.files if file.dataset_id in touched]
                    for file in changed:
                        stuck = file
                        file.follow()
                    stuck = None
            except Conflict:
                if stuck is not None:
                    edits.stop_undo(self._cat, stuck.dataset_id)
                raise
        self.grow()
        first = next(first for file, first in self._firsts() if file is changed[0])
        told = overlay.told(steps, changed[0].dataset_id, done=not undo)
        return replace(told, row=told.row + first)

    def history(self, limit: int = 100) -> list[Step]:
        """The newest steps of all files together; rows count within the file."""
        return overlay.history(self._cat, [file.dataset_id for file in self.files], limit)

    # Versions, tags and notes

    def versions(self) -> list[VersionInfo]:
        """The versions of all files, newest first; files never saved have none."""
        found = [
            replace(info, path=file.path)
            for file in self.files
            for info in file.versions()
            if info.id
        ]
        return sorted(found, key=lambda info: info.created, reverse=True)

    def unplaced(self) -> tuple[Changed, ...]:
        """Edits that found no place in a merge and are kept."""
        return tuple(
            replace(change, path=file.path) for file in self.files for change in file.unplaced()
        )

    def restore(self, version_id: int) -> Step:
        """Bring a version of one of the files back; see `Document.restore`."""
        for file, first in list(self._firsts()):
            if any(info.id == version_id for info in file.versions()):
                step = file.restore(version_id)
                return replace(step, row=step.row + first)
        raise NotFound(
            f"there is no version {version_id} of these files", "list them: data versions FILES"
        )

    def annotate(
        self,
        rows: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        note: str | None = None,
    ) -> None:
        """Add and remove tags of rows, and set their note; kept beside the files."""
        parts: dict[Document, list[int]] = {}
        for n in rows:
            file, local = self._at(n)
            parts.setdefault(file, []).append(local)
        with write(self._cat.db):
            for file, local_rows in parts.items():
                file.annotate(local_rows, add, remove, note)

    def annotations(self, n: int) -> Annotation:
        """Tags and note of row `n`."""
        file, local = self._at(n)
        return file.annotations(local)

    def noted(self) -> dict[bytes, Note]:
        """All tags and notes, by `planned.content_hash` of a row: for scans of many rows."""
        return {key: note for file in self.files for key, note in file.noted().items()}

    def tags(self) -> dict[str, int]:
        """Tags in use, and how many different rows have them."""
        return memory.tags(self._cat, [file.dataset_id for file in self.files])

    # Saving

    def save(
        self, force: bool = False, choice: Choice = "ask", cat: Catalogue | None = None
    ) -> SaveReport:
        """Save each file that has unsaved edits; see `Document.save`.

        Nothing is written where one of them was changed underneath its edits. Where a disk fills
        up on the way the error names the file; those before it are saved, the edits of the others
        are kept. The report's hash is over the hashes of the files that were written, "" for none.
        """
        for file in self.files:
            file.catch_up("mine" if force else choice, cat)
        done = [file.save(force, choice, cat) for file in self.files if file.unsaved]
        digest = hashlib.sha256("".join(report.sha256 for report in done).encode()).hexdigest()
        self.grow()
        return SaveReport(
            self.path,
            self.count,
            self.size,
            done[0].sha256 if len(done) == 1 else digest if done else "",
            unplaced=tuple(change for report in done for change in report.unplaced),
        )

    def close(self) -> None:
        """Let go of the files; unsaved edits stay in the catalogue."""
        for file in self.files:
            file.close()

    def __enter__(self) -> Several:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _name(where: str, paths: Sequence[Path]) -> str:
    """What the dataset is called in the catalogue: the pattern, or all paths, made absolute."""
    if "," in where:
        return ",".join(os.path.realpath(path) for path in paths)
    return os.path.abspath(where)


def _together(files: Sequence[Document]) -> os.stat_result:
    """An identity for all files together."""
    seen = [os.stat(file.path) for file in files]
    key = hashlib.sha256(repr([(s.st_dev, s.st_ino) for s in seen]).encode()).digest()
    inode, newest = int.from_bytes(key[:7]), max(s.st_mtime_ns for s in seen)
    size = sum(s.st_size for s in seen)
    return os.stat_result((0, inode, 0, 1, 0, 0, size, 0, 0, 0), {"st_mtime_ns": newest})
