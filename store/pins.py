"""Pinned checkpoints: an empty file a step in `pins/` of the run's folder.

A file and not a row: the run database has one writer, the training process, and a pin is set by
whoever looks, also at a run that has ended; it travels with the folder.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = "pins"


def pin(run_dir: Path, step: int) -> None:
    """Keep the checkpoint of a step from being deleted."""
    folder = run_dir / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / str(step)).touch(mode=0o600)


def unpin(run_dir: Path, step: int) -> None:
    """Let the checkpoint of a step be deleted when its time comes."""
    (run_dir / _FOLDER / str(step)).unlink(missing_ok=True)


def pinned(run_dir: Path) -> frozenset[int]:
    """The steps that are pinned."""
    names = (path.name for path in (run_dir / _FOLDER).glob("*"))
    return frozenset(int(name) for name in names if name.isdecimal())
