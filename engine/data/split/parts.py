"""A dataset's recorded split: made, read and written out as files.

Knows the record and the rows. Does not know how a part is decided (see `split`).
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import xxhash

from engine.data.dataset import Dataset
from engine.data.split.assign import (
    PARTS,
    Part,
    Placer,
    assign,
    finished,
    parsed,
    rule_of,
    share_of,
)
from engine.data.split.partfile import PartFile
from store import splits
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, NotFound
from store.splits import Rule, Split

DEFAULT_SEED = 42
"""That of a recipe: rows that a run held out by its own share are held out by a split too."""


class Written(msgspec.Struct, frozen=True):
    """One file of a part."""

    path: str
    rows: int
    bytes: int
    sha256: str


def wanted(
    current: Split | None,
    shares: tuple[float | None, float | None, float | None],
    seed: int | None,
    group_by: tuple[str, ...] | None,
) -> Rule:
    """The rule that a person asks for; what they leave out stays as it is recorded.

    Args:
        shares: of train, eval and test; all None keeps those that are recorded.
        group_by: None keeps the groups, () drops them.
    Raises:
        BadInput: see `rule_of`.
    """
    was = current.rule if current else None
    seed = seed if seed is not None else was.seed if was else DEFAULT_SEED
    group_by = group_by if group_by is not None else was.group_by if was else ()
    if was is not None and shares == (None, None, None):
        shares = (was.train, was.eval, was.test)
    return rule_of(*shares, seed=seed, group_by=group_by)


def record(cat: Catalogue, data: Dataset, rule: Rule) -> Split:
    """Put a split in force for a dataset; see `recording`."""
    work = recording(cat, data, rule)
    while True:
        try:
            next(work)
        except StopIteration as end:
            assert isinstance(end.value, Split)
            return end.value


def recording(cat: Catalogue, data: Dataset, rule: Rule) -> Generator[float, None, Split]:
    """Put a split in force for a dataset; every row is looked at once.

    Yields:
        How far it is, 0 to 1. Closing the generator before its end changes nothing.
    Raises:
        BadInput: not one row has a field that rows are to be grouped by.
    """
    current = splits.current(cat, data.dataset_id)
    same = current is not None and (current.rule.seed, current.rule.group_by) == (
        rule.seed,
        rule.group_by,
    )
    data.grow()
    found = yield from assign(data, rule, current.ties if current and same else b"")
    if found.absent and found.counts["rows"] > found.counts["none"]:
        first = next(row for row in parsed(data) if row.error is None)
        raise BadInput(
            f"{data.path}: no row has `{found.absent[0]}` to group by",
            f"line {first.number} has {', '.join(_keys(first.raw))}; a path as meta.id goes deeper",
        )
    return splits.record(
        cat,
        data.dataset_id,
        rule,
        counts=found.counts,
        warnings=found.warnings,
        ties=found.ties,
        who=_who(),
    )


def recorded(cat: Catalogue, data: Dataset) -> Split | None:
    """The split in force for a dataset, or None."""
    return splits.current(cat, data.dataset_id)


def placer(cat: Catalogue, data: Dataset) -> Placer | None:
    """Says of single rows which part they are in; None where no split is recorded."""
    split = recorded(cat, data)
    return Placer(split) if split else None


def write_parts(
    cat: Catalogue, data: Dataset, split: Split, folder: Path, *, force: bool = False
) -> dict[Part, Written]:
    """Write `train.jsonl`, `eval.jsonl` and `test.jsonl`: rows as they are in the document.

    Rows that cannot be read are in none of them. Each file is there whole or not at all.

    Raises:
        Conflict: a file is there already, and `force` is not set; or the document changed
            meanwhile. NoSpace: the disk is full. BadInput: the folder cannot be made.
    """
    parts = [part for part in PARTS if share_of(split.rule, part)]
    _refuse_present(folder, parts, force)
    found = finished(assign(data, split.rule, split.ties))
    if found.ties != split.ties:
        splits.tie(cat, split, found.ties)
        split = replace(split, ties=found.ties)
    draft = Path(tempfile.mkdtemp(prefix=".split-", dir=folder))
    try:
        with ExitStack() as stack:
            outs = {part: stack.enter_context(PartFile(draft, part)) for part in parts}
            digest = xxhash.xxh3_128()
            for (n, raw), code in zip(data.iter_raw(), found.parts.tobytes(), strict=False):
                digest.update(raw)
                if code:
                    outs[PARTS[code - 1]].add(n, raw)
            for out in outs.values():
                out.flush(sync=True)
        if digest.digest() != found.digest:
            raise Conflict(
                f"{data.path}: the file changed while it was read",
                "start again once nothing else writes to it",
            )
        for part in parts:
            os.replace(draft / f"{part}.jsonl", folder / f"{part}.jsonl")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(
                f"{folder}: no room for the parts of {data.path.name}",
                f"make room for {data.size / 1e6:,.0f} MB, or name another folder",
            ) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {
        part: Written(
            str(folder / f"{part}.jsonl"), out.rows, out.bytes, next(iter(out.hashes()))[1]
        )
        for part, out in outs.items()
    }


def _refuse_present(folder: Path, parts: list[Part], force: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{folder}: not a folder that can be written ({error.strerror})", "name another"
        ) from error
    there = [f"{part}.jsonl" for part in parts if os.path.lexists(folder / f"{part}.jsonl")]
    if there and not force:
        raise Conflict(
            f"{folder}: {', '.join(there)} would be overwritten",
            "name another folder, or add --force",
        )


def _who() -> str:
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def missing(path: Path) -> NotFound:
    """There is no split to show or to write."""
    return NotFound(
        f"{path}: no split is recorded",
        "record one, as: workbench data split FILE --train 0.8 --eval 0.1 --test 0.1",
    )


def _keys(raw: bytes) -> list[str]:
    value = msgspec.json.decode(raw)
    return list(value)[:8] if isinstance(value, dict) else []
