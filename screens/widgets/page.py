"""Blocks of text below each other, laid out once: what was rendered is kept while it stays.

Knows blocks and cells. Does not know what a text says or how it grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.selection import Selection
from textual.strip import Strip
from textual.visual import RenderOptions, Visual

from screens.widgets.markdown import Block

if TYPE_CHECKING:
    from textual.css.styles import RulesMap
    from textual.geometry import Offset
    from textual.style import Style

CODE = "on $panel"
MARKER = "$text-muted"


class Page(Visual):
    """Blocks, each with its lines for one width and one set of colours."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.height = 0
        """Lines at the width that was asked for last."""
        self._heights: list[int] = []
        self._width = 0
        self._strips: list[list[Strip]] = []
        self._seen: object = None

    def show(self, blocks: Sequence[Block], first: int) -> None:
        """These blocks, of which those before `first` are as they were."""
        self.blocks = list(blocks)
        del self._heights[first:], self._strips[first:]

    @property
    def plain(self) -> str:
        """Its text; lines are those that a selection counts."""
        return "\n".join(("\n" if block.gap else "") + block.content.plain for block in self.blocks)

    def get_height(self, rules: RulesMap, width: int) -> int:
        if width != self._width:
            self._heights.clear()
            self._width = width
        for block in self.blocks[len(self._heights) :]:
            room = max(1, width - _left(block))
            self._heights.append(block.content.get_height(rules, room) + block.gap)
        self.height = sum(self._heights)
        return self.height

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        widths = (block.content.get_optimal_width(rules, container_width) for block in self.blocks)
        return max(widths, default=0)

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        seen = (width, style, options.get_style(CODE))
        if seen != self._seen or options.selection is not None:
            self._strips.clear()
            self._seen = seen if options.selection is None else None
        line = sum(_lines(block) for block in self.blocks[: len(self._strips)])
        for block in self.blocks[len(self._strips) :]:
            self._strips.append(_render(block, line, width, style, options))
            line += _lines(block)
        return list(chain.from_iterable(self._strips))[:height]


def _left(block: Block) -> int:
    """Cells before its text."""
    return block.indent + len(block.marker) + (block.kind == "code")


def _lines(block: Block) -> int:
    """Lines of its text as it was written."""
    return block.content.plain.count("\n") + 1 + block.gap


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
