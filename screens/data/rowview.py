"""A long text of which only what is on screen is laid out and drawn.

A `Static` lays out all of its text, and the screen with it, whenever it is given another: beside a
list that runs that is most of what a key costs. Knows `Content` and lines. Knows no rows.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from screens.widgets.padtext import cells

AHEAD = 1
"""Screens below the last line on screen that are laid out too."""


class RowView(ScrollView, can_focus=True):
    """Shows a text in lines of its own width; the place in it is kept where the text goes on."""

    DEFAULT_CSS = """
    RowView {
        overflow-x: hidden;
        overflow-y: auto;
        padding: 0 1;
        scrollbar-size-vertical: 1;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._content = Content("")
        self._whole: list[Content] = [Content("")]
        self._next = 0
        """Lines of the text that are laid out."""
        self._lines: list[tuple[Content, int, int]] = []
        """(words, line of the text, characters before them in it) of every line on screen."""
        self._strips: dict[int, Strip] = {}
        self._width = 0
        self._ground: Style | None = None
        """The style under the words; finding it out costs more than drawing a line."""

    def show(self, content: Content) -> None:
        """Show another text; nothing happens where it is the same."""
        if not content.is_same(self._content):
            self._content = content
            self._whole = content.split("\n", allow_blank=True) or [Content("")]
            self._again()

    def _again(self) -> None:
        self._lines.clear()
        self._strips.clear()
        self._next = 0
        self._reach(self.scroll_offset.y)
        self.refresh()

    def _reach(self, top: float) -> None:
        """Lay out what is needed to show the lines from `top`."""
        if not self._width:
            return
        until = int(top) + (1 + AHEAD) * max(1, self.size.height)
        while self._next < len(self._whole) and len(self._lines) <= until:
            whole, at = self._whole[self._next], 0
            for part in _wrapped(whole, self._width):
                at = max(at, whole.plain.find(part.plain, at))
                self._lines.append((part, self._next, at))
                at += len(part.plain)
            self._next += 1
        left = len(self._whole) - self._next
        self.virtual_size = Size(self._width, len(self._lines) + left)

    def on_resize(self) -> None:
        width = max(0, self.scrollable_content_region.width)
        if width != self._width:
            self._width = width
            self._again()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._reach(new_value)

    def action_scroll_end(self) -> None:
        self._reach(len(self._content.plain))
        super().action_scroll_end()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self._ground = None

    def render_line(self, y: int) -> Strip:
        at = y + self.scroll_offset.y
        width = self.size.width
        if at >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        words, line, before = self._lines[at]
        if self.text_selection is not None:
            return self._drawn(self._selected(words, line, before), line, before)
        if at not in self._strips:
            self._strips[at] = self._drawn(words, line, before)
        return self._strips[at]

    def _drawn(self, words: Content, line: int, before: int) -> Strip:
        if self._ground is None:
            self._ground = self.visual_style
        ground = self._ground
        parts = words.render(ground, "", self.app.stylesheet.parse_style)
        strip = Strip([Segment(said, style.rich_style) for said, style in parts])
        strip = strip.adjust_cell_length(self.size.width, ground.rich_style)
        return strip.apply_offsets(before, line)

    # Marking with the mouse

    def _selected(self, words: Content, line: int, before: int) -> Content:
        selection = self.text_selection
        span = None if selection is None else selection.get_span(line)
        if span is None:
            return words
        start, end = span[0] - before, len(words) if span[1] == -1 else span[1] - before
        start, end = max(0, start), min(len(words), end)
        style = self.screen.get_visual_style("screen--selection")
        return words.stylize(style, start, end) if start < end else words

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The marked text, as it is and not as it is laid out."""
        return selection.extract(self._content.plain), "\n"

    def selection_updated(self, _selection: Selection | None) -> None:
        self.refresh()


def _wrapped(line: Content, width: int) -> list[Content]:
    """A line of text in lines of at most `width` cells; a short one costs nothing."""
    plain = line.plain
    if len(plain) <= width and "\t" not in plain and (plain.isascii() or cells(plain) <= width):
        return [line]
    return line.wrap(width) or [Content("")]
