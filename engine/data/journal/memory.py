"""What is remembered about a document beside its file: versions, tags and notes.

Knows hashes, and which versions the journal leads back to. Does not know rows or screens.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType

import xxhash

from engine.data.file.copying import CHUNK
from engine.data.file.save import Draft, hash_of
from engine.data.journal import rebase
from engine.data.journal.changes import Annotation, Changed, VersionInfo
from engine.data.journal.planned import content_hash
from engine.data.sources import Source
from store import annotations as noted
from store import datasets, edits, versions
from store.catalogue import Catalogue
from store.edits import Edit, Position
from store.errors import Conflict, NotFound
from store.sqlite import write
from store.versions import Version

_SHA_UP_TO = 64 << 20
"""A larger file that was found, not written, is named by a hash ten times as quick as SHA-256."""

# Versions


class Found:
    """The file as it was found, hashed while a save is being written; `record` notes it.

    Only a file that no version stands for yet: as first opened, or as someone else left it.
    """

    def __init__(self, cat: Catalogue, dataset_id: int, at: Position, source: Source) -> None:
        self._cat, self._dataset_id, self._at, self._source = cat, dataset_id, at, source
        kept = versions.kept(cat, dataset_id)
        self._known = any((v.upto, v.epoch) == (at.file, at.epoch) for v in kept)
        self._hash = ""
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        if self._source.identity.bytes <= _SHA_UP_TO:
            self._hash = hash_of(self._source.fileno())
        else:
            self._hash = _quick_hash(self._source.fileno())

    def __enter__(self) -> Found:
        if not self._known:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._known:
            self._thread.join()

    def record(self) -> None:
        """Note the version, if there was none."""
        if self._known or not self._hash:
            return
        source = self._source
        version = Version(
            self._dataset_id,
            self._hash,
            len(source.index),
            source.identity.bytes,
            source.identity.mtime_ns / 1e9,
        )
        versions.record(self._cat, version, self._at.file, self._at.epoch, saved=True)


def _quick_hash(fd: int) -> str:
    digest, at, room = xxhash.xxh3_128(), 0, bytearray(CHUNK)
    view = memoryview(room)
    while size := os.preadv(fd, [room], at):
        digest.update(view[:size])
        at += size
    return f"xxh128:{digest.hexdigest()}"


def install(
    cat: Catalogue,
    dataset_id: int,
    source: Source,
    at: Position,
    draft: Draft,
    digest: str,
    rows: int,
) -> bool:
    """Put a sealed draft in place, such that a kill at any moment leaves no doubt.

    The catalogue is locked meanwhile, so that two processes save one after the other.

    Returns:
        False, and nothing is done, where the file is not the one that the draft was made of, or
        the edits in it were discarded meanwhile.
    """
    version = Version(dataset_id, digest, rows, os.fstat(draft.fd).st_size)
    while True:
        edits.begin_save(cat, dataset_id, version, at.head)
        with write(cat.db):
            if versions.intended(cat, dataset_id) != (version, at.head):
                continue  # another process has said the same of its own draft
            if source.changed() or not edits.exists(cat, at.head):
                versions.forget_intended(cat, dataset_id)
                return False
            draft.install()
            edits.mark_saved(cat, dataset_id, version, at.head)
            seen = os.stat(draft.target)
            datasets.remember(cat, draft.target, seen, rows=rows, sha256=digest)
            return True


def restored(cat: Catalogue, head: int, source: Source) -> Version | None:
    """The version that a save would bring back, where the format says what bytes those are."""
    step = edits.get(cat, head) if head else None
    if step is None or step.restores is None or source.format != "jsonl" or source.compression:
        return None
    return versions.get(cat, step.restores).version


def expect(wanted: Version | None, source: Source, draft: Draft, digest: str) -> None:
    """A restored version must come out byte for byte.

    Raises:
        Conflict: it would not.
    """
    if wanted is None:
        return
    if wanted.sha256.startswith("xxh128:"):
        digest = _quick_hash(draft.fd)
    if wanted.sha256 != digest:
        raise Conflict(
            f"{source.path}: not saved, what would be written is not the version to be restored",
            "undo the restoring; the file is as it was",
        )


def version_infos(
    cat: Catalogue, dataset_id: int, at: Position, source: Source
) -> list[VersionInfo]:
    """Every version, newest first; a file that was never saved has one, numbered 0."""
    found: list[VersionInfo] = []
    for kept in versions.kept(cat, dataset_id):
        here = (kept.upto, kept.epoch) == (at.file, at.epoch)
        why = _why_not(cat, dataset_id, kept, at)
        version = kept.version
        found.append(
            VersionInfo(
                kept.id,
                version.sha256,
                version.rows,
                version.bytes,
                version.created,
                current=here and not any(info.current for info in found),
                restorable=not why,
                why_not=why,
            )
        )
    if not any(info.current for info in found):
        seen = datasets.get(cat, dataset_id)
        now = VersionInfo(
            0, seen.sha256 or "", len(source.index), seen.bytes, seen.mtime_ns / 1e9, True, True, ""
        )
        found.insert(0, now)
    return found


def restore(cat: Catalogue, dataset_id: int, at: Position, version_id: int) -> edits.Step:
    """Make a step that brings a version back. Costs nothing: the journal leads there.

    Raises:
        NotFound: no such version. Conflict: the way back is not known.
    """
    target, number = at.file, None
    if version_id:
        kept = next((v for v in versions.kept(cat, dataset_id) if v.id == version_id), None)
        if kept is None:
            raise NotFound(
                f"there is no version {version_id} of this file", "list them: data versions FILE"
            )
        why = _why_not(cat, dataset_id, kept, at)
        if why:
            raise Conflict(f"version {version_id} cannot be restored: {why}", "choose a later one")
        target, number = kept.upto, kept.id
    way = edits.way(cat, dataset_id, at.head, target)
    label = f"restore version {version_id}" if version_id else "restore the file as it is"
    row = min((step.row for step in (*way.back, *way.forth)), default=1)
    draft = edits.Draft(label, row=row, rows=way.rows, base=target, restores=number)
    return edits.append(cat, dataset_id, draft)


def _why_not(cat: Catalogue, dataset_id: int, kept: versions.Kept, at: Position) -> str:
    if kept.epoch == at.epoch:
        return ""
    event, when = edits.outside_since(cat, dataset_id, kept.epoch)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
    what = "grew" if event == "grew" else "was changed"
    return f"the file {what} outside Workbench, noticed on {day}; what it was before is not kept"


# Annotations


def carry(cat: Catalogue, dataset_id: int, made: Iterable[Edit]) -> None:
    """What is noted about rows that were edited holds for what they became."""
    if noted.some(cat, dataset_id):
        noted.carry(
            cat,
            dataset_id,
            (
                (content_hash(edit.before or b""), content_hash(edit.after or b""))
                for edit in made
                if edit.kind == "replace"
            ),
        )


def annotate(
    cat: Catalogue,
    dataset_id: int,
    contents: Iterable[bytes],
    add: Sequence[str],
    remove: Sequence[str],
    note: str | None,
) -> None:
    """See `Document.annotate`."""
    hashes = [content_hash(content) for content in contents]
    noted.annotate(cat, dataset_id, hashes, add=add, remove=remove, note=note)


def annotation(cat: Catalogue, dataset_id: int, content: bytes) -> Annotation:
    """See `Document.annotations`."""
    found = noted.of(cat, dataset_id, content_hash(content))
    return Annotation(found.tags, found.note)


def tags(cat: Catalogue, dataset_ids: Sequence[int]) -> dict[str, int]:
    """See `Document.tags`."""
    found: dict[str, int] = {}
    for dataset_id in dataset_ids:
        for tag, count in noted.tags(cat, dataset_id).items():
            found[tag] = found.get(tag, 0) + count
    return dict(sorted(found.items()))


def unplaced(cat: Catalogue, dataset_id: int) -> tuple[Changed, ...]:
    """Edits that found no place in a merge and wait to be looked at; `discard` drops them."""
    return rebase.unplaced(cat, dataset_id)
