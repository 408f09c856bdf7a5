"""Checkpoints that are whole or absent: staged, hashed, renamed.

A checkpoint is written into `step-000400.partial`, each file flushed to disk, `manifest.json`
last; only then does the folder get its name. What has a manifest that verifies is complete, and
nothing else is. Knows folders and bytes. Does not know torch or what the bytes mean.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from store.errors import BadInput, NotFound

MANIFEST = "manifest.json"
PARTIAL = ".partial"
_SPARE_BYTES = 16 << 20
"""Left free beside a checkpoint, for the run's database and its log."""


class FileRecord(msgspec.Struct, frozen=True):
    """Size in bytes and sha256 of one file."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a complete checkpoint consists of."""

    step: int
    files: dict[str, FileRecord]
    versions: dict[str, str]
    eval_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint with a readable manifest. `bytes` counts its files."""

    step: int
    path: Path
    bytes: int
    eval_loss: float | None
    manifest_sha256: str


def folder(run_dir: Path, step: int) -> Path:
    """Where the complete checkpoint of a step lies."""
    return run_dir / "checkpoints" / f"step-{step:06d}"


def write(
    run_dir: Path,
    step: int,
    files: Iterable[tuple[str, bytes]],
    versions: dict[str, str],
    eval_loss: float | None = None,
) -> Checkpoint:
    """Write a checkpoint whole, or leave nothing.

    Args:
        files: names and contents, taken one by one so that only one is in memory.
    Raises:
        OSError: the disk refused; the partial folder is gone, whatever was raised.
    """
    target = folder(run_dir, step)
    partial = target.with_name(target.name + PARTIAL)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        records: dict[str, FileRecord] = {}
        for name, data in files:
            _write_file(partial / name, data)
            records[name] = FileRecord(len(data), hashlib.sha256(data).hexdigest())
        manifest = msgspec.json.encode(Manifest(step, records, versions, eval_loss))
        _write_file(partial / MANIFEST, manifest)
        _sync_folder(partial)
        if target.exists():
            shutil.rmtree(target)
        os.rename(partial, target)
        _sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    size = sum(record.size for record in records.values())
    return Checkpoint(step, target, size, eval_loss, hashlib.sha256(manifest).hexdigest())


def complete(run_dir: Path) -> list[Checkpoint]:
    """Checkpoints under their final name with a readable manifest, by step; contents unread."""
    found = []
    for path in sorted((run_dir / "checkpoints").glob("step-*")):
        manifest = read_manifest(path) if path.suffix == "" else None
        if manifest is not None:
            size = sum(record.size for record in manifest.files.values())
            digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
            found.append(Checkpoint(manifest.step, path, size, manifest.eval_loss, digest))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a folder; None where there is none that can be read and names its step."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    return manifest if manifest.step == _step_of(path) else None


def verify(path: Path) -> list[str]:
    """What is wrong with a checkpoint, one sentence a file; empty where every hash agrees."""
    manifest = read_manifest(path)
    if manifest is None:
        return [f"{path.name}: {MANIFEST} is missing or damaged"]
    return _altered(path, manifest.files)


def altered_adapter(path: Path) -> list[str]:
    """What is wrong with the files of a checkpoint that answers are made from.

    Empty for a folder without a manifest, such as an adapter from elsewhere.
    """
    if not (path / MANIFEST).is_file():
        return []
    manifest = read_manifest(path)
    if manifest is None:
        return [f"{path.name}: {MANIFEST} is damaged"]
    return _altered(path, {n: r for n, r in manifest.files.items() if n.startswith("adapter_")})


def _altered(path: Path, files: dict[str, FileRecord]) -> list[str]:
    problems = []
    for name, record in files.items():
        file = path / name
        if not file.is_file():
            problems.append(f"{path.name}/{name} is missing")
        elif file.stat().st_size != record.size:
            size = file.stat().st_size
            problems.append(f"{path.name}/{name} has {size} bytes, expected {record.size}")
        elif _hash(file) != record.sha256:
            problems.append(f"{path.name}/{name} was altered (sha256 differs)")
    return problems


def newest_intact(run_dir: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose hashes agree, and what was wrong with newer folders.

    Newer folders that do not verify, and partial ones, are removed: training will write them
    again.
    """
    problems: list[str] = []
    for partial in (run_dir / "checkpoints").glob(f"step-*{PARTIAL}"):
        problems.append(f"{partial.name}: an interrupted save, removed")
        shutil.rmtree(partial)
    known = {checkpoint.path: checkpoint for checkpoint in complete(run_dir)}
    named = (path for path in (run_dir / "checkpoints").glob("step-*") if path.is_dir())
    folders = [path for path in named if _step_of(path) >= 0]  # Others are somebody's copies.
    for path in sorted(folders, key=_step_of, reverse=True):
        wrong = verify(path)
        if not wrong:
            return known[path], problems
        problems += wrong
        shutil.rmtree(path)
    return None, problems


def prune(run_dir: Path, limit: int, spared: Collection[int] = ()) -> list[int]:
    """Delete all but the newest `limit` and the spared ones (the best, pinned ones) beside them.

    Returns:
        The steps that were deleted. A limit of 0 keeps all.
    """
    if limit <= 0:
        return []
    doomed = [saved for saved in complete(run_dir) if saved.step not in spared][:-limit]
    for checkpoint in doomed:
        shutil.rmtree(checkpoint.path)
    return [checkpoint.step for checkpoint in doomed]


def need_room(run_dir: Path) -> None:
    """See that another checkpoint like the newest fits, before a byte of it is written.

    Raises:
        OSError: ENOSPC.
    """
    known = complete(run_dir)
    needed = (known[-1].bytes if known else 0) + _SPARE_BYTES
    free = shutil.disk_usage(run_dir).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{free >> 20} MB free, {needed >> 20} MB needed", str(run_dir))


def _step_of(path: Path) -> int:
    """The step that a folder is named after; -1 where it is named after none."""
    digits = path.name.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def intact(run_dir: Path, run_id: int, step: int) -> Path:
    """The folder of a checkpoint whose files are all as they were written.

    Raises:
        NotFound: there is none. BadInput: naming the file that is missing or altered.
    """
    steps = [saved.step for saved in complete(run_dir)]
    if step not in steps:
        listed = ", ".join(map(str, steps)) or "none yet"
        raise NotFound(f"run {run_id} has no checkpoint at step {step}", f"There are: {listed}.")
    found = folder(run_dir, step)
    wrong = verify(found)
    if wrong:
        raise BadInput(f"run {run_id}: {wrong[0]}", "Take another checkpoint.")
    return found
