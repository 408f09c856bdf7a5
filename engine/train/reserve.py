"""A little of the disk, held by a run so that it can say that the disk is full.

Knows one file in the run's folder. Does not know what is written into the room that it gives back.
"""

from __future__ import annotations

from pathlib import Path

from engine.train import spec as specs

_BYTES = 1 << 20


def hold(run_dir: Path) -> None:
    """Take the room.

    Raises:
        OSError: there is none.
    """
    with (run_dir / specs.RESERVE).open("wb") as file:
        file.write(bytes(_BYTES))


def give_back(run_dir: Path) -> None:
    """Let go of the room, for last words or for saying that the run waits."""
    (run_dir / specs.RESERVE).unlink(missing_ok=True)
