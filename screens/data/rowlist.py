"""The list of a dataset's rows: number, turns, tokens, first words, marks.

Knows how a row looks in one line. Asks the document only for rows on screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from screens.safe import visible
from screens.widgets.linelist import Cells, LineList

if TYPE_CHECKING:
    from engine.data.document import Document
    from engine.data.rows import Row

FIRST_WORDS = 400
"""Characters of a row's words that a line can ever need."""
HEAD = f"{'turns':>7}{'tokens':>8}  first words"


@dataclass(frozen=True, slots=True)
class Count:
    """What the renderer says of a row: tokens, how many are trained, what is odd about it."""

    tokens: int
    trained: int
    warning: str = ""


def first_words(row: Row) -> str:
    """What a row is about: the user's first words, else its first text, else its error."""
    if row.error is not None:
        return f"✗ {row.error.removeprefix(f'line {row.number}: ')}"
    asked = next((turn.text for turn in row.turns if turn.role == "user"), None)
    if asked is None:
        asked = row.turns[0].text if row.turns else row.text
    return " ".join(asked[:FIRST_WORDS].split())


class RowList(LineList):
    """Rows of one document; row numbers are the cursor plus one."""

    def __init__(self) -> None:
        super().__init__(widget_id="rows")
        self.document: Document | None = None
        self.counts: dict[int, Count] = {}
        self.found: int | None = None

    def show(self, document: Document) -> None:
        """List this document from now on."""
        self.document = document
        self.counts.clear()
        self.count = 0
        self.count = document.count
        self.forget()

    @property
    def number(self) -> int:
        """Number of the row under the cursor."""
        return self.cursor + 1

    @property
    def number_width(self) -> int:
        """Cells that row numbers take."""
        return max(6, len(f"{self.count:,}") + 1)

    @property
    def head(self) -> str:
        """The names of the columns, above them."""
        return f" {'#':>{self.number_width}}{HEAD}"

    def on_screen(self) -> tuple[int, int]:
        """First row on screen and how many rows are."""
        return self.scroll_offset.y + 1, self.size.height

    def cells(self, index: int, width: int) -> Cells:
        number = index + 1
        gutter = self.number_width
        if self.document is None:
            return ()
        row = self.document.row(number)
        lead = "▸" if index == self.cursor else " "
        words_width = max(0, width - gutter - 23)
        words = _fitted(first_words(row), words_width)
        at = (lead, "accent"), (f"{number:>{gutter},}", "muted")
        if row.error is not None:
            bad = (f"{'–':>7}{'–':>8}  ", "muted"), (words, "bad")
            return *at, *bad, *self._marks(number)
        count = self.counts.get(number)
        tokens = f"{count.tokens:,}" if count else "·"
        turns = str(len(row.turns)) if row.turns else "–"
        tone = "match" if number == self.found else "plain"
        return (
            *at,
            (f"{turns:>7}{tokens:>8}  ", "muted"),
            (words, tone),
            *self._marks(number),
        )

    def _marks(self, number: int) -> Cells:
        count = self.counts.get(number)
        edited = self.document is not None and self.document.edited(number)
        return (
            ("  ✎" if edited else "   ", "accent"),
            (" !" if count and count.warning else "  ", "warn"),
        )


def _fitted(words: str, width: int) -> str:
    """Words in exactly `width` cells, with an ellipsis where some are left out."""
    return Content(visible(words)).truncate(width, ellipsis=True, pad=True).plain
