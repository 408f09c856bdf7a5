"""One answer on the screen: rendered, as it was written, or shaded by how likely each token was.

Knows text and likelihoods. Does not know models. While it is written only its last block is drawn
again; what differs from another answer is marked in whichever way it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from textual.content import Content, Span
from textual.geometry import Size
from textual.reactive import Reactive
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from textual.widget import Widget

from screens.safe import LIMIT, visible_lines
from screens.widgets.differing import changed_words
from screens.widgets.markdown import Block, Markdown, rendered
from screens.widgets.page import Page

if TYPE_CHECKING:
    from textual.css.styles import RulesMap

Look = Literal["rendered", "raw", "likely"]

CARET = Content.styled("▏", "$accent")
DIFFERS = "$text-warning underline"
CURSOR = "reverse"
SHADES = (
    (0.5, ""),
    (0.2, "on $warning 25%"),
    (0.05, "on $warning 55%"),
    (0.0, "$background on $error 85% underline"),
)
"""Least probability and style, the likeliest first; the least likely is underlined too."""
LEGEND = Content(" ").join(
    Content.styled(words, style)
    for words, (_, style) in zip(("≥50%", "≥20%", "≥5%", "<5%"), SHADES, strict=True)
)
_RAW_LINES = 16


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The tokens of an answer: their text, and the natural logarithm of each one's probability."""

    pieces: Sequence[str]
    logprobs: Sequence[float]

    def said(self, place: int) -> str:
        """`token 3 of 40 · 41.3 %`."""
        share = math.exp(self.logprobs[place])
        return f"token {place + 1:,} of {len(self.pieces):,} · {share:.1%}"


class Answer(Widget):
    """A text that grows, then stands, with lines below it; one widget, however long it is."""

    virtual_size = Reactive(Size(0, 0), repaint=False)
    """As in `Transcript`: the outcome of a layout is no reason for another."""

    def __init__(self) -> None:
        super().__init__(classes="answer")
        self.text = ""
        self.look: Look = "rendered"
        self.against: str | None = None
        """What it is compared with, in the same look; None for nothing."""
        self.likelihoods: Likelihoods | None = None
        self.cursor: int | None = None
        """The token that is looked at, where likelihoods are shown."""
        self._source = Markdown()
        self._alive = True
        self._end = Content("")
        self._page = Page()
        self._draw()

    def begin(self) -> None:
        """Say nothing again, and wait."""
        self.text, self.against, self.likelihoods, self.cursor = "", None, None, None
        self._source, self._alive, self._end = Markdown(), True, Content("")
        self._draw()

    def feed(self, more: str) -> None:
        """Add streamed text."""
        room = LIMIT - len(self.text)
        self.text += more
        if room <= 0:
            return
        kept = self._source.feed(more[:room])
        if self.look == "rendered":
            self._lay(self._source.blocks, kept)
        else:
            self._draw()

    def finish(self, said: str) -> None:
        """All is said; `close` shows it."""
        if said != self.text:
            self._source = Markdown()
            self._source.feed(said[:LIMIT])
        self.text, self._alive = said, False
        self._source.end()

    def close(self, end: Content) -> None:
        """Show all of it as it is to look, with these lines below."""
        self._end = end
        self._draw()

    def _draw(self) -> None:
        if self.look == "likely" and self.likelihoods is not None:
            blocks = _shaded(self.likelihoods, self.cursor)
        elif self.look == "rendered":
            blocks = self._source.blocks
        else:
            blocks = raw(self.text)
        if self.against is not None:
            blocks = marked(blocks, self.against)
        lost = len(self.text) - LIMIT
        if lost > 0 and not self._alive:
            note = Content.styled(f"… {lost:,} more characters not shown", "$text-warning italic")
            blocks = [*blocks, Block("text", note)]
        self._lay(blocks, 0)

    def _lay(self, blocks: Sequence[Block], first: int) -> None:
        """Show these blocks, of which those before `first` have not changed."""
        if self._alive:
            last = blocks[-1] if blocks else Block("text", Content(""))
            blocks = [*blocks[:-1], replace(last, content=last.content + CARET)]
        elif self._end:
            blocks = [*blocks, Block("text", self._end)]
        before = self._page.height
        self._page.show(blocks, first)
        if self.is_mounted:
            width = self.content_size.width
            grown = not width or self._page.lay_out(self._rules, width) != before
            self.refresh(layout=grown)

    @property
    def _rules(self) -> RulesMap:
        return cast("RulesMap", self.styles)

    def render_line(self, y: int) -> Strip:
        chosen, look = self.text_selection, None
        if chosen is not None:
            look = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        options = RenderOptions(self._get_style, self._rules, chosen, look)
        return self._page.strip(y, self.visual_style, options)

    def get_content_height(self, _container: Size, _viewport: Size, width: int) -> int:
        return self._page.lay_out(self._rules, width)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract(self._page.plain), "\n"


def plain(said: str, look: Look) -> str:
    """The words of an answer as a look shows them, for comparing."""
    if look != "rendered":
        return said
    return "\n".join(block.content.plain for block in rendered(said[:LIMIT]))


def raw(said: str) -> list[Block]:
    """An answer as it was written, some lines a block."""
    lines = visible_lines(said[:LIMIT]).split("\n")
    return [
        Block("text", Content("\n".join(lines[start : start + _RAW_LINES])))
        for start in range(0, len(lines), _RAW_LINES)
    ] if said else []  # fmt: skip


def marked(blocks: Sequence[Block], against: str) -> list[Block]:
    """The blocks with the words underlined that the other text does not have there."""
    found = changed_words(against, [block.content.plain for block in blocks])
    made = []
    for block, ranges in zip(blocks, found, strict=True):
        content = block.content
        for start, end in ranges:
            content = content.stylize(DIFFERS, start, end)
        made.append(replace(block, content=content))
    return made


def _shaded(likelihoods: Likelihoods, cursor: int | None) -> list[Block]:
    """Every token on the ground of its probability, line by line."""
    lines: list[tuple[list[str], list[Span]]] = [([], [])]
    length = 0
    for place, (piece, logprob) in enumerate(
        zip(likelihoods.pieces, likelihoods.logprobs, strict=True)
    ):
        style = shade(math.exp(logprob))
        if place == cursor:
            style = f"{style} {CURSOR}".strip()
        for number, part in enumerate(visible_lines(piece).split("\n")):
            if number:
                lines.append(([], []))
                length = 0
            if place == cursor and not part and not number:
                part = "␊" if "\n" in piece else "▏"
            lines[-1][0].append(part)
            if style and part:
                lines[-1][1].append(Span(length, length + len(part), style))
            length += len(part)
    made = [Content("".join(parts), spans) for parts, spans in lines]
    return [
        Block("text", Content("\n").join(made[start : start + _RAW_LINES]))
        for start in range(0, len(made), _RAW_LINES)
    ]


def shade(share: float) -> str:
    """The style of a probability."""
    return next(style for least, style in SHADES if share >= least)
