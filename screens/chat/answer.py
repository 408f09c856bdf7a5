"""One answer on the screen: rendered, as it was written, or shaded by how likely each token was.

Knows text and likelihoods. Does not know models. While it is written only its last block is drawn
again; what differs from another answer is marked in whichever way it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content, Span
from textual.selection import Selection
from textual.strip import Strip
from textual.visual import RenderOptions, Visual
from textual.widgets import Static

from screens.safe import LIMIT, text, visible_lines
from screens.widgets.differing import changed_words
from screens.widgets.markdown import Block, Markdown, rendered

if TYPE_CHECKING:
    from textual.css.styles import RulesMap
    from textual.style import Style

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
LEGEND = Content.assemble(
    ("≥ 50 %", ""), " ", ("≥ 20 %", SHADES[1][1]), " ", ("≥ 5 %", SHADES[2][1]), " ",
    ("< 5 %", SHADES[3][1]),
)  # fmt: skip
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


class Hanging(Visual):
    """Content whose lines stand behind a marker."""

    def __init__(self, content: Content, marker: str, every: bool) -> None:
        self.content = content
        self.marker = marker
        self.every = every

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        room = max(1, width - len(self.marker))
        strips = self.content.render_strips(room, height, style, options)
        mark = Content.styled(self.marker, "$text-muted").render_strips(
            len(self.marker), 1, style, options
        )[0]
        blank = Strip.blank(len(self.marker), style.rich_style)
        return [
            Strip.join([mark if self.every or not place else blank, strip])
            for place, strip in enumerate(strips)
        ]

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return self.content.get_optimal_width(rules, container_width) + len(self.marker)

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self.content.get_height(rules, max(1, width - len(self.marker)))


class BlockView(Static):
    """A block of an answer."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.shown: Block | None = None
        self.show(block)

    def show(self, block: Block) -> None:
        """Another content, or another look, for what this block has become."""
        if block == self.shown and block.content.spans == self.shown.content.spans:
            return
        look = (block.kind, block.gap, block.indent)
        if self.shown is None or look != (self.shown.kind, self.shown.gap, self.shown.indent):
            self.set_class(block.kind == "code", "-code")
            self.set_class(block.gap, "-gap")
            self.styles.padding = (0, 0, 0, block.indent + (block.kind == "code"))
        self.shown = block
        if block.marker:
            self.update(Hanging(block.content, block.marker, block.kind == "quote"))
        else:
            self.update(block.content)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        if self.shown is None:
            return None
        return selection.extract(self.shown.content.plain), "\n"


class Answer(Container):
    """A text that grows, then stands, with a line below it."""

    def __init__(self) -> None:
        super().__init__(classes="answer")
        self.text = ""
        self.look: Look = "rendered"
        self.against: str | None = None
        """What it is compared with, in the same look; None for nothing."""
        self.likelihoods: Likelihoods | None = None
        self.cursor: int | None = None
        """The token that is looked at, where likelihoods are shown."""
        self._page = Markdown()
        self._alive = True
        self._ready = False
        self._views: list[BlockView] = []
        self._end = Static(CARET, classes="end")

    def compose(self) -> ComposeResult:
        yield self._end

    def on_mount(self) -> None:
        self._ready = True
        self._draw()

    def begin(self) -> None:
        """Say nothing again, and wait."""
        self.text, self.against, self.likelihoods, self.cursor = "", None, None, None
        self._page, self._alive = Markdown(), True
        self._end.update(CARET)
        self._draw()

    def feed(self, more: str) -> None:
        """Add streamed text."""
        room = LIMIT - len(self.text)
        self.text += more
        if room <= 0:
            return
        kept = self._page.feed(more[:room])
        if self._plain:
            self._draw()
        else:
            self._lay(self._page.blocks, kept)

    def finish(self, said: str) -> None:
        """All is said; `close` shows it."""
        if said != self.text:
            self._page = Markdown()
            self._page.feed(said[:LIMIT])
        self.text, self._alive = said, False
        self._page.end()

    def close(self, end: Content) -> None:
        """Show all of it as it is to look, with these lines below."""
        self._end.update(end)
        self._draw()

    @property
    def _plain(self) -> bool:
        return self.look != "rendered"

    def _draw(self) -> None:
        if self.look == "likely" and self.likelihoods is not None:
            blocks = _shaded(self.likelihoods, self.cursor)
        elif self._plain:
            blocks = raw(self.text)
        else:
            blocks = self._page.blocks
        if self.against is not None:
            blocks = marked(blocks, self.against)
        if not self._alive and len(self.text) > LIMIT:
            blocks = [*blocks, Block("text", text(self.text)[LIMIT:])]
        self._lay(blocks, 0)

    def _lay(self, blocks: Sequence[Block], first: int) -> None:
        """Give the blocks from `first` on to the views, of which there are then as many."""
        if not self._ready:
            return  # what has come by the time that it is mounted is drawn then
        if self._alive and blocks:
            last = blocks[-1]
            grown = Block(last.kind, last.content + CARET, last.marker, last.indent, last.gap)
            blocks = [*blocks[:-1], grown]
        self._end.display = not (self._alive and blocks)
        for view, block in zip(self._views[first:], blocks[first:], strict=False):
            view.show(block)
        more = [BlockView(block) for block in blocks[len(self._views) :]]
        if more:
            self._views += more
            self.mount(*more, before=self._end)
        for view in self._views[len(blocks) :]:
            view.remove()
        del self._views[len(blocks) :]


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
        made.append(Block(block.kind, content, block.marker, block.indent, block.gap))
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
