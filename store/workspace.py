"""Where things lie inside a workspace folder.

Knows the layout on disk. Does not know how a workspace is found (see `workbench.workspace`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """A folder that holds one catalogue and everything it speaks of."""

    root: Path

    @property
    def catalogue_path(self) -> Path:
        """The precious database: datasets, edits, runs, chats, checks, exports."""
        return self.root / "workbench.db"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def bases(self) -> Path:
        """Bases with tokens added: made anew where they are gone."""
        return self.root / "bases"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def sockets(self) -> Path:
        return self.root / "sockets"

    @property
    def indexes(self) -> Path:
        """Row indexes of datasets: a cache that may be deleted at any time."""
        return self.root / "indexes"

    def run_dir(self, run_id: int) -> Path:
        """The folder of one run: `run.db`, `spec.json`, `checkpoints/`, `train.log`."""
        return self.runs / str(run_id)

    def create(self) -> Workspace:
        """Make the folders that are missing, readable by the owner alone."""
        folders = (self.runs, self.snapshots, self.exports, self.logs, self.sockets, self.indexes)
        for folder in (self.root, *folders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self
