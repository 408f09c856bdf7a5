"""A row as the tokens that training sees: what is trained, what is cut, ids on demand.

Trained tokens are coloured and underlined; with `marks` they stand between ▐ and ▌, so that
nothing depends on colour. Knows renderings and cells. Does not know rows or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import on, work
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.safe import visible
from screens.widgets.padtext import cells, shown
from screens.widgets.words import plural

if TYPE_CHECKING:
    from engine.render.renderer import Rendered

AT_ONCE = 4_000
"""Tokens that are laid out at once; more are laid out by a worker."""
MORE = "…"
"""What stands for a token that is only more bytes of the character before it."""
LONGEST = 48
"""Cells of one token at most."""


@dataclass(frozen=True, slots=True)
class Section:
    """One rendering to show: of a row, or of one of the two answers of a preference.

    Attributes:
        whole: all of it, also what `max_length` cuts.
        kept: what is left by `max_length`; `whole` itself where nothing is cut.
        label: words above it; empty for none.
        side: `a` or `b` where there are two.
        ends: for every span of `whole`, whether its end-of-turn token is trained.
        more: places of tokens that are further bytes of the character before.
    """

    whole: Rendered
    kept: Rendered
    label: str = ""
    side: str = ""
    ends: tuple[bool, ...] = ()
    more: frozenset[int] = frozenset()

    def spelled(self, place: int) -> str:
        """What is shown for a token."""
        return MORE if place in self.more else spelled(self.whole.tokens[place])

    @property
    def cut(self) -> int:
        """How many ids `max_length` cuts."""
        return len(self.whole.ids) - len(self.kept.ids)


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens [start, end) of a section in one line; `ids` for the line of ids below it."""

    section: int
    start: int
    end: int
    ids: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A line of words between tokens."""

    words: str
    tone: str


Line = Row | Note


def spelled(token: str) -> str:
    """A token as one line: spaces as `·`, line breaks as `↵`, a token without text as `▫`."""
    words = shown(visible(token.replace(" ", "·").replace("\n", "↵"))) or "▫"
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def arrange(sections: Sequence[Section], width: int, *, ids: bool, marks: bool) -> list[Line]:
    """Tokens in lines of at most `width` cells; a line ends where a token ends one."""
    lines: list[Line] = []
    widths: dict[str, int] = {}
    for number, section in enumerate(sections):
        if section.label:
            lines.append(Note(section.label, section.side))
        tokens, numbers = section.whole.tokens, section.whole.ids
        kept = len(section.kept.ids)
        start = used = 0
        for place, token in enumerate(tokens):
            if place == kept and section.cut:
                _close(lines, number, start, place, ids)
                lines.append(_cut_line(kept, section.cut))
                start, used = place, 0
            size = widths.get(token)
            if size is None:
                size = widths[token] = cells(spelled(token))
            if place in section.more:
                size = 1
            if ids:
                size = max(size, len(str(numbers[place]))) + 1
            if marks:
                size += 1
            if used + size + marks > width and place > start:
                _close(lines, number, start, place, ids)
                start, used = place, 0
            used += size
            if token.endswith("\n"):
                _close(lines, number, start, place + 1, ids)
                start, used = place + 1, 0
        _close(lines, number, start, len(tokens), ids)
    return lines


def _close(lines: list[Line], section: int, start: int, end: int, ids: bool) -> None:
    if end > start:
        lines.append(Row(section, start, end))
        if ids:
            lines.append(Row(section, start, end, True))


def _cut_line(kept: int, cut: int) -> Note:
    return Note(f"✂ max_length {kept:,} cuts here: {plural(cut, 'token')} below never seen", "cut")


class TokenView(ScrollView, can_focus=True):
    """Tokens in lines, any number of them; only what is on screen is drawn."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "token--trained", "token--plain", "token--lost", "token--odd", "token--id",
        "token--cut", "token--a", "token--b", "token--note",
    }  # fmt: skip
    DEFAULT_CSS = """
    TokenView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        padding: 0 1;
        & > .token--trained { color: $accent; text-style: underline; }
        & > .token--plain { color: $text-muted; }
        & > .token--lost { color: $foreground 35%; }
        & > .token--odd { background: $panel; }
        & > .token--id { color: $foreground 50%; }
        & > .token--cut { color: $text-warning; text-style: bold; }
        & > .token--a { color: $side-a; text-style: bold; }
        & > .token--b { color: $side-b; text-style: bold; }
        & > .token--note { color: $text-muted; }
    }
    """

    class Arranged(Message):
        """A worker has laid the tokens out."""

        def __init__(self, turn: int, lines: list[Line], width: int) -> None:
            super().__init__()
            self.turn = turn
            self.lines = lines
            self.width = width

    def __init__(self) -> None:
        super().__init__()
        self.ids = False
        self.marks = False
        self._sections: tuple[Section, ...] = ()
        self._said = ""
        self._lines: list[Line] = []
        self._width = 0
        self._turn = 0
        self._styles: dict[str, Style] = {}

    def show(self, sections: Sequence[Section]) -> None:
        """Show these tokens; the place in the text is kept where it still exists."""
        self._sections = tuple(sections)
        self._arrange()

    def say(self, words: str) -> None:
        """Show a sentence where there are no tokens."""
        self._sections = ()
        self._said = words
        self._arrange()

    def set_modes(self, *, ids: bool, marks: bool) -> None:
        """Whether ids are shown, and whether the mask is written as text."""
        if (ids, marks) != (self.ids, self.marks):
            self.ids, self.marks = ids, marks
            self._arrange()

    @property
    def _space(self) -> int:
        return max(0, self.scrollable_content_region.width)

    def on_resize(self) -> None:
        if self._space != self._width:
            self._arrange()

    def _arrange(self) -> None:
        self._turn += 1
        width = self._space
        if not self._sections:
            said = Content(visible(self._said)).wrap(width) if width and self._said else []
            self._take([Note(line.plain, "note") for line in said], width)
            return
        if not width:
            return
        if sum(len(section.whole.ids) for section in self._sections) <= AT_ONCE:
            lines = arrange(self._sections, width, ids=self.ids, marks=self.marks)
            self._take(lines, width)
        else:
            self._arrange_later(self._turn, self._sections, width, self.ids, self.marks)

    @work(thread=True, exclusive=True, group="tokens", exit_on_error=False)
    def _arrange_later(
        self, turn: int, sections: tuple[Section, ...], width: int, ids: bool, marks: bool
    ) -> None:
        lines = arrange(sections, width, ids=ids, marks=marks)
        self.post_message(self.Arranged(turn, lines, width))

    @on(Arranged)
    def _arranged(self, event: Arranged) -> None:
        event.stop()
        if event.turn == self._turn:
            self._take(event.lines, event.width)

    def _take(self, lines: list[Line], width: int) -> None:
        self._lines = lines
        self._width = width
        self.virtual_size = Size(width, len(lines))
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"token--{name}", partial=True)
        return self._styles[name]

    def render_line(self, y: int) -> Strip:
        ground = self.rich_style
        width = self.size.width
        at = y + self.scroll_offset.y
        if at >= len(self._lines):
            return Strip.blank(width, ground)
        line = self._lines[at]
        if isinstance(line, Note):
            words = line.words if line.tone != "cut" else line.words.ljust(width, " ")
            segments = [Segment(words, ground + self._style(line.tone))]
        elif line.section < len(self._sections):
            segments = self._ids(line, ground) if line.ids else self._tokens(line, ground)
        else:
            segments = []
        return Strip(segments).adjust_cell_length(width, ground)

    def _cell(self, token: str, number: int) -> int:
        return max(cells(token), len(str(number))) + 1 if self.ids else 0

    def _tokens(self, row: Row, ground: Style) -> list[Segment]:
        section = self._sections[row.section]
        whole, kept = section.whole, len(section.kept.ids)
        found: list[Segment] = []
        before = False
        for place in range(row.start, row.end):
            trained = bool(whole.mask[place]) and place < kept
            name = "lost" if place >= kept else "trained" if trained else "plain"
            style = ground + self._style(name)
            token = section.spelled(place)
            if self.marks:
                sign = "▐" if trained and not before else "▌" if before and not trained else "│"
                sign = " " if place == row.start and not trained else sign
                found.append(Segment(sign, ground + self._style("plain")))
            elif place % 2:
                style += self._style("odd")
            found.append(Segment(token, style))
            if self.ids:
                found.append(
                    Segment(" " * (self._cell(token, whole.ids[place]) - cells(token)), ground)
                )
            before = trained
        if self.marks and before:
            found.append(Segment("▌", ground + self._style("plain")))
        return found

    def _ids(self, row: Row, ground: Style) -> list[Segment]:
        section = self._sections[row.section]
        ids = section.whole.ids
        gap = " " if self.marks else ""
        words = "".join(
            gap + str(ids[n]).ljust(self._cell(section.spelled(n), ids[n]))
            for n in range(row.start, row.end)
        )
        return [Segment(words, ground + self._style("id"))]


def verdict(section: Section, max_length: int) -> Content:
    """A line or two under the tokens: what is right and what wants a look."""
    kept = section.kept
    ends = section.ends
    untrained = sum(
        span.trained and not end for span, end in zip(section.whole.spans, ends, strict=False)
    )
    all_end = kept.turn_end_trained and not untrained
    parts = [
        _sign(kept.trained_tokens > 0, f"{kept.trained_tokens:,} trained"),
        _sign(kept.bos <= 1, {0: "no BOS", 1: "BOS once"}.get(kept.bos, f"{kept.bos} BOS")),
        _sign(all_end, "turn end trained" if all_end else "turn end not trained"),
    ]
    words = Content("  ").join(parts)
    if section.cut:
        words += Content("\n") + _sign(
            False, f"✂ {plural(section.cut, 'token')} cut at {max_length:,}"
        )
    return words


def _sign(good: bool, words: str) -> Content:
    if good:
        return Content.styled(f"{words} ", "$text-muted") + Content.styled("✓", "$text-success")
    return Content.styled(f"{words} !", "$text-warning")


def warning_of(rendered: Rendered) -> str:
    """What is odd about a row in a few words; empty when nothing is."""
    if rendered.cut:
        return f"{plural(rendered.cut, 'token')} cut"
    if rendered.trained_tokens == 0:
        return "nothing is trained"
    if rendered.bos > 1:
        return "BOS doubled"
    return "" if rendered.turn_end_trained else "end of turn not trained"
