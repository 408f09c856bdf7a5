"""What the parts of the Data room share: the document, the list, and what each may ask of the room.

Every idea of the room (browsing, searching, views, selecting, editing, saving …) is a class in a
module of its own over this one; `DataRoom` is all of them together. Knows none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from screens.data.preview import Preview

if TYPE_CHECKING:
    from engine.data.dataset import Dataset


class Shared(Preview):
    """A room with a document; the methods below are given by its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.document: Dataset | None = None

    @property
    def open_document(self) -> Dataset:
        """The document, where `check_action` has seen to it that there is one."""
        assert self.document is not None
        return self.document

    @property
    def has_rows(self) -> bool:
        """Whether there is a row to do something with."""
        return self.document is not None and self.rows.count > 0

    def open_file(self, path: Path | str, number: int = 1, *, force: bool = False) -> None:
        """Show a file, its first rows at once."""
        raise NotImplementedError

    def tell(self) -> None:
        """Bring titles and status line up to date."""
        raise NotImplementedError

    def tell_status(self) -> None:
        """Bring the status line alone up to date."""
        raise NotImplementedError

    def jump(self, number: int) -> None:
        """Put the cursor on this row of the document."""
        raise NotImplementedError

    def changed(self, number: int | None = None, *, moved: bool = True) -> None:
        """Rows of the document are not what they were; go to the one that changed.

        Args: moved: rows may have other numbers than before.
        """
        raise NotImplementedError

    def lay_down_pen(self) -> None:
        """Stop writing in a row; what was written stays as a draft."""
        raise NotImplementedError

    def opened(self) -> None:
        """Another document is on screen: parts that keep something of it begin anew."""
