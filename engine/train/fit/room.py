"""How much a run was made to take at once after memory ran out, kept for its resumes.

Knows one small file in the run's folder, and the words of the libraries for "no memory". Does not
know torch.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

FILE = "memory.json"
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "alloc_failed",
)


class Room(msgspec.Struct, frozen=True):
    """What keeps a run within its memory.

    Attributes:
        pieces: how many parts each batch is taken in, one after the other.
        recompute: activations are recomputed although the recipe keeps them.
    """

    pieces: int = 1
    recompute: bool = False


def read(run_dir: Path) -> Room:
    """What was found before; the whole batch where nothing was, or it cannot be read."""
    try:
        return msgspec.json.decode((run_dir / FILE).read_bytes(), type=Room)
    except (OSError, msgspec.DecodeError):
        return Room()


def write(run_dir: Path, room: Room) -> None:
    """Keep it for the next process.

    Raises:
        OSError: the disk refused.
    """
    temporary = run_dir / f"{FILE}.tmp"
    temporary.write_bytes(msgspec.json.encode(room))
    os.replace(temporary, run_dir / FILE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whatever device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _WORDS)
