"""A list of any length, of which only the lines on screen are ever asked for.

Knows a cursor and how to scroll. Does not know what a line is about: a subclass gives `cells()`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.safe import visible

Cells = Sequence[tuple[str, str]]
"""Pieces of a line: (text, tone). Tones are the component classes below, without `line--`."""

TICK = 1 / 60
"""Seconds between two frames of a screen."""
TONES = ("plain", "muted", "accent", "good", "warn", "bad", "match")


class LineList(ScrollView, can_focus=True):
    """A virtual list with a cursor; `count` lines numbered from 0."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--cursor",
        *(f"line--{tone}" for tone in TONES),
    }
    DEFAULT_CSS = """
    LineList {
        width: 1fr;
        height: 1fr;
        background: $background;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .line--cursor { background: $block-cursor-blurred-background; }
        &:focus > .line--cursor { background: $block-cursor-background; }
        & > .line--plain { color: $foreground; }
        & > .line--muted { color: $text-muted; }
        & > .line--accent { color: $accent; text-style: bold; }
        & > .line--good { color: $text-success; }
        & > .line--warn { color: $text-warning; }
        & > .line--bad { color: $text-error; }
        & > .line--match { color: $text-warning; text-style: underline; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("home", "top", show=False),
        Binding("end", "bottom", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    """Only the line it leaves and the line it comes to are painted again."""
    count: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor is on another line."""

        def __init__(self, sender: LineList, index: int) -> None:
            super().__init__()
            self.sender = sender
            self.index = index

        @property
        def control(self) -> LineList:
            return self.sender

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineList.Moved)

    class Scrolled(Message):
        """Other lines are on screen than before."""

        def __init__(self, sender: LineList) -> None:
            super().__init__()
            self.sender = sender

        @property
        def control(self) -> LineList:
            return self.sender

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineList.Scrolled)

    class Chosen(Message):
        """The line under the pointer was clicked when the cursor was on it already."""

        def __init__(self, sender: LineList, index: int) -> None:
            super().__init__()
            self.sender = sender
            self.index = index

        @property
        def control(self) -> LineList:
            return self.sender

    def __init__(self, *, widget_id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=widget_id, classes=classes)
        self._strips: LRUCache[tuple[int, int, bool, bool], Strip] = LRUCache(512)
        self._styles: dict[str, Style] = {}
        self._painted = 0.0

    def cells(self, index: int, width: int) -> Cells:
        """The pieces of line `index`, together at most `width` cells wide."""
        raise NotImplementedError

    def forget(self) -> None:
        """What the lines say may have changed: ask again."""
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()

    def watch_count(self, count: int) -> None:
        self.virtual_size = Size(0, count)
        self.cursor = max(0, min(self.cursor, count - 1))
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        self.refresh_line(before)
        self.refresh_line(cursor)
        self._reveal()
        self._paint()
        self.post_message(self.Moved(self, cursor))

    def _paint(self) -> None:
        """Paint now: the screen's own tick may be a sixtieth of a second away, and a key waits.

        Not twice within a tick, so that a burst of keys costs no more frames than the screen gives.
        """
        if not self.is_attached:
            return
        now = time.monotonic()
        screen = self.screen
        if now - self._painted < TICK or not screen.is_current or self.app._batch_count:
            return
        self._painted = now
        screen._dirty_widgets.add(self)
        screen._on_timer_update()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Scrolled(self))

    def on_resize(self) -> None:
        """Other lines may be on screen now, and the cursor must stay among them."""
        self._reveal()
        self.post_message(self.Scrolled(self))

    def _reveal(self) -> None:
        self.scroll_to_region(
            Region(0, self.cursor, 1, 1), animate=False, force=True, x_axis=False, immediate=True
        )

    def _style(self, tone: str) -> Style:
        if tone not in self._styles:
            self._styles[tone] = self.get_component_rich_style(f"line--{tone}", partial=True)
        return self._styles[tone]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        index = y + self.scroll_offset.y
        if index >= self.count:
            return Strip.blank(width, self.rich_style)
        at_cursor = index == self.cursor
        key = (index, width, at_cursor, self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            ground = self.rich_style
            if at_cursor:
                ground += self._style("cursor")
            segments = [
                Segment(visible(words), ground + self._style(tone))
                for words, tone in self.cells(index, width)
                if words
            ]
            strip = Strip(segments).adjust_cell_length(width, ground)
            self._strips[key] = strip
        return strip

    def move(self, by: int) -> None:
        """Move the cursor by so many lines."""
        self.cursor += by

    def half_page(self, direction: int) -> None:
        """Move the cursor by half the height."""
        self.move(direction * max(1, self.size.height // 2))

    def action_move(self, by: int) -> None:
        self.move(by)

    def action_page(self, direction: int) -> None:
        self.move(direction * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.cursor = 0

    def action_bottom(self) -> None:
        self.cursor = self.count - 1

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the pointer is; a second click chooses."""
        index = event.y + self.scroll_offset.y
        if index >= self.count:
            return
        if index == self.cursor:
            self.post_message(self.Chosen(self, index))
        self.cursor = index
