"""The text under the pen of a `TextPad`: pieces, wrapping, movement, undo.

A text is kept as pieces of bounded length: a line is one piece, a very long line several that
follow one another without a break. So a key costs the same in a megabyte as in a sentence, also
where the megabyte is one line. Nothing of the text is changed by being shown: only `\\n` breaks a
line, and what cannot be shown is drawn as a sign of its own (see `shown`).

Knows characters and cells. Knows no widget and no key.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len

Pos = tuple[int, int]
"""A place between characters: (piece, column)."""

LONGEST = 2048
"""Characters of a piece at most."""
_USUAL = LONGEST // 2
TAB = "    "
_SOFT_BATCH = 80
"""Typed characters that one undo takes back at most."""


class _Signs(dict[int, str]):
    """Code point -> what is drawn for it; always the same cells on every terminal."""

    def __missing__(self, code: int) -> str:
        sign = _sign(code)
        self[code] = sign
        return sign


def _sign(code: int) -> str:
    character = chr(code)
    if code == 9:
        return TAB
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF:
        return ""  # variation selectors: terminals do not agree on what they do to a width
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return "\u2423" if cell_len(character) < 2 else "\u2423 "
    return "\ufffd"


class _Cells(dict[str, int]):
    """Character -> cells it is drawn in."""

    def __missing__(self, character: str) -> int:
        width = cell_len(_SIGNS[ord(character)])
        self[character] = width
        return width


_SIGNS = _Signs()
_CELLS = _Cells()


def shown(text: str) -> str:
    """What is drawn for a text: control bytes, bidi overrides and the like as visible signs."""
    return text if text.isascii() and text.isprintable() else text.translate(_SIGNS)


def cells(text: str) -> int:
    """Cells in which a text is drawn."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(map(_CELLS.__getitem__, text))


def column_at(text: str, x: int) -> int:
    """How many characters of a text lie left of cell `x`."""
    if text.isascii() and text.isprintable():
        return max(0, min(x, len(text)))
    taken = 0
    for column, character in enumerate(text):
        width = _CELLS[character]
        if taken + max(1, width) > x and width:
            return column
        taken += width
    return len(text)


def wrapped(text: str, width: int) -> tuple[int, ...]:
    """Where the rows of a piece start, when it is drawn `width` cells wide; breaks after spaces."""
    starts = [0]
    if text.isascii() and text.isprintable():
        start = 0
        while len(text) - start > width:
            space = text.rfind(" ", start, start + width + 1) + 1
            start = min(space, start + width) if space > start else start + width
            starts.append(start)
        return tuple(starts)
    start = taken = space = 0
    for column, character in enumerate(text):
        cell = _CELLS[character]
        while taken + cell > width and column > start:
            start = space if space > start else column
            starts.append(start)
            taken = cells(text[start:column])
        taken += cell
        if character.isspace():
            space = column + 1
    return tuple(starts)


@dataclass(frozen=True, slots=True)
class _Change:
    """Pieces from `at` on that took the place of others; enough to go either way."""

    at: int
    old: tuple[tuple[str, bool], ...]
    new: tuple[tuple[str, bool], ...]
    before: Pos
    after: Pos
    typed: int
    """Characters typed in a row; 0 for any other change."""


class PadText:
    """Text, cursor and selection; `width` is where rows wrap."""

    def __init__(self, text: str = "", width: int = 80) -> None:
        self.width = max(1, width)
        self.pieces: list[str] = []
        self.breaks: list[bool] = []
        for piece, ends in _cut(text, False):
            self.pieces.append(piece)
            self.breaks.append(ends)
        self._rows = [wrapped(piece, self.width) for piece in self.pieces]
        self._tops: list[int] | None = None
        self.cursor: Pos = (0, 0)
        self.anchor: Pos = (0, 0)
        self._undo: list[_Change] = []
        self._redo: list[_Change] = []

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(
            [p + "\n" if ends else p for p, ends in zip(self.pieces, self.breaks, strict=True)]
        )

    @property
    def end(self) -> Pos:
        """The place after the last character."""
        return (len(self.pieces) - 1, len(self.pieces[-1]))

    @property
    def selection(self) -> tuple[Pos, Pos]:
        """Start and end of what is selected; both the cursor where nothing is."""
        return (min(self.cursor, self.anchor), max(self.cursor, self.anchor))

    @property
    def selected(self) -> str:
        """The selected text."""
        return self.between(*self.selection)

    @property
    def changed(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._undo)

    def between(self, start: Pos, end: Pos) -> str:
        """The text from `start` to `end`."""
        (first, head), (last, tail) = start, end
        if first == last:
            return self.pieces[first][head:tail]
        parts = [self.pieces[first][head:], "\n" if self.breaks[first] else ""]
        for piece in range(first + 1, last):
            parts += [self.pieces[piece], "\n" if self.breaks[piece] else ""]
        return "".join([*parts, self.pieces[last][:tail]])

    def offset(self, pos: Pos) -> int:
        """How many characters lie before a place."""
        piece, column = pos
        return sum(map(len, self.pieces[:piece])) + sum(self.breaks[:piece]) + column

    def place(self, offset: int) -> Pos:
        """The place before which `offset` characters lie, or the end."""
        for piece, words in enumerate(self.pieces):
            if offset < len(words) or (offset == len(words) and self.breaks[piece]):
                return (piece, offset)
            offset -= len(words) + self.breaks[piece]
        return self.end

    def line_column(self, pos: Pos) -> tuple[int, int]:
        """Line and column of a place, both from 1, as a person counts them."""
        piece, column = pos
        line = 1 + sum(self.breaks[:piece])
        while piece and not self.breaks[piece - 1]:
            piece -= 1
            column += len(self.pieces[piece])
        return line, column + 1

    # Changing

    def replace(self, start: Pos, end: Pos, new: str, *, typed: bool = False) -> None:
        """Put `new` in place of what lies from `start` to `end`; the cursor goes after it."""
        (first, head), (last, tail) = start, end
        before = self.cursor
        words = self.pieces[first][:head] + new
        at = len(words)
        words += self.pieces[last][tail:]
        while not self.breaks[last] and last + 1 < len(self.pieces) and len(words) < _USUAL:
            last += 1
            words += self.pieces[last]
        made = tuple(_cut(words, self.breaks[last]))
        old = tuple(zip(self.pieces[first : last + 1], self.breaks[first : last + 1], strict=True))
        self._put(first, len(old), made)
        piece = first
        while at > len(self.pieces[piece]) or (
            at == len(self.pieces[piece])
            and not self.breaks[piece]
            and piece + 1 < first + len(made)
        ):
            at -= len(self.pieces[piece]) + self.breaks[piece]
            piece += 1
        self.cursor = self.anchor = self._settled((piece, at))
        self._record(_Change(first, old, made, before, self.cursor, len(new) if typed else 0))

    def insert(self, new: str, *, typed: bool = False) -> None:
        """Put a text in place of the selection."""
        self.replace(*self.selection, new, typed=typed)

    def undo(self) -> bool:
        """Take the last change back; False when there is none."""
        return self._step(self._undo, self._redo)

    def redo(self) -> bool:
        """Do again what was undone; False when there is nothing."""
        return self._step(self._redo, self._undo)

    def _step(self, source: list[_Change], target: list[_Change]) -> bool:
        if not source:
            return False
        change = source.pop()
        back = _Change(change.at, change.new, change.old, change.after, change.before, change.typed)
        undoing = source is self._undo
        self._put(change.at, len(change.new), change.old)
        self.cursor = self.anchor = self._settled(change.before)
        target.append(back)
        if undoing and target[-1].typed:
            target[-1] = _Change(back.at, back.old, back.new, back.before, back.after, 0)
        return True

    def _record(self, change: _Change) -> None:
        self._redo.clear()
        last = self._undo[-1] if self._undo else None
        if (
            last is not None
            and 0 < last.typed < _SOFT_BATCH
            and change.typed
            and last.at == change.at
            and last.new == change.old
            and last.after == change.before
        ):
            typed = last.typed + change.typed
            change = _Change(change.at, last.old, change.new, last.before, change.after, typed)
            self._undo.pop()
        self._undo.append(change)

    def _put(self, at: int, count: int, new: tuple[tuple[str, bool], ...]) -> None:
        height = sum(map(len, self._rows[at : at + count]))
        self.pieces[at : at + count] = [piece for piece, _ in new]
        self.breaks[at : at + count] = [ends for _, ends in new]
        rows = [wrapped(piece, self.width) for piece, _ in new]
        self._rows[at : at + count] = rows
        if count != len(new) or height != sum(map(len, rows)):
            self._tops = None

    def _settled(self, pos: Pos) -> Pos:
        """A place within bounds, never at the seam after a piece but before the next."""
        piece = min(pos[0], len(self.pieces) - 1)
        column = min(pos[1], len(self.pieces[piece]))
        if (
            column == len(self.pieces[piece])
            and not self.breaks[piece]
            and piece + 1 < len(self.pieces)
        ):
            return (piece + 1, 0)
        return (piece, column)

    # Rows on screen

    def wrap(self, width: int) -> None:
        """Wrap at another width."""
        if width != self.width:
            self.width = max(1, width)
            self._rows = [wrapped(piece, self.width) for piece in self.pieces]
            self._tops = None

    @property
    def tops(self) -> list[int]:
        """The row in which each piece begins, and after the last how many rows there are."""
        if self._tops is None:
            self._tops = list(accumulate(map(len, self._rows), initial=0))
        return self._tops

    @property
    def height(self) -> int:
        """How many rows the text takes."""
        return self.tops[-1]

    def row(self, y: int) -> tuple[int, int, int]:
        """(piece, first column, column after the last) of row `y`."""
        piece = bisect_right(self.tops, y) - 1
        piece = min(max(piece, 0), len(self.pieces) - 1)
        starts = self._rows[piece]
        nth = min(y - self.tops[piece], len(starts) - 1)
        end = starts[nth + 1] if nth + 1 < len(starts) else len(self.pieces[piece])
        return piece, starts[nth], end

    def spot(self, pos: Pos) -> tuple[int, int]:
        """(x, y) of a place, in cells."""
        piece, column = pos
        starts = self._rows[piece]
        nth = bisect_right(starts, column) - 1
        return cells(self.pieces[piece][starts[nth] : column]), self.tops[piece] + nth

    def at_spot(self, x: int, y: int) -> Pos:
        """The place nearest to a cell."""
        piece, start, end = self.row(max(0, min(y, self.height - 1)))
        words = self.pieces[piece]
        column = start + column_at(words[start:end], x)
        if column == end and end < len(words):
            column -= 1  # the end of a wrapped row is the start of the next
        return self._settled((piece, column))

    # Moving

    def left(self, pos: Pos) -> Pos:
        """One character to the left."""
        piece, column = pos
        if column:
            return (piece, column - 1)
        if not piece:
            return pos
        return (piece - 1, len(self.pieces[piece - 1]) - (not self.breaks[piece - 1]))

    def right(self, pos: Pos) -> Pos:
        """One character to the right."""
        piece, column = pos
        if column < len(self.pieces[piece]):
            return self._settled((piece, column + 1))
        return (piece + 1, 0) if piece + 1 < len(self.pieces) else pos

    def word_left(self, pos: Pos) -> Pos:
        """The start of the word before."""
        piece, column = pos
        if not column:
            return self.left(pos)
        words = self.pieces[piece]
        while column and words[column - 1].isspace():
            column -= 1
        kind = _is_word(words[column - 1]) if column else False
        while column and not words[column - 1].isspace() and _is_word(words[column - 1]) == kind:
            column -= 1
        return (piece, column)

    def word_right(self, pos: Pos) -> Pos:
        """The end of the word after."""
        piece, column = pos
        words = self.pieces[piece]
        if column == len(words):
            return self.right(pos)
        while column < len(words) and words[column].isspace():
            column += 1
        kind = _is_word(words[column]) if column < len(words) else False
        while column < len(words) and not words[column].isspace():
            if _is_word(words[column]) != kind:
                break
            column += 1
        return self._settled((piece, column))

    def row_start(self, pos: Pos) -> Pos:
        """Where the row on screen starts."""
        piece, column = pos
        starts = self._rows[piece]
        return (piece, starts[bisect_right(starts, column) - 1])

    def row_end(self, pos: Pos) -> Pos:
        """Where the row on screen ends."""
        piece, start, end = self.row(self.spot(pos)[1])
        last = end == len(self.pieces[piece])
        return self._settled((piece, end if last else max(start, end - 1)))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _cut(text: str, ends: bool) -> list[tuple[str, bool]]:
    """A text as pieces, each with whether a line break follows; `ends`: so after the last."""
    lines = text.split("\n")
    made: list[tuple[str, bool]] = []
    for number, line in enumerate(lines):
        breaks = ends if number + 1 == len(lines) else True
        start = 0
        while len(line) - start > LONGEST:
            space = line.rfind(" ", start + _USUAL // 2, start + _USUAL) + 1
            stop = space or start + _USUAL
            made.append((line[start:stop], False))
            start = stop
        made.append((line[start:] if start else line, breaks))
    return made
