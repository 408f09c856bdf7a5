"""Changes of rows under review: a list of them, and what each does to its row.

One window for the unsaved difference against the file, for find and replace, and for fixes.
Knows before and after. Does not know who proposes the changes, nor how they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.data.changed import difference
from screens.data.tables import TableModal, fitted
from screens.widgets import words
from screens.widgets.linelist import Cells, LineList

LONG = 64 * 1024
"""Bytes of a row whose first words are not looked for: it is shown as it begins."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One row before and after. `row` is its number in the document, else `line` in the file.

    `read` gives what row `row` is where that is not kept in `before`: rows may be many.
    """

    row: int | None
    before: bytes | None
    after: bytes | None
    line: int | None = None
    read: Callable[[int], bytes] | None = None

    @property
    def was(self) -> bytes | None:
        """The row as it is before the change."""
        if self.read is not None and self.row is not None:
            return self.read(self.row)
        return self.before

    @property
    def sign(self) -> tuple[str, str]:
        """Sign and tone of what happens to the row."""
        if self.before is None:
            return "+", "good"
        return ("-", "bad") if self.after is None else ("✎", "accent")


class Review(TableModal[tuple[str, list[Proposal]]]):
    """Answers ("go", [change]) to jump to a row, or ("apply", changes) to make those not left out.

    Args:
        offer: what applying is called, as `replace 40 rows`; empty where there is nothing to do.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "leave_out", show=False),
        Binding("ctrl+s", "apply", show=False),
    ]

    def __init__(self, title: Content, changes: Sequence[Proposal], *, offer: str = "") -> None:
        super().__init__(title)
        self.changes = list(changes)
        self.offer = offer
        self.complete = True
        self.complaint = ""
        self.stopped: Callable[[], None] | None = None
        """Called when the window closes, to stop what still looks for changes."""
        self._out: set[int] = set()

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
        self.changes += changes
        self.complete = complete
        if self.ready:
            self.tell()

    def tell(self) -> None:
        """Show what there is by now."""
        self.table.show(len(self.changes), self._cells)
        counts = {"✎": 0, "+": 0, "-": 0}
        for change in self.changes:
            counts[change.sign[0]] += 1
        said = [
            f"{counts['✎']:,} edited ✎",
            f"{counts['+']:,} added +",
            f"{counts['-']:,} deleted -",
        ]
        summary = " · ".join(said) if self.changes else "Nothing would change."
        if not self.complete:
            summary = f"looking … {summary}"
        self.summary_is(Content(summary))
        keys = "⏎ go to the row  esc close"
        if self.offer and self.changes:
            left = len(self.changes) - len(self._out)
            keys = f"ctrl+s {self.offer} {words.plural(left, 'row')}  space leave out  {keys}"
        self.query_one(".dialog").border_subtitle = Content(keys)
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
        for detail in self.query("#detail Static").results(Static):
            if self.changes:
                change = self.changes[self.table.cursor]
                detail.update(difference(change.was, change.after))
            else:
                detail.update(Content(""))
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
            kept = [change for at, change in enumerate(self.changes) if at not in self._out]
            self.dismiss(("apply", kept))


def _words(raw: bytes) -> str:
    """What a row is about, as the list of rows says it; the beginning of a long one."""
    from engine.data.rows import parse_row
    from screens.data.rowlist import first_words

    if len(raw) > LONG:
        return raw[:400].decode("utf-8", "replace")
    return first_words(parse_row(0, raw))
