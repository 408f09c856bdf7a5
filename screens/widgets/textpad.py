"""A field for long text: as quick in a megabyte as in a sentence, and harmless whatever is in it.

Knows keys, pointer and drawing; the text itself is a `PadText`. Does not know what is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.widgets.padtext import PadText, Pos, cells, shown

_MOVES: dict[str, str] = {
    "left": "left",
    "right": "right",
    "ctrl+left": "word_left",
    "ctrl+right": "word_right",
    "alt+b": "word_left",
    "alt+f": "word_right",
    "home": "row_start",
    "ctrl+a": "row_start",
    "end": "row_end",
}
"""Keys that move by what lies around the cursor; with shift they select."""
_KILLS: dict[str, str] = {
    "backspace": "left",
    "delete": "right",
    "ctrl+d": "right",
    "ctrl+w": "word_left",
    "ctrl+u": "row_start",
    "ctrl+k": "row_end",
}
"""Keys that take away up to where that movement goes."""


class TextPad(ScrollView, can_focus=True):
    """Text to write in. Wraps at its width; only a line break breaks a line."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "pad--cursor",
        "pad--selection",
        "pad--sign",
        "pad--key",
        "pad--wrong",
    }
    DEFAULT_CSS = """
    TextPad {
        height: auto;
        background: $surface;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .pad--cursor { background: $foreground; color: $background; }
        & > .pad--selection { background: $accent 35%; }
        & > .pad--sign { color: $text-warning; }
        & > .pad--key { color: $accent; }
        & > .pad--wrong { background: $error; color: $background; }
    }
    """

    class Changed(Message):
        """The text is another one."""

        def __init__(self, pad: TextPad) -> None:
            super().__init__()
            self.pad = pad

        @property
        def control(self) -> TextPad:
            return self.pad

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, TextPad.Changed)

    class Moved(Message):
        """The cursor is somewhere else."""

        def __init__(self, pad: TextPad) -> None:
            super().__init__()
            self.pad = pad

        @property
        def control(self) -> TextPad:
            return self.pad

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, TextPad.Moved)

    class Leaving(Message):
        """An arrow key goes beyond the first row (-1) or the last (1)."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(
        self,
        text: str = "",
        *,
        keys: re.Pattern[str] | None = None,
        widget_id: str | None = None,
        copy: Callable[[str], None] | None = None,
    ) -> None:
        """Args: keys: what is drawn in the accent; copy: what to do with text that is copied."""
        super().__init__(id=widget_id)
        self.body = PadText(text)
        self._keys = keys
        self._copy = copy
        self._goal: int | None = None
        self._drag = False
        self._wrong: Pos | None = None
        self._styles: dict[str, Style] = {}

    # The text

    @property
    def text(self) -> str:
        """The whole text."""
        return self.body.text

    @text.setter
    def text(self, text: str) -> None:
        self.load(text)

    def load(self, text: str, at: int | None = None) -> None:
        """Put another text in, with nothing to undo and the cursor after `at` characters."""
        self.show(PadText(text, self.body.width), at)
        self.post_message(self.Changed(self))

    def show(self, body: PadText, at: int | None = None) -> None:
        """Show another text, its history with it; no message."""
        body.wrap(self.body.width)
        self.body = body
        self._wrong = None
        if at is not None:
            body.cursor = body.anchor = body.place(at)
        self._resized()
        self.scroll_to(0, 0, animate=False, immediate=True)
        self._reveal()
        self.refresh()

    def mark(self, wrong: int | None) -> None:
        """Show where something is wrong: after so many characters; None shows nothing."""
        place = None if wrong is None else self.body.place(wrong)
        if place != self._wrong:
            self._wrong = place
            self.refresh()

    def go(self, offset: int) -> None:
        """Put the cursor after so many characters."""
        self._move_to(self.body.place(offset), False)

    def insert(self, text: str) -> None:
        """Put a text in place of the selection."""
        self._edit(lambda: self.body.insert(text))

    # Size

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        self.body.wrap(max(1, width - 1))
        return self.body.height

    def on_resize(self) -> None:
        width = max(1, self.scrollable_content_region.width - 1)
        if width != self.body.width:
            self.body.wrap(width)
            self.refresh()
        self._resized()
        self._reveal()

    def _resized(self) -> None:
        size = Size(self.body.width, self.body.height)
        if size != self.virtual_size:
            self.virtual_size = size
            if self.styles.height is not None and self.styles.height.is_auto:
                self.refresh(layout=True)

    def _reveal(self) -> None:
        x, y = self.body.spot(self.body.cursor)
        self.scroll_to_region(
            Region(x, y, 1, 1), animate=False, force=True, x_axis=False, immediate=True
        )
        if self.has_focus and self.is_attached:
            top = self.content_region
            self.app.cursor_position = Offset(top.x + x, top.y + y - self.scroll_offset.y)
        self.post_message(self.Moved(self))

    @property
    def cursor_region(self) -> Region:
        """The cursor's cell, within the widget."""
        x, y = self.body.spot(self.body.cursor)
        return Region(x, y - self.scroll_offset.y, 1, 1)

    # Drawing

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _ground(self) -> Style:
        if "" not in self._styles:
            self._styles[""] = self.rich_style
        return self._styles[""]

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"pad--{name}", partial=True)
        return self._styles[name]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        at = y + self.scroll_offset.y
        ground = self._ground()
        body = self.body
        if at >= body.height:
            return Strip.blank(width, ground)
        piece, start, end = body.row(at)
        words = body.pieces[piece]
        marks: list[tuple[int, int, str]] = []
        if self._keys is not None:
            marks += [(m.start(), m.end(), "key") for m in self._keys.finditer(words)]
        row = words[start:end]
        if not row.isprintable():
            marks += [(start + n, start + n + 1, "sign") for n, c in enumerate(row) if _odd(c)]
        if self._wrong is not None and self._wrong[0] == piece:
            marks.append((self._wrong[1], self._wrong[1] + 1, "wrong"))
        first, last = body.selection
        if first != last and first <= (piece, end) and last >= (piece, start):
            left = first[1] if first[0] == piece else 0
            right = last[1] if last[0] == piece else len(words) + 1
            marks.append((left, right, "selection"))
        if self.has_focus and body.cursor[0] == piece:
            column = body.cursor[1]
            if start <= column < end or (column == end == len(words)):
                marks.append((column, column + 1, "cursor"))
        closing = end == len(words)
        segments = self._segments(words[start:end], start, marks, ground, closing)
        return Strip(segments).adjust_cell_length(width, ground)

    def _segments(
        self, row: str, start: int, marks: list[tuple[int, int, str]], ground: Style, closing: bool
    ) -> list[Segment]:
        """A row in pieces of one style; `closing` rows have a cell for the cursor at their end."""
        if closing:
            row += " "
        if not marks:
            return [Segment(shown(row), ground)]
        edges = {0, len(row)}
        for left, right, _ in marks:
            edges |= {max(0, min(left - start, len(row))), max(0, min(right - start, len(row)))}
        found: list[Segment] = []
        cuts = sorted(edges)
        for left, right in pairwise(cuts):
            style = ground
            for begin, end, name in marks:
                if begin - start <= left and right <= end - start:
                    style = style + self._style(name)
            found.append(Segment(shown(row[left:right]) or " ", style))
        return found

    # Keys

    def check_consume_key(self, key: str, character: str | None = None) -> bool:  # noqa: ARG002
        return character is not None and character.isprintable()

    async def _on_key(self, event: events.Key) -> None:
        if self._pressed(event.key, event.character if event.is_printable else None):
            event.stop()
            event.prevent_default()

    def _pressed(self, key: str, character: str | None) -> bool:
        """Do what a key says; False where it says nothing here."""
        body = self.body
        plain = key.replace("shift+", "") if key not in ("shift+tab",) else key
        selecting = plain != key
        if character is not None:
            self._edit(lambda: body.insert(character, typed=True))
        elif key in ("enter", "ctrl+j"):
            self._edit(lambda: body.insert("\n" + self._indent()))
        elif key in _KILLS:
            self._kill(_KILLS[key])
        elif key == "ctrl+z":
            return self._edit(body.undo)
        elif key in ("ctrl+y", "ctrl+shift+z"):
            return self._edit(body.redo)
        elif plain in ("up", "down"):
            self._vertical(-1 if plain == "up" else 1, selecting)
        elif plain in ("pageup", "pagedown"):
            page = max(1, self.size.height - 1)
            self._vertical(-page if plain == "pageup" else page, selecting, leave=False)
        elif plain in ("ctrl+home", "ctrl+end"):
            self._move_to((0, 0) if plain == "ctrl+home" else body.end, selecting)
        elif plain in _MOVES:
            first, last = body.selection
            if first != last and not selecting and plain in ("left", "right"):
                self._move_to(first if plain == "left" else last, False)
            else:
                self._move_to(self._target(_MOVES[plain]), selecting)
        elif key == "f7":
            body.anchor = (0, 0)
            self._move_to(body.end, True)
        elif key in ("ctrl+c", "ctrl+x", "super+c") and body.selected:
            self._take(cut=key == "ctrl+x")
        else:
            return False
        return True

    def _target(self, movement: str) -> Pos:
        moves: dict[str, Callable[[Pos], Pos]] = {
            "left": self.body.left,
            "right": self.body.right,
            "word_left": self.body.word_left,
            "word_right": self.body.word_right,
            "row_start": self.body.row_start,
            "row_end": self.body.row_end,
        }
        return moves[movement](self.body.cursor)

    def _indent(self) -> str:
        """The white space that a new line begins with; only where structure is written."""
        if self._keys is None:
            return ""
        piece, column = self.body.selection[0]
        words = self.body.pieces[piece][:column]
        return words[: len(words) - len(words.lstrip(" "))]

    def _kill(self, movement: str) -> None:
        first, last = self.body.selection
        if first == last:
            first, last = sorted((self.body.cursor, self._target(movement)))
            if first == last:
                return
        self._edit(lambda: self.body.replace(first, last, ""))

    def _take(self, *, cut: bool) -> None:
        if self._copy is not None:
            self._copy(self.body.selected)
        if cut:
            self._edit(lambda: self.body.insert(""))

    def _edit(self, change: Callable[[], object]) -> bool:
        """Change the text; False where the change says that there was nothing to do."""
        height = self.body.height
        before = self.body.selection[0]
        if change() is False:
            return False
        self._goal = None
        self._wrong = None
        if height != self.body.height:
            self._resized()
            self.refresh()
        else:
            self._refresh_from(min(before, self.body.cursor), max(before, self.body.cursor))
        self._reveal()
        self.post_message(self.Changed(self))
        return True

    def _refresh_from(self, first: Pos, last: Pos) -> None:
        """Draw again from the row before a place to the end of the piece of another."""
        tops = self.body.tops
        column = min(first[1], len(self.body.pieces[first[0]]))
        top = self.body.spot((first[0], column))[1] - 1 - self.scroll_offset.y
        bottom = tops[min(last[0], len(tops) - 2) + 1] - self.scroll_offset.y
        top, bottom = max(0, top), min(self.size.height, bottom)
        if bottom > top:
            self.refresh(Region(0, top, self.size.width, bottom - top))

    def _vertical(self, by: int, selecting: bool, *, leave: bool = True) -> None:
        x, y = self.body.spot(self.body.cursor)
        if leave and not selecting and not 0 <= y + by < self.body.height:
            self.post_message(self.Leaving(by))
            return
        goal = x if self._goal is None else self._goal
        self._move_to(self.body.at_spot(goal, y + by), selecting)
        self._goal = goal

    def _move_to(self, pos: Pos, selecting: bool) -> None:
        body = self.body
        touched = [*body.selection, pos]
        body.cursor = pos
        if not selecting:
            body.anchor = pos
        self._goal = None
        self._refresh_from(min(touched), max(touched))
        self._reveal()

    # Pointer, paste, focus

    def on_focus(self) -> None:
        self.refresh()
        self._reveal()

    def on_blur(self) -> None:
        self.refresh()

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        words = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.insert(words.encode("utf-8", "ignore").decode())

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._drag = True
        self._move_to(self.body.at_spot(event.x, event.y + self.scroll_offset.y), event.shift)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag:
            self._move_to(self.body.at_spot(event.x, event.y + self.scroll_offset.y), True)

    def on_mouse_up(self) -> None:
        self._drag = False
        self.release_mouse()


def _odd(character: str) -> bool:
    """Whether a character is drawn as a sign that stands for it."""
    return not character.isprintable() and cells(character) > 0
