"""Markdown of a model, line by line, as it is written: headings, lists, emphasis, code, tables.

A line that has ended is never looked at again, so that a long answer costs no more a line than a
short one; of the last line, what may still become something else is held back or taken as if it
were closed already, so that nothing flickers. Line breaks stay where the model made them. What it
wrote is data: links, images and HTML are shown as they stand, and nothing can be clicked. Knows
text. Does not know widgets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from textual.content import Content, Span

from screens.safe import visible_lines

Kind = Literal["text", "heading", "item", "quote", "code", "table", "rule"]

MOST_LINES = 16
"""Lines of one block of text or code: a block that grows is laid out anew."""
BOLD, ITALIC, CODE, HEADING = "bold", "italic", "$text-accent on $panel", "bold $accent"
_LINE = re.compile(
    r"(?P<indent>\s*)(?:(?P<fence>`{3,}|~{3,})(?P<language>[^`]*)"
    r"|(?P<rule>(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})"
    r"|(?P<heading>\#{1,6})\s+(?P<title>.*?)\s*\#*"
    r"|(?P<marker>[-*+]|\d{1,9}[.)])\s+(?P<item>.*)"
    r"|>\s?(?P<quote>.*)|(?P<table>\|.*)|(?P<text>.*))",
    re.DOTALL,
)
_UNDECIDED = re.compile(r"\s*(?:\d{1,9}[.)]?|[-*+_\s]+|\#{1,6}|[`~]+|>)\s*")
"""A line so far that may become a mark or text."""
_INLINE = re.compile(
    r"\\([!-/:-@\[-`{-~])|(?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<open>`+)(?P<rest>[^`]*)$|(?P<marks>\*{1,3}|_{1,3})",
    re.DOTALL,
)
_DELIMITERS = re.compile(r"\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*")
_STYLES = {1: ITALIC, 2: BOLD, 3: f"{BOLD} {ITALIC}"}


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that look alike.

    Attributes:
        marker: stands before the first line, of a quote before every line.
        indent: cells before all of it.
        gap: whether an empty line comes before it.
    """

    kind: Kind
    content: Content
    marker: str = ""
    indent: int = 0
    gap: bool = False


@dataclass(slots=True)
class _Group:
    """A block that may still grow; `source` are the lines of a table."""

    kind: Kind
    marker: str = ""
    indent: int = 0
    gap: bool = False
    lines: list[Content] = field(default_factory=list)
    source: list[str] = field(default_factory=list)

    def block(self, more: Iterable[Content] = (), source: Iterable[str] = ()) -> Block:
        if self.kind == "table":
            content = _table([*self.source, *source])
        else:
            content = Content("\n").join([*self.lines, *more])
        return Block(self.kind, content, self.marker, self.indent, self.gap)


class Markdown:
    """A text that grows, and its blocks."""

    def __init__(self) -> None:
        self._closed: list[Block] = []
        self._group: _Group | None = None
        self._fence = ""
        self._fence_indent = 0
        self._gap = False
        self._tail = ""

    def feed(self, more: str) -> int:
        """Take more text; returns how many blocks from the first on will never change again."""
        kept = len(self._closed)
        *lines, self._tail = (self._tail + more).split("\n")
        for line in lines:
            self._take(line)
        return kept

    @property
    def blocks(self) -> list[Block]:
        """All of it, the last line as far as it has come."""
        shown = list(self._closed)
        tail = "" if self._is_undecided(self._tail) else self._tail
        if not tail.strip() and not (self._fence and tail):
            return [*shown, self._group.block()] if self._group else shown
        made, line = self._read(tail, open_=True)
        if made is None:  # a fence that begins, or ends
            return [*shown, self._group.block()] if self._group else shown
        if self._joins(made):
            assert self._group is not None
            return [*shown, self._group.block([line], [tail])]
        before = [self._group.block()] if self._group else []
        made.gap = self._parted(made)
        return [*shown, *before, made.block([line], [tail])]

    def end(self) -> list[Block]:
        """All of it when nothing more comes: what was held back is text."""
        if self._tail:
            self._take(self._tail)
            self._tail = ""
        return self.blocks

    def _take(self, line: str) -> None:
        """A line that has ended."""
        if not line.strip() and not self._fence:
            self._close()
            self._gap = bool(self._closed)
            return
        made, content = self._read(line)
        if made is None:
            self._turn_fence(line)
            return
        if not self._joins(made):
            made.gap = self._parted(made)
            self._close()
            self._group = made
            self._gap = False
        assert self._group is not None
        self._group.lines.append(content)
        self._group.source.append(line)

    def _turn_fence(self, line: str) -> None:
        self._close()
        if self._fence:
            self._fence, self._gap = "", True
            return
        found = _LINE.match(line)
        assert found is not None
        self._fence, self._fence_indent = found["fence"], len(found["indent"])
        self._gap = bool(self._closed)

    def _read(self, line: str, *, open_: bool = False) -> tuple[_Group | None, Content]:
        """The block that a line is of, alone, and how it looks; None for a fence itself."""
        if self._fence:
            bare = line.strip()
            if bare.startswith(self._fence) and not bare.strip(self._fence[0]):
                return None, Content("")
            code = line[min(self._fence_indent, len(line) - len(line.lstrip())) :]
            return _Group("code"), Content(visible_lines(code))
        found = _LINE.fullmatch(line)
        assert found is not None
        indent = len(found["indent"].expandtabs(4))
        if found["fence"]:
            return None, Content("")
        if found["rule"]:
            return _Group("rule"), Content("───")
        if found["heading"]:
            return _Group("heading"), inline(found["title"], open_=open_).stylize_before(HEADING)
        if found["marker"]:
            mark = "•" if found["marker"] in "-*+" else found["marker"]
            return _Group("item", f"{mark} ", min(indent, 12)), inline(found["item"], open_=open_)
        if found["quote"] is not None:
            return _Group("quote", "│ "), inline(found["quote"], open_=open_)
        if found["table"]:
            return _Group("table"), Content("")
        inside = self._group is not None and self._group.kind == "item" and not self._gap
        return _Group("text", indent=min(indent, 12) if inside else 0), inline(
            found["text"], open_=open_
        )

    def _joins(self, made: _Group) -> bool:
        group = self._group
        if group is None or group.kind != made.kind or made.kind in ("heading", "item", "rule"):
            return False
        alike = made.indent == group.indent and not self._gap
        return alike and (made.kind == "table" or len(group.lines) < MOST_LINES)

    def _parted(self, made: _Group) -> bool:
        """Whether an empty line belongs before it: where one was written, not between items."""
        last = self._group or (self._closed[-1] if self._closed else None)
        if last is None or (made.kind == last.kind == "item"):
            return False
        grows = made.kind == last.kind and not self._gap
        return self._gap or (made.kind in ("heading", "code", "table", "rule") and not grows)

    def _close(self) -> None:
        if self._group is not None:
            self._closed.append(self._group.block())
            self._group = None

    def _is_undecided(self, tail: str) -> bool:
        if self._fence:
            return bool(tail) and not tail.strip().strip(self._fence[0])
        return bool(_UNDECIDED.fullmatch(tail))


def rendered(text: str) -> list[Block]:
    """A whole text."""
    page = Markdown()
    page.feed(text)
    return page.end()


def inline(text: str, *, open_: bool = False) -> Content:
    """One line with its emphasis and code.

    Args:
        open_: more may come: what was begun is taken as if it ended here.
    """
    pieces: list[str] = []
    styled: list[tuple[int, int, str]] = []
    waiting: list[tuple[str, int]] = []
    text, place = visible_lines(text), 0
    for found in _INLINE.finditer(text):
        pieces.append(text[place : found.start()])
        place = found.end()
        if found[1]:
            pieces.append(found[1])
        elif found["code"]:
            styled.append((len(pieces), len(pieces) + 1, CODE))
            pieces.append(found["code"])
        elif found["open"]:
            if open_ and found["rest"]:
                styled.append((len(pieces), len(pieces) + 1, CODE))
            pieces.append(found["rest"] if open_ else found[0])
        else:
            _emphasis(text, found, pieces, styled, waiting)
    pieces.append(text[place:])
    for marks, start in waiting if open_ else ():
        pieces[start] = ""
        styled.append((start, len(pieces), _STYLES[len(marks)]))
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    spans = [Span(offsets[start], offsets[end], style) for start, end, style in styled]
    return Content("".join(pieces), spans)


def _emphasis(
    text: str,
    found: re.Match[str],
    pieces: list[str],
    styled: list[tuple[int, int, str]],
    waiting: list[tuple[str, int]],
) -> None:
    """A run of stars or underscores: it ends what waits for it, begins something, or is itself."""
    marks, here = found["marks"], len(pieces)
    before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
    word = marks[0] == "_"
    closes = bool(before.strip()) and not (word and after.isalnum())
    opens = (bool(after.strip()) or not after) and not (word and before.isalnum())
    pieces.append(marks)
    if closes and any(one == marks for one, _ in waiting):
        while waiting[-1][0] != marks:
            waiting.pop()
        _, start = waiting.pop()
        pieces[start] = pieces[here] = ""
        styled.append((start, here, _STYLES[len(marks)]))
    elif opens:
        waiting.append((marks, here))


def _table(lines: list[str]) -> Content:
    """Rows with their cells below each other, a line below the head."""
    rows = [[inline(cell.strip()) for cell in _cells(line)] for line in lines]
    ruled = {place for place, line in enumerate(lines) if _DELIMITERS.fullmatch(line.strip())}
    widths: list[int] = []
    for place, row in enumerate(rows):
        for column, cell in enumerate(row):
            if column == len(widths):
                widths.append(0)
            if place not in ruled:
                widths[column] = max(widths[column], cell.cell_length)
    made = []
    for place, row in enumerate(rows):
        if place in ruled:
            made.append(Content("─┼─".join("─" * width for width in widths)))
        else:
            made.append(Content(" │ ").join(
                cell.pad_right(widths[column] - cell.cell_length)
                for column, cell in enumerate(row)
            ))  # fmt: skip
    return Content("\n").join(made)


def _cells(line: str) -> list[str]:
    return line.strip().removeprefix("|").removesuffix("|").split("|")
