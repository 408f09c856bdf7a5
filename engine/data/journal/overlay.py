"""The journal laid over a source: how unsaved edits become the document that is seen.

Knows the way from the step that the file holds to the step that is shown, and what to do where
the file was changed by someone else. Does not know threads, saving or screens.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from engine.data.file.index import Identity
from engine.data.file.lines import Lines
from engine.data.file.save import hash_of, interrupted, repair, sweep
from engine.data.journal import rebase
from engine.data.journal.changes import Changed, Step
from engine.data.journal.pieces import FileRows, Pieces, split_ending
from engine.data.journal.planned import fits, lay_back
from engine.data.sources import Source, open_source
from store import datasets, edits, versions
from store.catalogue import Catalogue
from store.datasets import Dataset
from store.edits import Edit, Position, Way
from store.errors import Conflict
from store.sqlite import write

Choice = Literal["ask", "mine", "merge"]
"""What becomes of unsaved edits where the file was changed underneath them: an error that asks;
they are laid on by line number; each finds its own line again. (Theirs: `Document.discard`.)"""
Check = Literal["none", "exists", "same"]
_CHECKS: dict[Choice, Check] = {"ask": "same", "mine": "exists", "merge": "same"}

IN_PLACE = 500
"""More edits than this are applied to a copy, so that no reader waits for them."""
_ABOUT_TO = 60.0
"""Seconds between saying that a file will be put in place and doing it, at the very most."""
_TRIES = 20
"""How often a file that is replaced under our hands is opened again."""
_HASHED = 256 << 20
"""A file up to this size is hashed to see whether it only looks changed."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a change wrote to the journal: nothing (no step) where nothing differs.

    `edits` are those of a small step; those of a large one are in the journal only.
    """

    step: edits.Step | None
    count: int
    edits: Sequence[Edit]
    at: Position


def tag_of(path: Path) -> str:
    """The name of a file's entries among the cached indexes."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:24]


# Meeting a file


def arrive(cat: Catalogue, path: Path, choice: Choice) -> tuple[Source, int, Lines, Position]:
    """Open a file and lay its unsaved edits over it; returns its dataset's id too.

    Raises:
        NotFound, BadInput: there is no such file, or it is not one that can be read.
        Conflict: it was changed where unsaved edits are, and `choice` is to ask.
    """
    for _ in range(_TRIES):
        source = open_source(path, cat.workspace.indexes, tag_of(path))
        try:
            _tidy(cat, path)
            known = datasets.by_path(cat, path)
            foreign = known is not None and changed_by_others(cat, known, source)
            dataset = known or datasets.remember(cat, path, os.fstat(source.fileno()))
            lines, at, merged = _meet(cat, dataset.id, source, foreign, choice)
            with write(cat.db):
                # No save or edit of ours can come between the question and the note.
                if still(source) and edits.moment(cat, dataset.id) == at.moment:
                    if foreign and at.moment and not merged:
                        edits.outside(cat, dataset.id)
                    datasets.remember(cat, path, os.fstat(source.fileno()))
                    return source, dataset.id, lines, edits.position(cat, dataset.id)
        except BaseException as error:
            stale = not still(source)
            source.close()
            if isinstance(error, Conflict) and stale:
                continue
            raise
        source.close()
    raise Conflict(
        f"{path}: changes faster than it can be opened", "wait until it is written, then try again"
    )


def _tidy(cat: Catalogue, path: Path) -> None:
    """See to what a save that was cut short has left.

    Raises:
        Conflict: see `repair`; or somebody is saving.
    """
    spare = cat.workspace.indexes
    if interrupted(path, spare):
        with write(cat.db):
            # Whoever was saving through this workspace has ended, one way or the other.
            repair(path, spare)
    sweep(path, spare)


def still(source: Source) -> bool:
    """Is the file at its path the one that is open, give or take rows added at its end?"""
    return not source.changed() or source.grew()


def changed_by_others(cat: Catalogue, known: Dataset, source: Source) -> bool:
    """Is the file another one than was seen last, and not by a save of ours?"""
    if _settle(cat, known.id, source):
        return False
    # Asked again: another process may have saved while we looked.
    known = datasets.get(cat, known.id)
    was = Identity(known.device, known.inode, known.bytes, known.mtime_ns)
    if was == source.identity:
        return False
    if known.sha256 is None or not known.bytes == source.identity.bytes <= _HASHED:
        return True
    return hash_of(source.fileno()) != known.sha256


def _settle(cat: Catalogue, dataset_id: int, source: Source) -> bool:
    """Find out whether a save that never reported back had put its file in place."""
    found = versions.intended(cat, dataset_id)
    if found is None:
        return False
    version, digest = found[0], hash_of(source.fileno())
    if version.sha256 != digest and time.time() - version.created < _ABOUT_TO:
        # Perhaps another process is just about to: it will say so itself.
        return False
    return edits.recover(cat, dataset_id, digest)


def _meet(
    cat: Catalogue, dataset_id: int, source: Source, foreign: bool, choice: Choice
) -> tuple[Lines, Position, bool]:
    """The document over a file that was just opened, and whether edits were merged into it.

    Raises:
        Conflict: it was changed where unsaved edits are, and `choice` is to ask.
    """
    try:
        return *laid(cat, dataset_id, source, _CHECKS[choice] if foreign else "none"), False
    except Conflict:
        if choice != "merge":
            raise
    with write(cat.db):
        if not still(source):
            raise Conflict(f"{source.path}: changed while it was merged", "try again")
        rebase.merge(cat, dataset_id, source)
    return *laid(cat, dataset_id, source), True


def laid(
    cat: Catalogue, dataset_id: int, source: Source, check: Check = "none"
) -> tuple[Lines, Position]:
    """Lay all unsaved edits over the file.

    Raises:
        Conflict: `check` finds a row that is not what its edit was made on.
    """
    while True:
        at = edits.position(cat, dataset_id)
        lines = Lines(source.index, Pieces(cat.workspace.indexes))
        way = edits.way(cat, dataset_id, at.file, at.head)
        for edit in edits.along(cat, Way(back=way.back)):
            _hold(lines, edit, check)
            lay_back(lines, [edit])
        if check == "none":
            _do(cat, lines, way.forth)
        else:
            for edit in edits.along(cat, Way(forth=way.forth)):
                _hold(lines, edit, check)
                lines.pieces.apply(edit)
        # Another process may have dropped steps while they were read.
        if edits.moment(cat, dataset_id) == at.moment:
            return lines, at


def followed(
    cat: Catalogue, dataset_id: int, source: Source, lines: Lines, at: Position
) -> tuple[Lines, Position, Way | None]:
    """The document as the journal has it now, from the one that was shown, and the way there.

    Raises:
        Conflict: a step is to be taken back that is in the file, where the file was changed
            by others since.
    """
    now = edits.position(cat, dataset_id)
    try:
        way = edits.way(cat, dataset_id, at.head, now.head)
    except edits.NotThereError:
        return *laid(cat, dataset_id, source), None
    # What lies under the step that the file holds has a smaller id.
    saved = now.epoch > 0 and any(step.id <= now.file for step in way.back)
    if way.rows > IN_PLACE and not saved:
        rest = edits.way(cat, dataset_id, now.file, now.head)
        if way.rows > rest.rows:
            return *laid(cat, dataset_id, source), way
    new = Lines(source.index, lines.pieces.copy())
    for edit in edits.along(cat, Way(back=way.back)):
        if saved:
            try:
                _hold(new, edit, "same")
            except Conflict as conflict:
                raise Conflict(
                    conflict.message, "edit the row itself: the history ends here"
                ) from None
        lay_back(new, [edit])
    _do(cat, new, way.forth)
    return new, now, way


def _do(cat: Catalogue, lines: Lines, steps: Sequence[edits.Step]) -> None:
    """Do steps again, a large one in one pass."""
    for large, together in groupby(steps, key=lambda step: step.rows > IN_PLACE and step.id):
        way = Way(forth=tuple(together))
        upwards = edits.upwards(cat, way.forth[0]) if large else None
        if upwards is not None:
            lines.pieces.apply_upwards(upwards)
        else:
            for edit in edits.along(cat, way, before=False):
                lines.pieces.apply(edit)


def _hold(lines: Lines, edit: Edit, check: Check) -> None:
    """Raise Conflict unless the row is there, and is what the edit was made on."""
    if check == "none" or fits(lines, edit, content=check == "same"):
        return
    path = lines.index.path
    if not fits(lines, edit, content=False):
        raise Conflict(
            f"{path}: changed outside, and there is no line {edit.row} any more that was edited",
            "`workbench data save --merge` keeps the edit aside and writes the others, "
            "`workbench data discard` drops them",
        )
    raise Conflict(
        f"{path}: changed outside, and line {edit.row} is not what the edit of it was made on",
        "`workbench data save --merge` finds each edit its line again, `--mine` writes them by "
        "line number, `workbench data discard` drops them",
    )


def with_edits(cat: Catalogue, lines: Lines, new: Recorded, lock: threading.RLock) -> Lines:
    """The document with some more edits on it; many are not done under the readers' eyes."""
    if new.step is not None and new.count > IN_PLACE:
        lines = Lines(lines.index, lines.pieces.copy())
        _do(cat, lines, [new.step])
    else:
        with lock:
            lines.pieces.apply_all(new.edits)
    return lines


def last_is_whole(lines: Lines) -> bool:
    """May bytes be added to the file without changing a row that was edited?

    Not where its last line has no ending yet and is not shown as it is.
    """
    index = lines.index
    if not index.complete or index.final_newline:
        return True
    last = len(index) - 1
    return any(isinstance(p, FileRows) and p.start <= last < p.stop for p in lines.pieces)


@dataclass(frozen=True, slots=True)
class Unsaved:
    """How many changes of rows the file does not have; `ahead`: none of them takes back what
    it has."""

    rows: int
    ahead: bool


def unsaved(cat: Catalogue, dataset_id: int, at: Position) -> Unsaved:
    """Counted along the whole way, which takes a while where it has many steps."""
    way = edits.way(cat, dataset_id, at.file, at.head)
    return Unsaved(way.rows, not way.back)


def counted(before: Unsaved | None, way: Way, file: int) -> Unsaved | None:
    """The count after going `way`, where that is plain; None where it must be found out."""
    if before is None or not before.ahead or (way.back and way.forth):
        return None
    if any(step.id <= file for step in way.back):
        return None
    return Unsaved(before.rows + (-way.rows if way.back else way.rows), True)


# Telling


def told(steps: Sequence[edits.Step], dataset_id: int, *, done: bool) -> Step:
    """Steps that were made together as the one that a person sees."""
    mine = next((step for step in steps if step.dataset_id == dataset_id), steps[0])
    return Step(mine.row, mine.label, sum(s.rows for s in steps), mine.created, done)


def history(cat: Catalogue, dataset_ids: Sequence[int], limit: int) -> list[Step]:
    """The newest steps of datasets that belong together; those made at once are one."""
    found: dict[int, tuple[list[edits.Step], bool]] = {}
    for step, done in edits.history(cat, dataset_ids, limit):
        found.setdefault(step.batch, ([], done))[0].append(step)
    return [told(steps, steps[0].dataset_id, done=done) for steps, done in found.values()]


def changes(lines: Lines) -> Iterator[Changed]:
    """The difference between a (completely known) file and the document, in order."""
    index, number, at = lines.index, 1, 0
    rows = len(index)
    for piece in lines.pieces:
        if isinstance(piece, FileRows):
            for missing in range(at, min(piece.start, rows)):
                yield Changed(None, _content(lines, missing), None, missing + 1)
            at = max(at, piece.stop)
            number += max(0, min(piece.stop, rows) - piece.start)
            continue
        if piece.replaces is None:
            yield Changed(number, None, piece.content, None)
        else:
            for missing in range(at, min(piece.replaces, rows)):
                yield Changed(None, _content(lines, missing), None, missing + 1)
            at = piece.replaces + 1
            before = _content(lines, piece.replaces)
            if before != piece.content:
                yield Changed(number, before, piece.content, piece.replaces + 1)
        number += 1


def _content(lines: Lines, file_row: int) -> bytes:
    return split_ending(lines.index.read(*lines.index.span(file_row)))[0]
