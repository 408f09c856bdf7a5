"""The catalogue: one open door to a workspace's precious database.

Knows how it is opened and closed. Does not know what is in it: each noun has its own module of
plain functions which take a `Catalogue` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from store.errors import BadInput
from store.sqlite import Database, open_catalogue
from store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An open catalogue. One per thread; opening is cheap, so open late and close early."""

    db: Database
    workspace: Workspace

    @classmethod
    def open(cls, workspace: Workspace) -> Catalogue:
        """Open the catalogue, making the workspace's folders and tables where they are missing.

        Raises:
            WorkbenchError: the folder or the database cannot be made, opened or migrated.
        """
        try:
            workspace.create()
        except OSError as error:
            raise BadInput(
                f"{workspace.root}: cannot make the workspace folder ({error.strerror})",
                "Name a folder you may write to: --workspace DIR.",
            ) from error
        return cls(open_catalogue(workspace.catalogue_path), workspace)

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
