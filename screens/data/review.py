"""Changes of rows under review: a list of them, and what each does to its row.

One window for the unsaved difference against the file, for find and replace, and for fixes.
Knows before and after; of planned changes the rows alone, as a million of them may be planned.
Does not know who proposes the changes, nor how they are made.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.data.changed import difference
from screens.data.tables import TableModal, fitted
from screens.widgets import words
from screens.widgets.linelist import Cells, LineList

TELL_SECONDS = 0.5
"""How often the window is drawn while changes are looked for."""
LONG = 64 * 1024
"""Bytes of a row whose first words are not looked for: it is shown as it begins."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One row before and after. `row` is its number in the document, else `line` in the file."""

    row: int | None
    before: bytes | None
    after: bytes | None
    line: int | None = None

    @property
    def sign(self) -> tuple[str, str]:
        """Sign and tone of what happens to the row."""
        if self.before is None:
            return "+", "good"
        return ("-", "bad") if self.after is None else ("✎", "accent")


class Planned(Sequence[Proposal]):
    """Changes that are known by their rows; what one does is found when it is looked at."""

    def __init__(self, look: Callable[[int], tuple[bytes, bytes | None]]) -> None:
        """Args: look: a row before and after."""
        self._look = look
        self._rows = array("q")
        """Rows in the order they were planned; negative where the row goes."""
        self._seen: LRUCache[int, Proposal] = LRUCache(256)

    def take(self, rows: Sequence[int]) -> None:
        """More rows, negative where they would go."""
        self._rows.extend(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Proposal: ...
    @overload
    def __getitem__(self, at: slice) -> list[Proposal]: ...
    def __getitem__(self, at: int | slice) -> Proposal | list[Proposal]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        row = abs(self._rows[at])
        known = self._seen.get(row)
        if known is None:
            known = self._seen[row] = Proposal(row, *self._look(row))
        return known


class Review(TableModal[tuple[str, list[Proposal]]]):
    """Answers ("go", [change]) to jump to a row, or ("apply", left out) to make all the others.

    Args:
        changes: those that are known; a `Planned` is only read here.
        offer: what applying is called, as `replace 40 rows`; empty where there is nothing to do.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "leave_out", show=False),
        Binding("ctrl+s", "apply", show=False),
    ]

    def __init__(self, title: Content, changes: Sequence[Proposal], *, offer: str = "") -> None:
        super().__init__(title)
        self.changes: Sequence[Proposal] = changes if isinstance(changes, Planned) else []
        self.counts = {"✎": 0, "+": 0, "-": 0}
        self.offer = offer
        self.complete = True
        self.complaint = ""
        self.stopped: Callable[[], None] | None = None
        """Called when the window closes, to stop what still looks for changes."""
        self._out: set[int] = set()
        self._detailed: Proposal | None = None
        self._told = 0.0
        if not isinstance(changes, Planned):
            self.add(changes, complete=True)

    def compose_body(self) -> ComposeResult:
        with Container(id="review"):
            yield self.table
            with VerticalScroll(id="detail"):
                yield Static()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#detail", VerticalScroll).can_focus = False
        self.tell()

    def on_unmount(self) -> None:
        super().on_unmount()
        if self.stopped is not None:
            self.stopped()

    def add(self, changes: Sequence[Proposal], *, complete: bool) -> None:
        """More changes were found, perhaps before the window is there."""
        assert isinstance(self.changes, list)
        self.changes += changes
        for change in changes:
            self.counts[change.sign[0]] += 1
        self._grown(complete)

    def plan(self, rows: Sequence[int], *, complete: bool) -> None:
        """More rows were planned, negative where they would go."""
        assert isinstance(self.changes, Planned)
        self.changes.take(rows)
        gone = sum(row < 0 for row in rows)
        self.counts["-"] += gone
        self.counts["✎"] += len(rows) - gone
        self._grown(complete)

    def _grown(self, complete: bool) -> None:
        self.complete = complete
        if self.ready and (complete or time.monotonic() - self._told > TELL_SECONDS):
            self.tell()

    def tell(self) -> None:
        """Show what there is by now."""
        self._told = time.monotonic()
        self.table.show(len(self.changes), self._cells)
        counts = self.counts
        said = [
            f"{counts['✎']:,} edited ✎",
            f"{counts['+']:,} added +",
            f"{counts['-']:,} deleted -",
        ]
        summary = " · ".join(said) if self.changes else "Nothing would change."
        if not self.complete:
            summary = f"looking … {summary if self.changes else ''}"
        self.summary_is(Content(summary))
        keys = "⏎ go to the row  esc close"
        if self.offer and self.changes and self.complete:
            left = len(self.changes) - len(self._out)
            keys = f"ctrl+s {self.offer} {words.plural(left, 'row')}  space leave out  {keys}"
        frame = self.query_one(".dialog")
        if frame.border_subtitle != keys:  # it is drawn whole when that is set
            frame.border_subtitle = Content(keys)
        if self.complaint:
            self.note_is(Content.styled("! ", "$text-warning") + Content(self.complaint))
        self._detail()

    def _cells(self, index: int, width: int) -> Cells:
        change = self.changes[index]
        sign, tone = change.sign
        place = f"{change.row:,}" if change.row is not None else f"line {change.line or 0:,}"
        raw = change.after if change.after is not None else change.before
        shown = _words(raw or b"")
        out = index in self._out
        lead = "▸" if index == self.table.cursor else " "
        return (
            (f"{lead}{'○' if out else sign} ", "muted" if out else tone),
            (f"{place:>11}  ", "muted"),
            (fitted(shown, width - 16), "muted" if out else "plain"),
        )

    def _detail(self) -> None:
        """What the change under the cursor does to its row."""
        change = self.changes[self.table.cursor] if self.changes else None
        if change is self._detailed:
            return
        self._detailed = change
        for detail in self.query("#detail Static").results(Static):
            detail.update(difference(change.before, change.after) if change else Content(""))
        for scroller in self.query("#detail").results(VerticalScroll):
            scroller.scroll_home(animate=False)

    @on(LineList.Moved)
    def _moved(self) -> None:
        self._detail()

    def chosen(self, index: int) -> None:
        if self.changes[index].row is not None:
            self.dismiss(("go", [self.changes[index]]))

    def action_leave_out(self) -> None:
        """Leave the change out, or take it in again."""
        if self.offer and self.changes:
            self._out ^= {self.table.cursor}
            self.table.move(1)
            self.tell()

    def action_apply(self) -> None:
        if self.offer and self.complete and self.changes:
            self.dismiss(("apply", [self.changes[at] for at in sorted(self._out)]))


def _words(raw: bytes) -> str:
    """What a row is about, as the list of rows says it; the beginning of a long one."""
    from engine.data.rows import parse_row
    from screens.data.rowlist import first_words

    if len(raw) > LONG:
        return raw[:400].decode("utf-8", "replace")
    return first_words(parse_row(0, raw))
