"""The part of the Chat room that says how answers look: rendered, raw, shaded, compared.

Knows the last answers of the columns. Does not know where they came from.
"""

from __future__ import annotations

from screens.chat.answer import Look
from screens.chat.shared import Shared


class Looks(Shared):
    """Ways to read an answer."""

    def __init__(self) -> None:
        super().__init__()
        self._differing = False

    def action_raw(self) -> None:
        """Answers as they were written, or rendered."""
        self._look("raw")

    def action_likely(self) -> None:
        """Shade every token by its probability, or not."""
        self._look("likely")

    def _look(self, wanted: Look) -> None:
        self.look = "rendered" if self.look == wanted else wanted
        for column in self.columns:
            column.look = self.look
            column.show()
        self.refresh_bindings()

    def action_next_token(self) -> None:
        self.active.look_at(1)

    def action_last_token(self) -> None:
        self.active.look_at(-1)

    # What differs

    def action_differences(self) -> None:
        """Mark what differs: of two each against the other, of more all against the first."""
        self._differing = not self._differing
        self._compare()

    def answered(self) -> None:
        super().answered()
        self._compare()

    def _compare(self) -> None:
        said = [column for column in self.columns if column.done is not None]
        for column in said:
            before = column.before
            column.compared = before.text if before is not None else None
        if self._differing and len(said) > 1:
            first, *others = said
            for column in others:
                column.compared = first.answer
            first.compared = others[0].answer if len(others) == 1 else None
        for column in said:
            column.show()
