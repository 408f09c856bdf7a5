"""Tables over the room: lines with a cursor, a summary above, the keys in the border.

Knows lines and keys. Does not know what a line is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.widgets.linelist import Cells, LineList

Answer = TypeVar("Answer")


class Table(LineList):
    """Lines made when they are looked at."""

    def __init__(self, widget_id: str = "table") -> None:
        super().__init__(widget_id=widget_id)
        self.make: Callable[[int, int], Cells] | None = None
        self.nothing = ""

    def show(self, count: int, make: Callable[[int, int], Cells]) -> None:
        """List `count` lines; `make(index, width)` gives the pieces of one."""
        self.make = make
        self.count = count
        self.forget()

    def cells(self, index: int, width: int) -> Cells:
        return self.make(index, width) if self.make is not None else ()


class TableModal(ModalScreen[Answer | None]):
    """A table with a summary above and a note below; `esc` answers None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("enter", "choose", show=False),
        Binding("j", "step(1)", show=False),
        Binding("k", "step(-1)", show=False),
        Binding("ctrl+d", "half(1)", show=False),
        Binding("ctrl+u", "half(-1)", show=False),
        Binding("g", "top", show=False),
        Binding("G", "bottom", show=False),
    ]
    KEYS: ClassVar[str] = "⏎ choose  esc close"

    def __init__(self, title: Content) -> None:
        super().__init__()
        self.title_words = title
        self.table = Table()
        self.ready = False
        """Whether the window can be told what to show: it is there, and has not been closed."""

    def compose(self) -> ComposeResult:
        with Container(classes="dialog -broad -tall table") as frame:
            frame.border_title = self.title_words
            frame.border_subtitle = Content(self.KEYS)
            yield Static(id="summary")
            yield from self.compose_body()
            yield Static(id="note")

    def compose_body(self) -> ComposeResult:
        """What lies between summary and note."""
        yield self.table

    def on_mount(self) -> None:
        self.ready = True
        self.table.focus()

    def on_unmount(self) -> None:
        self.ready = False

    def summary_is(self, words: Content) -> None:
        """Set what stands above the table."""
        self.query_one("#summary", Static).update(words)

    def note_is(self, words: Content) -> None:
        """Set what stands below the table."""
        self.query_one("#note", Static).update(words)

    def chosen(self, index: int) -> None:
        """`enter`, or a second click, on a line."""
        raise NotImplementedError

    @on(LineList.Chosen)
    def _clicked(self, event: LineList.Chosen) -> None:
        self.chosen(event.index)

    def action_choose(self) -> None:
        if self.table.count:
            self.chosen(self.table.cursor)

    def action_step(self, by: int) -> None:
        self.table.move(by)

    def action_half(self, direction: int) -> None:
        self.table.half_page(direction)

    def action_top(self) -> None:
        self.table.action_top()

    def action_bottom(self) -> None:
        self.table.action_bottom()

    def action_close(self) -> None:
        self.dismiss(None)


def fitted(words: str, width: int) -> str:
    """One line in exactly `width` cells, with an ellipsis where some are left out."""
    from screens.safe import visible

    return Content(visible(words)).truncate(max(0, width), ellipsis=True, pad=True).plain


def joined(parts: Sequence[Content], between: str = " · ") -> Content:
    """Parts in a row with a quiet sign between them."""
    return Content.styled(between, "$text-muted").join([part for part in parts if part.plain])
