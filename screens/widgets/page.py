"""Blocks of text below each other, laid out once; what is in view is rendered once.

Knows blocks and cells. Does not know what a text says or how it grows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.selection import Selection
from textual.strip import Strip
from textual.visual import RenderOptions

from screens.widgets.markdown import Block

if TYPE_CHECKING:
    from textual.css.styles import RulesMap
    from textual.geometry import Offset
    from textual.style import Style

MOST_KEPT = 64
"""Blocks whose lines are kept; more would only burden the garbage collector."""
CODE = "on $panel"
MARKER = "$text-muted"


class Page:
    """Blocks, laid out for one width; the lines of those that were looked at last are kept."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._width = 0
        self._ends: list[int] = []
        """Of each block that was laid out, the line on the screen after its last."""
        self._lines: list[int] = []
        """The same in lines of text, as a selection counts them."""
        self._strips: dict[int, list[Strip]] = {}
        self._seen: object = None

    def show(self, blocks: Sequence[Block], first: int) -> None:
        """These blocks, of which those before `first` are as they were."""
        self.blocks = list(blocks)
        del self._ends[first:], self._lines[first:]
        for place in [place for place in self._strips if place >= first]:
            del self._strips[place]

    @property
    def plain(self) -> str:
        """Its text; lines are those that a selection counts."""
        return "\n".join(("\n" if block.gap else "") + block.content.plain for block in self.blocks)

    @property
    def height(self) -> int:
        """Lines at the width that it was laid out for last."""
        return self._ends[-1] if self._ends else 0

    def lay_out(self, rules: RulesMap, width: int) -> int:
        """Its lines at a width."""
        if width != self._width:
            self._ends.clear()
            self._lines.clear()
            self._width = width
        for block in self.blocks[len(self._ends) :]:
            room = max(1, width - _left(block))
            self._ends.append(self.height + block.content.get_height(rules, room) + block.gap)
            text = block.content.plain.count("\n") + 1 + block.gap
            self._lines.append((self._lines[-1] if self._lines else 0) + text)
        return self.height

    def strip(self, y: int, style: Style, options: RenderOptions) -> Strip:
        """One line, as it was laid out; blank after the last."""
        seen = (self._width, style, options.get_style(CODE), options.selection)
        if seen != self._seen or len(self._strips) > MOST_KEPT:
            self._strips.clear()
            self._seen = seen
        place = bisect_right(self._ends, y)
        if place == len(self._ends):
            return Strip.blank(self._width, style.rich_style)
        if place not in self._strips:
            line = self._lines[place - 1] if place else 0
            self._strips[place] = _render(self.blocks[place], line, self._width, style, options)
        strips, start = self._strips[place], self._ends[place - 1] if place else 0
        return strips[y - start] if y - start < len(strips) else Strip.blank(self._width)


def _left(block: Block) -> int:
    """Cells before its text."""
    return block.indent + len(block.marker) + (block.kind == "code")


def _render(
    block: Block, line: int, width: int, style: Style, options: RenderOptions
) -> list[Strip]:
    """Its lines on the screen; `line` is where it begins in the text of the page."""
    line += block.gap
    base = style + options.get_style(CODE) if block.kind == "code" else style
    mine = RenderOptions(
        options.get_style,
        options.rules,
        _from(options.selection, line),
        options.selection_style,
        options.post_style,
    )
    strips = block.content.render_strips(max(1, width - _left(block)), None, base, mine)
    room = Strip.blank(_left(block), base.rich_style)
    mark = room
    if block.marker:
        indent = Content(" " * block.indent) + Content.styled(block.marker, MARKER)
        plain = RenderOptions(options.get_style, options.rules, None, None)
        mark = indent.render_strips(_left(block), 1, base, plain)[0]
    found = [Strip.blank(width, style.rich_style)] if block.gap else []
    for place, strip in enumerate(strips):
        first = mark if not place or block.kind == "quote" else room
        whole = Strip.join([first, _moved(strip, line)])
        found.append(whole.extend_cell_length(width, base.rich_style))
    return found


def _from(selection: Selection | None, line: int) -> Selection | None:
    """A selection of the page as one of a block that begins at that line."""
    if selection is None:
        return None
    start, end = (_up(offset, line) for offset in selection)
    if end is not None and end.y < 0:
        return None
    return Selection(None if start is None or start.y < 0 else start, end)


def _up(offset: Offset | None, line: int) -> Offset | None:
    return None if offset is None else offset - (0, line)


def _moved(strip: Strip, line: int) -> Strip:
    """With places in the text counted from the beginning of the page."""
    if not line:
        return strip
    segments = []
    for text, style, control in strip:
        place = style.meta.get("offset") if style is not None else None
        if place is not None and style is not None:
            style += RichStyle.from_meta({"offset": (place[0], place[1] + line)})
        segments.append(Segment(text, style, control))
    return Strip(segments, strip.cell_length)
