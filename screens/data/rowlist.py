"""The list of a dataset's rows: number, turns, tokens, first words, marks.

Knows how a row looks in one line, and which rows are listed in which order. Asks the document
only for rows on screen, and for no longer than a frame may take: the rest is read by a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from screens.safe import visible
from screens.widgets.linelist import Cells, LineList

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.data.dataset import Dataset
    from engine.data.rows import Row

    Rows = NDArray[np.int64]

FIRST_WORDS = 400
"""Characters of a row's words that a line can ever need."""
FRAME_SECONDS = 0.006
"""How long one frame may read rows; what is left is read by a worker."""
KEPT = 4096
"""Rows whose line is remembered."""
TAG_TONES = 6
SHAPE_MARKS: dict[str, str] = {
    "messages": "chat",
    "sharegpt": "sgpt",
    "swift": "swft",
    "alpaca": "alpa",
    "question_answer": "q&a",
    "prompt_completion": "pr+c",
    "prompt": "prmt",
    "text": "text",
    "preference": "pref",
    "openai_preference": "pref",
    "unpaired": "kto",
    "stepwise": "step",
    "segments": "segm",
    "pretokenized": "ids",
}
"""Four letters for each family of shapes, shown where a file has more than one."""


@dataclass(frozen=True, slots=True)
class Count:
    """What the renderer says of a row: tokens, how many are trained, what is odd about it."""

    tokens: int
    trained: int
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a line of the list says of a row by itself."""

    words: str
    turns: int
    shape: str
    bad: bool


def first_words(row: Row) -> str:
    """What a row is about: the user's first words, else its first text, else its error."""
    if row.error is not None:
        return f"✗ {row.error.removeprefix(f'line {row.number}: ')}"
    asked = next((t.text for t in row.turns if t.role == "user" and t.text.strip()), None)
    if asked is None:
        asked = row.turns[0].text if row.turns else row.text
    return " ".join(asked[:FIRST_WORDS].split())


def summary(row: Row) -> Summary:
    """The line of a row."""
    return Summary(first_words(row), len(row.turns), row.shape, row.error is not None)


def _unmarked(_number: int) -> bool:
    return False


class RowList(LineList):
    """Rows of one document, all of them or those of a view; the cursor is a place in the list."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--tag{place}" for place in range(TAG_TONES)}

    class Wanted(Message):
        """Rows are on screen that have not been read."""

        def __init__(self, numbers: list[int]) -> None:
            super().__init__()
            self.numbers = numbers

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RowList.Wanted)

    class Mixed(Message):
        """A second shape was seen: the columns are others."""

    def __init__(self) -> None:
        super().__init__(widget_id="rows")
        self.document: Dataset | None = None
        self.counts: dict[int, Count] = {}
        self.order: Rows | None = None
        self._looking = False
        """Row numbers in the order of the view; None lists the whole document."""
        self.marked: Callable[[int], bool] = _unmarked
        self.range_from: int | None = None
        """Place where a range begins that is being drawn up to the cursor."""
        self.spans: Callable[[str], Sequence[tuple[int, int]]] | None = None
        """Where in a text the search matches."""
        self.shapes: set[str] = set()
        self.errors: Rows | None = None
        self.warnings: Rows | None = None
        """Rows with findings, in order."""
        self.tags: Callable[[int], str] | None = None
        """The first tag of a row, or a sign that it has a note; None while there are none."""
        self._known: LRUCache[int, Summary] = LRUCache(KEPT)
        self._missing: list[int] = []
        self._until = 0.0

    def show(self, document: Dataset) -> None:
        """List this document from now on."""
        self.document = document
        self.order = None
        self.shapes = set()
        self.errors = self.warnings = None
        self.spans = None
        self.counts.clear()
        self.forget_rows()
        self.count = 0
        self.count = document.count

    def list_rows(self, order: Rows | None, *, looking: bool = False) -> None:
        """List these rows in this order, or all of them; the cursor stays at its row.

        Args:
            looking: more rows may still be found.
        """
        number = self.number if self.count else 1
        self.order, self._looking = order, looking
        assert self.document is not None
        self.count = self.document.count if order is None else len(order)
        self.forget()
        place = self.place_of(number)
        if place != self.cursor:
            self.cursor = place
        else:
            self.post_message(self.Moved(self, self.cursor))

    @property
    def number(self) -> int:
        """Number of the row under the cursor."""
        return self.number_at(self.cursor)

    def number_at(self, index: int) -> int:
        """Number of the row at a place in the list; 1 where nothing is listed."""
        if self.order is None:
            return index + 1
        return int(self.order[index]) if index < len(self.order) else 1

    def place_of(self, number: int) -> int:
        """Place of a row in the list; where it is not listed, of the row next to it."""
        if self.order is None:
            return max(0, min(number - 1, self.count - 1))
        if not len(self.order):
            return 0
        gaps = abs(self.order - number)
        return int(gaps.argmin())

    def forget_rows(self) -> None:
        """Rows are not what they were: read them again."""
        self._known.clear()
        self.forget()

    def learn(self, known: dict[int, Summary]) -> None:
        """What a worker read."""
        for number, found in known.items():
            self._learn(number, found)
        self.forget()

    def _learn(self, number: int, found: Summary) -> None:
        self._known[number] = found
        if not found.bad:
            self.shapes.add(found.shape)

    @property
    def mixed(self) -> bool:
        """Whether rows of more than one shape have been seen."""
        return len(self.shapes) > 1

    @property
    def number_width(self) -> int:
        """Cells that row numbers take."""
        most = self.document.count if self.document is not None else 0
        return max(6, len(f"{most:,}") + 1)

    @property
    def head(self) -> str:
        """The names of the columns, above them."""
        shape = " shape" if self.mixed else ""
        return f"  {'#':>{self.number_width}}{shape}{'turns':>7}{'tokens':>8}  first words"

    def on_screen(self) -> tuple[int, int]:
        """First place on screen (from 1) and how many lines there are."""
        return self.scroll_offset.y + 1, self.size.height

    def numbers_on_screen(self) -> list[int]:
        """Numbers of the rows on screen."""
        top = self.scroll_offset.y
        stop = min(top + self.size.height, self.count)
        return [self.number_at(index) for index in range(top, stop)]

    def render_lines(self, crop: Region) -> list[Strip]:
        self._until = time.monotonic() + FRAME_SECONDS
        mixed = self.mixed
        strips = super().render_lines(crop)
        if self._missing:
            self.post_message(self.Wanted(self._missing))
            self._missing = []
        if self.mixed and not mixed:
            self.call_after_refresh(self.forget)
            self.post_message(self.Mixed())
        return strips

    def cells(self, index: int, width: int) -> Cells:
        if self.document is None:
            return ()
        number = self.number_at(index)
        gutter = self.number_width
        lead = "▸" if index == self.cursor else " "
        mark = "●" if self.marked(number) or self._drawn(index) else " "
        at = (lead + mark, "accent"), (f"{number:>{gutter},}", "muted")
        found = self._summary(number)
        if found is None:
            return *at, ("   …", "muted")
        shape = f" {SHAPE_MARKS.get(found.shape, '?'):<5}" if self.mixed else ""
        words = _fitted(found.words, max(0, width - gutter - len(shape) - 24))
        count = self.counts.get(number)
        tokens = "·" if count is None else f"{count.tokens:,}" if count.tokens else "–"
        tokens = "–" if found.bad else tokens
        turns = str(found.turns) if found.turns else "–"
        return (
            *at,
            (f"{shape}{turns:>7}{tokens:>8}  ", "muted"),
            *self._words(words, "bad" if found.bad else "plain"),
            *self._marks(number, count),
        )

    def _drawn(self, index: int) -> bool:
        return self.range_from is not None and (
            self.range_from <= index <= self.cursor or self.cursor <= index <= self.range_from
        )

    def watch_cursor(self, before: int, cursor: int) -> None:
        super().watch_cursor(before, cursor)
        if self.range_from is not None:
            self.forget()

    def _summary(self, number: int) -> Summary | None:
        found = self._known.get(number)
        if found is None:
            if time.monotonic() > self._until:
                self._missing.append(number)
                return None
            assert self.document is not None
            found = summary(self.document.row(number))
            self._learn(number, found)
        return found

    def _words(self, words: str, tone: str) -> Cells:
        """The words in pieces, what the search matches in its own tone."""
        if self.spans is None:
            return ((words, tone),)
        pieces: list[tuple[str, str]] = []
        done = 0
        for start, stop in self.spans(words):
            pieces += [(words[done:start], tone), (words[start:stop], "match")]
            done = stop
        return (*pieces, (words[done:], tone))

    def _marks(self, number: int, count: Count | None) -> Cells:
        assert self.document is not None
        status = self.document.status(number)
        edited = " " if status == "same" else "✎" if status == "edited" else "+"
        flag = (" ", "plain")
        if _among(number, self.errors):
            flag = ("✗", "bad")
        elif _among(number, self.warnings) or (count and count.warning):
            flag = ("!", "warn")
        tag = self.tags(number) if self.tags is not None else ""
        tone = f"tag{sum(tag.encode()) % TAG_TONES}" if tag else "plain"
        return (f" {edited}", "accent"), flag, (f" {tag[:1] or ' '}", tone)

    def render_line(self, y: int) -> Strip:
        if self.count or y or self.document is None or self.order is None:
            return super().render_line(y)
        style = self.rich_style + self._style("muted")
        said = "no row fits so far" if self._looking else "no row fits"
        nothing = Segment(f"   {said} · esc takes the view off", style or Style())
        return Strip([nothing]).adjust_cell_length(self.size.width, self.rich_style)


def _among(number: int, rows: Rows | None) -> bool:
    """Whether a row is in an array in order."""
    if rows is None:
        return False
    place = int(rows.searchsorted(number))
    return place < len(rows) and int(rows[place]) == number


def _fitted(words: str, width: int) -> str:
    """Words in exactly `width` cells, with an ellipsis where some are left out."""
    return Content(visible(words)).truncate(width, ellipsis=True, pad=True).plain
