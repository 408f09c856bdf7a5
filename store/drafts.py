"""What was written and not kept yet: one small file a row under the pen, for its owner alone.

A draft outlives a crash, a lost connection and a closed window; it goes when what it holds was
kept or given up. Files and not the catalogue, as a draft is written at every pause of the hand.
Knows bytes. Does not know JSON or rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from store.workspace import Workspace


class Draft(msgspec.Struct, frozen=True):
    """An edit in progress.

    Attributes:
        kind: `turns` or `json`.
        row: for `turns`, the row as it would be kept, but for the text under the pen.
        text: the text under the pen; for `json`, all of it.
        place: which turn or field was under the pen, from 0.
        saved: Unix seconds.
    """

    kind: str
    row: bytes
    text: bytes
    place: int
    saved: float


@dataclass(frozen=True, slots=True)
class Drafts:
    """The drafts of one workspace."""

    workspace: Workspace

    @property
    def folder(self) -> Path:
        """Where drafts lie."""
        return self.workspace.root / "drafts"

    def path(self, dataset: int, row: bytes) -> Path:
        """The file for a row of a dataset, named after the content that is being edited."""
        digest = hashlib.sha256(row).hexdigest()[:32]
        return self.folder / f"{dataset}-{digest}.draft"

    def keep(self, dataset: int, row: bytes, draft: Draft) -> None:
        """Write a draft in place of the one before; the whole of it or nothing.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.path(dataset, row)
        part = target.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.msgpack.encode(draft))
        os.replace(part, target)

    def find(self, dataset: int, row: bytes) -> Draft | None:
        """The draft of a row, if there is one that can be read."""
        try:
            return msgspec.msgpack.decode(self.path(dataset, row).read_bytes(), type=Draft)
        except (OSError, msgspec.MsgspecError):
            return None

    def drop(self, dataset: int, row: bytes) -> None:
        """Forget the draft of a row."""
        with contextlib.suppress(OSError):
            self.path(dataset, row).unlink()
