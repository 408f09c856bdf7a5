"""Snapshots: the rows of a run, frozen and split before step 1, with every row accounted for.

Knows which part a row goes to and which rows are left out and why. Does not know templates,
lengths or training.

A row's part is decided by a keyed hash of what it says, not of how it is spelled or where it
stands: it stays in its part when others are added, moved or removed, and exact duplicates never
lie on both sides. The folder is named by its content:

    snapshots/<sha256>/train.jsonl   rows as in the file, one a line
                       eval.jsonl    the held-out rows
                       meta.json     how it was split, line numbers, rows left out and why
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.data.document import Document
from engine.data.rows import Row, parse_row
from store import snapshots
from store.catalogue import Catalogue
from store.errors import BadInput, NoSpace, NotFound
from store.snapshots import Snapshot

Part = Literal["train", "eval"]


class Excluded(msgspec.Struct, frozen=True):
    """A row that is in neither part."""

    row: int
    reason: str


class Meta(msgspec.Struct, frozen=True):
    """What `meta.json` says. Line numbers are those of the source (of `eval_file` for its rows)."""

    rows: int
    split: dict[str, Any]
    train_sha256: str
    eval_sha256: str
    eval_numbers: list[int]
    excluded: list[Excluded]
    eval_excluded: list[Excluded]


def fingerprint(row: Row, seed: int = 0) -> int:
    """64 bits of a keyed BLAKE2b over the roles and texts of a row, whatever its spelling."""
    said = msgspec.json.encode([[turn.role, turn.text] for turn in row.turns] or row.text)
    key = seed.to_bytes(16, "little", signed=True)
    return int.from_bytes(hashlib.blake2b(said, digest_size=8, key=key).digest(), "little")


def take(
    cat: Catalogue,
    source: Document | Path | str,
    *,
    eval_fraction: float = 0.1,
    seed: int = 0,
    eval_file: Document | Path | str | None = None,
) -> Snapshot:
    """Freeze the document as it stands, unsaved edits included.

    Args:
        source: the document, or the path of its file.
        eval_fraction: share of the rows to hold out, 0 to below 1; where both parts can have a
            row, both do. Not used with `eval_file`.
        seed: decides which rows those are.
        eval_file: held-out rows from a file of their own; what is in it is not trained on.
    Raises:
        BadInput: not one row can be trained on, or the fraction is out of bounds.
        NoSpace: the disk is full; nothing is left behind.
    """
    _check_fraction(eval_fraction)
    if not isinstance(source, Document):
        with Document.open(cat, source) as document:
            return take(cat, document, eval_fraction=eval_fraction, seed=seed, eval_file=eval_file)
    if eval_file is not None and not isinstance(eval_file, Document):
        with Document.open(cat, eval_file) as held_out:
            return take(cat, source, eval_fraction=0, seed=seed, eval_file=held_out)
    source.grow()
    marks, excluded = _read(source, seed)
    eval_excluded: list[Excluded] = []
    if eval_file is not None:
        eval_file.grow()
        eval_marks, eval_excluded = _read(eval_file, seed)
        split: dict[str, Any] = {"by": "file", "file": str(eval_file.path), "seed": seed}
        excluded = _without_leaks(marks, excluded, set(eval_marks.values()))
        parts = (_Pick(source, list(marks)), _Pick(eval_file, list(eval_marks)))
    else:
        split = {"by": "hash", "eval_fraction": eval_fraction, "seed": seed}
        bound = _bound(marks, eval_fraction)
        held = [n for n, mark in marks.items() if mark < bound]
        trained = [n for n, mark in marks.items() if mark >= bound]
        parts = (_Pick(source, trained), _Pick(source, held))
    if not parts[0].numbers:
        first = excluded[0].reason if excluded else "the file is empty"
        raise BadInput(
            f"{source.path}: no row can be trained on; {first}",
            'expected one JSON object a line, as {"messages": [{"role": …, "content": …}]}',
        )
    return _freeze(cat, source, split, parts, excluded, eval_excluded)


def load(snapshot: Snapshot, part: Part) -> list[Row]:
    """The rows of a part, numbered as in the source.

    Raises:
        NotFound: the snapshot's folder is gone.
    """
    numbers, path = _numbers(read_meta(snapshot), part), Path(snapshot.path) / f"{part}.jsonl"
    with path.open("rb") as lines:
        return [parse_row(n, line[:-1]) for n, line in zip(numbers, lines, strict=False)]


def read_meta(snapshot: Snapshot) -> Meta:
    """How a snapshot was split and what was left out.

    Raises:
        NotFound: the snapshot's folder is gone.
    """
    try:
        raw = (Path(snapshot.path) / "meta.json").read_bytes()
    except OSError as error:
        raise NotFound(
            f"{snapshot.path}: the snapshot cannot be read ({error.strerror})",
            "start a new run from the file: it makes a snapshot again",
        ) from None
    return msgspec.json.decode(raw, type=Meta)


def _check_fraction(eval_fraction: float) -> None:
    if not 0 <= eval_fraction < 1:
        raise BadInput(
            f"held-out share {eval_fraction}: expected 0 or more, below 1", "0.1 holds out a tenth"
        )


class _Pick:
    """Some rows of a document."""

    def __init__(self, document: Document, numbers: list[int]) -> None:
        self.document, self.numbers = document, numbers

    def lines(self) -> Iterator[bytes]:
        return (self.document.raw(n) + b"\n" for n in self.numbers)


def _read(document: Document, seed: int) -> tuple[dict[int, int], list[Excluded]]:
    """Line number -> fingerprint of every good row, and the others with their reasons."""
    marks, excluded = {}, []
    for n in range(1, document.count + 1):
        row = document.row(n)
        if row.error is None:
            marks[n] = fingerprint(row, seed)
        else:
            excluded.append(Excluded(n, row.error))
    return marks, excluded


def _bound(marks: dict[int, int], fraction: float) -> int:
    """Fingerprints below it are held out. Moved so that no part is empty that need not be."""
    bound = int(fraction * 2**64)
    if fraction and marks:
        low, high = min(marks.values()), max(marks.values())
        # Rows that all say the same are trained on: what is left over is nothing to evaluate by.
        bound = min(max(bound, low + 1), high)
    return bound


def _without_leaks(
    marks: dict[int, int], excluded: list[Excluded], held: set[int]
) -> list[Excluded]:
    """Drop from `marks` what is held out too; returns all that is excluded, in order."""
    leaks = [n for n, mark in marks.items() if mark in held]
    for n in leaks:
        del marks[n]
    also = [Excluded(n, f"line {n}: also in the held-out file") for n in leaks]
    return sorted([*excluded, *also], key=lambda item: item.row)


def _numbers(meta: Meta, part: Part) -> Iterator[int]:
    """Source line numbers of a part: eval's are listed, train's are all the others."""
    if part == "eval":
        return iter(meta.eval_numbers)
    gone = {item.row for item in meta.excluded}
    if meta.split["by"] == "hash":
        gone.update(meta.eval_numbers)
    return (n for n in range(1, meta.rows + 1) if n not in gone)


def _freeze(
    cat: Catalogue,
    source: Document,
    split: dict[str, Any],
    parts: tuple[_Pick, _Pick],
    excluded: list[Excluded],
    eval_excluded: list[Excluded],
) -> Snapshot:
    home = cat.workspace.snapshots
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
    try:
        train_sha, train_bytes = _write(draft / "train.jsonl", parts[0].lines())
        eval_sha, eval_bytes = _write(draft / "eval.jsonl", parts[1].lines())
        meta = Meta(
            source.count, split, train_sha, eval_sha, parts[1].numbers, excluded, eval_excluded
        )
        meta_sha, _ = _write(draft / "meta.json", iter([msgspec.json.encode(meta)]))
        folder = home / meta_sha
        try:
            os.rename(draft, folder)
        except OSError as error:
            # The same snapshot was taken before: it is already there, whole.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(
                f"{home}: no room for a snapshot of {source.path.name}",
                f"make room for {source.size / 1e6:,.0f} MB and start again",
            ) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return snapshots.record(
        cat,
        Snapshot(
            sha256=meta_sha,
            dataset_id=source.dataset_id,
            source=str(source.path),
            rows=source.count,
            train_rows=len(parts[0].numbers),
            eval_rows=len(parts[1].numbers),
            bytes=train_bytes + eval_bytes,
            path=str(folder),
            split=split,
        ),
    )


def _write(path: Path, chunks: Iterator[bytes]) -> tuple[str, int]:
    """Write and sync a file; returns its SHA-256 and its size."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as out:
        while batch := b"".join(itertools.islice(chunks, 1024)):
            out.write(batch)
            digest.update(batch)
            size += len(batch)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), size
