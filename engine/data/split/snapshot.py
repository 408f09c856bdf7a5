"""Snapshots: the rows of a run, frozen and split before step 1, with every row accounted for.

Knows which part a row goes to and which rows are left out and why. Does not know templates,
lengths or training.

Where a split is recorded for the dataset, it decides (see `split`); else a keyed hash of what a
row says holds out the share that is asked for. Either way a row stays in its part when others are
added, moved or removed, and exact duplicates never lie on both sides. Every row is parsed once
and none is kept in memory: 8 bytes a row decide where it goes, and a second reading copies it
there. The folder is named by its content:

    snapshots/<sha256>/train.jsonl     rows as in the file, one a line
                       train.rows      their line numbers, 32 bits each, little-endian
                       eval.…, test.…  the same of the held-out rows, and of those for the end
                       excluded.jsonl  rows that are in no part: line and reason
                       meta.json       how it was split, and the hashes of all these
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from engine.data.dataset import Dataset, open_dataset
from engine.data.split.assign import (
    EVAL,
    NONE,
    PARTS,
    TEST,
    TRAIN,
    Codes,
    Keys,
    Part,
    fingerprint,
    parsed,
    rule_of,
)
from engine.data.split.frozen import (
    GONE,
    Excluded,
    Meta,
    PartRows,
    excluded,
    load,
    read,
    read_meta,
)
from engine.data.split.partfile import PartFile
from store import snapshots, splits
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace
from store.snapshots import Snapshot
from store.splits import Rule, Split

__all__ = [
    "Excluded", "Meta", "Part", "PartRows", "drop_unused", "excluded", "fingerprint", "load",
    "read", "read_meta", "take",
]  # fmt: skip

LISTED = 1000
"""Rows left out that `meta.json` names; `excluded.jsonl` names all."""
_LEAK = 4


def take(
    cat: Catalogue,
    source: Dataset | Path | str,
    *,
    eval_fraction: float = 0.1,
    seed: int = 0,
    eval_file: Dataset | Path | str | None = None,
) -> Snapshot:
    """Freeze the document as it stands, unsaved edits included.

    Args:
        source: the document, or what names it (see `open_dataset`).
        eval_fraction: share of the rows to hold out, 0 to below 1; where both parts can have a
            row, both do. Used where no split is recorded, and not with `eval_file`.
        seed: decides which rows those are.
        eval_file: held-out rows from a file of their own; what is in it is not trained on.
    Raises:
        BadInput: not one row can be trained on, or the fraction is out of bounds.
        Conflict: the file was changed while it was read.
        NoSpace: the disk is full; nothing is left behind.
    """
    _check_fraction(eval_fraction)
    with ExitStack() as stack:
        data = _opened(stack, cat, source)
        if eval_file is not None:
            return _Taking(cat, data, seed).by_file(_opened(stack, cat, eval_file))
        recorded = splits.current(cat, data.dataset_id)
        if recorded is not None:
            return _Taking(cat, data, recorded.rule.seed).as_recorded(recorded)
        return _Taking(cat, data, seed).by_share(eval_fraction)


def _opened(stack: ExitStack, cat: Catalogue, source: Dataset | Path | str) -> Dataset:
    """The dataset, looked at to its end; closed by the stack where it is opened here."""
    data: Dataset
    if isinstance(source, str | Path):
        data = open_dataset(cat, source)
        stack.callback(data.close)
    else:
        data = source
    data.grow()
    if data.trouble is not None:
        raise BadInput(
            f"{data.path}: not all of it can be read: {data.trouble}",
            "repair the file first: a run would be trained on a part of it",
        )
    return data


def drop_unused(cat: Catalogue, snapshot: Snapshot) -> None:
    """Take a snapshot away that no run was made from, so that a refused start keeps no copy."""
    if snapshots.forget_unused(cat, snapshot.sha256):
        shutil.rmtree(snapshot.path, ignore_errors=True)


def _check_fraction(eval_fraction: float) -> None:
    if not 0 <= eval_fraction < 1:
        raise BadInput(
            f"held-out share {eval_fraction}: expected 0 or more, below 1", "0.1 holds out a tenth"
        )


class _Taking:
    """One snapshot in the making."""

    def __init__(self, cat: Catalogue, source: Dataset, seed: int) -> None:
        self.cat, self.source, self.seed = cat, source, seed

    def by_share(self, share: float) -> Snapshot:
        """Hold out a share of the rows, moved so that no part is empty that need not be."""
        seen = _look(self.source, rule_of(eval=share, seed=self.seed))
        marks = _marks(seen)
        parts: Codes = np.where(marks, TRAIN, NONE).astype(np.uint8)
        good = marks[marks != 0]
        if share and len(good):
            low, high = int(good.min()), int(good.max())
            # Rows that all say the same are trained on: what is left over is nothing to
            # evaluate by.
            bound = min(max(int(share * 2**64), low + 1), high)
            parts[(marks != 0) & (marks < np.uint64(bound))] = EVAL
        split = {"by": "hash", "eval_fraction": share, "seed": self.seed}
        return self._freeze(split, [(self.source, seen, parts)])

    def as_recorded(self, recorded: Split) -> Snapshot:
        """Follow the split that is in force for the dataset."""
        rule = recorded.rule
        seen = _look(self.source, rule)
        found = seen.settle(recorded.ties)
        if found.ties != recorded.ties:
            splits.tie(self.cat, recorded, found.ties)
        shares = {"train": rule.train, "eval": rule.eval, "test": rule.test}
        split = {"by": "recorded", **shares, "seed": rule.seed, "group_by": list(rule.group_by)}
        return self._freeze(split, [(self.source, seen, found.parts)])

    def by_file(self, held_out: Dataset) -> Snapshot:
        """Hold out the rows of another file, and train on none of them."""
        rule = rule_of(eval=0.0, seed=self.seed)
        seen, other = _look(self.source, rule), _look(held_out, rule)
        marks, evaluated = _marks(seen), _marks(other)
        parts: Codes = np.where(marks, TRAIN, NONE).astype(np.uint8)
        parts[(marks != 0) & np.isin(marks, evaluated)] = _LEAK
        held: Codes = np.where(evaluated, EVAL, NONE).astype(np.uint8)
        split = {"by": "file", "file": str(held_out.path), "seed": self.seed}
        return self._freeze(split, [(self.source, seen, parts), (held_out, other, held)])

    def _freeze(self, split: dict[str, Any], every: list[tuple[Dataset, Keys, Codes]]) -> Snapshot:
        self._refuse_nothing(every[0][2])
        home, source = self.cat.workspace.snapshots, self.source
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
        try:
            with ExitStack() as stack:
                outs = {name: stack.enter_context(PartFile(draft, name)) for name in PARTS}
                left = [_pour(data, seen, parts, outs, draft) for data, seen, parts in every]
            hashes = {path.name: digest for out in outs.values() for path, digest in out.hashes()}
            with (draft / GONE).open("rb") as file:
                hashes[GONE] = hashlib.file_digest(file, "sha256").hexdigest()
            meta = Meta(
                rows=len(every[0][2]),
                split=split,
                train_sha256=hashes["train.jsonl"],
                eval_sha256=hashes["eval.jsonl"],
                excluded=left[0][1],
                eval_excluded=left[1][1] if len(left) > 1 else [],
                left_out=sum(count for count, _ in left),
                sha256=hashes,
            )
            sha256 = _write_meta(draft, meta)
            folder = home / sha256
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
            self.cat,
            Snapshot(
                sha256=sha256,
                dataset_id=source.dataset_id,
                source=str(source.path),
                rows=len(every[0][2]),
                train_rows=outs["train"].rows,
                eval_rows=outs["eval"].rows,
                bytes=sum(out.bytes for out in outs.values()),
                path=str(folder),
                split=split,
                test_rows=outs["test"].rows,
            ),
        )

    def _refuse_nothing(self, parts: Codes) -> None:
        if (parts == TRAIN).any():
            return
        path = self.source.path
        if (parts != NONE).any() and not (parts == _LEAK).any():
            raise BadInput(
                f"{path}: no row is in the training part of the recorded split",
                "record another one, as: workbench data split FILE --train 0.8 --eval 0.2",
            )
        if (parts == _LEAK).any():
            first = f"line {int(np.argmax(parts == _LEAK)) + 1}: also in the held-out file"
        else:
            first = next((row.error or "" for row in parsed(self.source)), "the file is empty")
        raise BadInput(
            f"{path}: no row can be trained on; {first}",
            'expected one JSON object a line, as {"messages": [{"role": …, "content": …}]}',
        )


def _look(data: Dataset, rule: Rule) -> Keys:
    """The first reading of a dataset: what its rows are held by."""
    keys = Keys(rule)
    for row in parsed(data):
        keys.add(row)
    return keys


def _marks(keys: Keys) -> npt.NDArray[np.uint64]:
    """The only key of each row, 0 where it cannot be read."""
    return np.array(keys.columns[0], np.uint64)


def _pour(
    data: Dataset, seen: Keys, parts: Codes, outs: Mapping[Part, PartFile], draft: Path
) -> tuple[int, list[Excluded]]:
    """The second reading: copy every row to its part; returns how many are in none, and the
    first of them.

    Raises:
        Conflict: it is not what was read the first time.
    """
    by_code = {TRAIN: outs["train"], EVAL: outs["eval"], TEST: outs["test"]}
    first: list[Excluded] = []
    count, digest = 0, xxhash.xxh3_128()
    with (draft / GONE).open("ab") as gone:
        # Rows that came in the meantime are not looked at: there is no part for them.
        for (n, raw), code in zip(data.iter_raw(), parts.tobytes(), strict=False):
            digest.update(raw)
            out = by_code.get(code)
            if out is not None:
                out.add(n, raw)
                continue
            if code == _LEAK:
                item = Excluded(n, f"line {n}: also in the held-out file", "held_out")
            else:
                reason = data.row(n).error or f"line {n}: left out"
                item = Excluded(n, reason, "bad_row" if raw.strip() else "blank")
            count += 1
            gone.write(msgspec.json.encode(item) + b"\n")
            if len(first) < LISTED:
                first.append(item)
        gone.flush()
        os.fsync(gone.fileno())
    if digest.digest() != seen.hash.digest():
        raise Conflict(
            f"{data.path}: the file changed while it was read",
            "start again once nothing else writes to it",
        )
    for out in outs.values():
        out.flush(sync=True)
    return count, first


def _write_meta(draft: Path, meta: Meta) -> str:
    raw = msgspec.json.encode(meta)
    with (draft / "meta.json").open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(raw).hexdigest()
