"""What can be done to rows, whether one file holds them or several.

Knows how each single edit is a change of the whole. Does not know where rows are kept: `Document`
and `Several` do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from engine.data.journal.batch import Batch
from engine.data.journal.changes import Change, Delete, Insert, Replace
from engine.data.rows import MAX_ROW_BYTES, Row, set_value
from store.errors import BadInput, NotFound


class Editable(ABC):
    """Rows, numbered from 1, that can be changed; each call is one step of undo."""

    MOVES: ClassVar[str] = "move row"

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Hold off other writers of this process, and catch up with those of others."""

    @abstractmethod
    def row(self, n: int) -> Row: ...

    @abstractmethod
    def raw(self, n: int) -> bytes: ...

    @property
    @abstractmethod
    def count(self) -> int: ...

    @abstractmethod
    def reach(self, n: int) -> None:
        """Look as far as row `n`. Raises: NotFound."""

    @abstractmethod
    def change(self, edits: Sequence[Change], label: str) -> int:
        """Make many changes at once, as one step of undo; returns how many rows changed.

        Args:
            edits: rows are numbers from before any of them.
            label: what the step is called, as "replace in 12 rows".
        Raises:
            NotFound: no such row. BadInput: a row is named twice, or does not fit the file.
        """

    @abstractmethod
    def batch(self) -> Batch:
        """An empty list for many changes, which keeps what rows become out of memory."""

    def no_row(self, n: int) -> NotFound:
        """That there is no row `n`, in words."""
        return NotFound(
            f"{self.title}: there is no row {n}; it has {self.count:,}",
            f"name a row from 1 to {self.count:,}" if self.count else "add rows to the file first",
        )

    @property
    @abstractmethod
    def title(self) -> str:
        """How messages name it: the path."""

    def set(self, n: int, dotted: str, value: str) -> None:
        """Replace one value of row `n`, as `messages.1.content`; see `set_values`."""
        self.set_values(n, [(dotted, value)])

    def set_values(self, n: int, pairs: Sequence[tuple[str, str]]) -> None:
        """Replace values (key, text) of row `n` in one edit: all of them or none.

        Raises:
            NotFound: no such row. BadInput: no such key, or the value does not fit it.
        """
        with self.writing():
            new = self.raw(n)
            if len(new) > MAX_ROW_BYTES:
                raise BadInput(
                    f"{self.title}: {self.row(n).error}", "split the row outside, or delete it"
                )
            try:
                for dotted, value in pairs:
                    new = set_value(new, dotted, value)
            except BadInput as wrong:
                raise BadInput(f"{self.title}: line {n}: {wrong.message}", wrong.hint) from None
            keys = ", ".join(dotted for dotted, _ in pairs)
            self.change([Replace(n, new)], f"set {keys} of row {n}")

    def replace(self, n: int, raw: bytes) -> None:
        """Make `raw` (one line, without ending) the content of row `n`."""
        self.change([Replace(n, raw)], f"edit row {n}")

    def insert(self, n: int, raw: bytes) -> None:
        """Add `raw` as a new row `n`, before the present one; `count + 1` adds at the end."""
        self.change([Insert(n, raw)], f"add row {n}")

    def delete(self, n: int) -> None:
        """Take row `n` away."""
        self.change([Delete(n)], f"delete row {n}")

    def duplicate(self, n: int) -> int:
        """Put a copy of row `n` below it; returns the number of the copy."""
        with self.writing():
            self.reach(n)
            self.change([Insert(n + 1, self.raw(n))], f"duplicate row {n}")
        return n + 1

    def move(self, n: int, to: int) -> None:
        """Take row `n` away and put it back so that it is row `to`.

        Raises:
            NotFound: there is no row `n` or `to`.
        """
        with self.writing():
            self.reach(n)
            self.reach(to)
            if n != to:
                raw = self.raw(n)
                before = to if to < n else to + 1
                self.change([Delete(n), Insert(before, raw)], f"{self.MOVES} {n} to {to}")
