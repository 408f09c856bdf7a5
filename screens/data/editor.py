"""The row under the pen: its turns one above the other, one of them open for writing.

Knows what is written and what was; every step can be taken back until it is kept. Does not know
where the row goes: it posts `Keep` with the new bytes, or `Leave`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widgets import Static

from screens.data.pen import Part, Pen, favourite
from screens.data.turns import ROLE_STYLES, heading, nothing
from screens.safe import line, text
from screens.widgets.padtext import PadText
from screens.widgets.textpad import TextPad

AROUND = 4_000
"""Characters shown of a turn that is not open."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A state to go back to: the row, the part that was open, its text and history."""

    pen: Pen
    at: int
    body: PadText


class Editor(Container):
    """Base of both: a pad, a line below it, and messages for the room."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
    ]

    class Keep(Message):
        """The row shall be `raw`; nothing has changed where it is what it was."""

        def __init__(self, raw: bytes) -> None:
            super().__init__()
            self.raw = raw

    class Leave(Message):
        """The person wants to leave; `changed`: there is something to lose."""

        def __init__(self, changed: bool) -> None:
            super().__init__()
            self.changed = changed

    class Typed(Message):
        """What is written is another text than before."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Editor.Typed)

    kind = ""
    keys: ClassVar[re.Pattern[str] | None] = None
    """What is drawn in the accent."""

    def __init__(self, number: int, raw: bytes, copy: Callable[[str], None]) -> None:
        """Args: number, raw: the row as it is; copy: what to do with text that is copied."""
        super().__init__(classes="row-editor")
        self.number = number
        self.base = raw
        self.pad = TextPad(copy=copy, keys=self.keys)
        self.foot = Static(classes="editor-foot")
        self._early = ""

    def type(self, words: str) -> None:
        """Take what was typed before the pad had the focus: a hand waits for no screen."""
        if self.is_mounted:
            self.pad.insert(words)
        else:
            self._early += words

    def begin(self) -> None:
        """The pad shows its text: take the focus, and what was typed by now."""
        self.pad.focus()
        if self._early:
            self.pad.insert(self._early)

    @property
    def changed(self) -> bool:
        """Whether something would be lost."""
        raise NotImplementedError

    def action_leave(self) -> None:
        self.post_message(self.Leave(self.changed))

    def keep(self) -> None:
        """Hand over what is written, if it can stand."""
        raise NotImplementedError

    def say(self, words: Content) -> None:
        """Words in the line below."""
        self.foot.update(words)

    def outside(self) -> tuple[bytes, str]:
        """The text for another editor, and how its file's name ends."""
        raise NotImplementedError

    def came_back(self, new: bytes) -> None:
        """Take what another editor made of it."""
        raise NotImplementedError

    def draft(self) -> tuple[bytes, bytes, int]:
        """(row, text under the pen, place): enough to go on another day."""
        raise NotImplementedError


class TurnEditor(Editor):
    """Turns (or texts) of a row; tab goes from one to the next."""

    kind = "turns"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "turn(1)", show=False),
        Binding("shift+tab", "turn(-1)", show=False),
    ]

    def __init__(
        self, number: int, raw: bytes, pen: Pen, copy: Callable[[str], None], at: int | None = None
    ) -> None:
        """Args: pen: the row as far as it is written; at: the part to open."""
        super().__init__(number, raw, copy)
        self.foot.add_class("-one")
        self.pen = pen
        self.at = favourite(pen.parts) if at is None else min(at, len(pen.parts) - 1)
        # At once, not when the pad is on screen: a fast ctrl+s would keep an empty text.
        self.pad.body = PadText(self.part.text)
        self._marks: list[Content] = []
        self._past: list[Moment] = []
        self._future: list[Moment] = []

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False, classes="editor-turns"):
            yield Static(classes="editor-before")
            yield Static(classes="editor-head")
            yield self.pad
            yield Static(classes="editor-after")
        yield self.foot

    def on_mount(self) -> None:
        self._open(end=True)
        self.begin()

    @property
    def part(self) -> Part:
        """The part that is open."""
        return self.pen.parts[self.at]

    @property
    def changed(self) -> bool:
        return self.pen.raw != self.base or self.pad.text != self.part.text

    def pen_at(self, raw: bytes) -> Pen:
        """The pen for the row as it stood a moment ago."""
        pen = self.pen
        return pen if pen.raw is raw else type(pen)(raw)

    # Going about

    def _open(self, *, end: bool = False, body: PadText | None = None) -> None:
        """Show the turns around the open one, and that one in the pad."""
        if body is not None:
            self.pad.show(body)
        else:
            self.pad.show(PadText(self.part.text), len(self.part.text) if end else 0)
        self._draw()
        self.post_message(self.Typed())

    def _draw(self) -> None:
        parts = self.pen.parts
        before = [self._shut(n) for n in range(self.at)]
        after = [self._shut(n) for n in range(self.at + 1, len(parts))]
        self._put(".editor-before", before)
        self._put(".editor-after", after)
        head = Content.styled("▌ ", "$accent") + self._head(self.at)
        self.query_one(".editor-head", Static).update(head)
        self._tell()

    def told(self, marks: list[Content]) -> None:
        """Show what is now known of the training of each part."""
        if len(marks) == len(self.pen.parts) and marks != self._marks:
            self._marks = marks
            self._draw()

    def _head(self, at: int) -> Content:
        known = len(self._marks) == len(self.pen.parts)
        return part_head(self.pen.parts, at, self._marks[at] if known else None)

    def _shut(self, at: int) -> Content:
        said = self.pen.parts[at].text
        body = text(said, "$text-muted", limit=AROUND) if said else nothing()
        return self._head(at) + Content("\n") + body

    def _put(self, where: str, blocks: list[Content]) -> None:
        static = self.query_one(where, Static)
        static.display = bool(blocks)
        static.update(Content("\n\n").join(blocks))

    def _tell(self) -> None:
        count, noun = len(self.pen.parts), "turn" if self.pen.kind == "turns" else "text"
        row, column = self.pad.body.line_column(self.pad.body.cursor)
        words = f"{noun} {self.at + 1} of {count} · {row:,}:{column:,}"
        keys = "   tab next  esc leave" if count > 1 else "   esc leave"
        # One line always: a layout at every key would draw the whole screen again.
        self.foot.update(Content.styled(words + keys, "$text-muted"), layout=False)

    @on(TextPad.Moved)
    def _moved(self, event: TextPad.Moved) -> None:
        event.stop()
        self._tell()
        around = self.query_one(".editor-turns", VerticalScroll)
        cursor = self.pad.cursor_region.translate(self.pad.virtual_region.offset)
        around.scroll_to_region(
            Region(0, cursor.y - 1, 1, 3), animate=False, force=True, immediate=True
        )

    @on(TextPad.Changed)
    def _changed(self, event: TextPad.Changed) -> None:
        event.stop()
        self._future.clear()
        self.post_message(self.Typed())

    @on(TextPad.Leaving)
    def _leaving(self, event: TextPad.Leaving) -> None:
        event.stop()
        self._go(self.at + event.by, end=event.by < 0)

    def action_turn(self, by: int) -> None:
        """Open the next turn, or the one before."""
        self._go(self.at + by, end=True)

    def _go(self, at: int, *, end: bool) -> None:
        if 0 <= at < len(self.pen.parts):
            self.flush()
            self.at = at
            self._open(end=end)

    def flush(self) -> None:
        """Take what is in the pad into the row.

        Raises:
            BadInput: it cannot stand there.
        """
        if self.pad.text != self.part.text:
            pen = self.pen.written(self.at, self.pad.text)
            self._remember()
            self.pen = pen

    def _remember(self) -> None:
        self._past.append(Moment(self.pen, self.at, self.pad.body))
        self._future.clear()

    def do(self, what: str, argument: str | int = 0) -> None:
        """Change the row's turns: role, add, delete, move, split, merge, train.

        Raises:
            BadInput: the row has no place for it.
        """
        self.flush()
        if what == "split":
            argument = self.pad.body.offset(self.pad.body.cursor)
            if argument in (0, len(self.pad.text)):
                words = "! put the cursor where the second turn shall begin, then split"
                self.say(Content.styled(words, "$text-warning"))
                return
        pen, at = self.pen.done(what, self.at, argument)
        self._remember()
        self.pen, self.at = pen, at
        self._open(end=what not in ("split",))
        self.pad.focus()

    async def _on_key(self, event: events.Key) -> None:
        """Undo beyond the text that is open: the steps before."""
        if event.key in ("ctrl+z", "ctrl+y"):
            event.stop()
            source, target = (
                (self._past, self._future) if event.key == "ctrl+z" else (self._future, self._past)
            )
            if source:
                target.append(Moment(self.pen, self.at, self.pad.body))
                moment = source.pop()
                self.pen, self.at = moment.pen, moment.at
                self._open(body=moment.body)

    # Keeping

    def keep(self) -> None:
        self.flush()
        self.post_message(self.Keep(self.pen.raw))

    def outside(self) -> tuple[bytes, str]:
        return self.pad.text.encode(), ".txt"

    def came_back(self, new: bytes) -> None:
        words = _decoded(new)
        if words != self.pad.text:
            self.pad.body.replace((0, 0), self.pad.body.end, words)
            self.pad.show(self.pad.body)
            self._draw()
            self.post_message(self.Typed())

    def draft(self) -> tuple[bytes, bytes, int]:
        return self.pen.raw, self.pad.text.encode("utf-8", "surrogateescape"), self.at

    def put(self, words: str) -> None:
        """Put a text into the open part, as if typed."""
        self.pad.body.replace((0, 0), self.pad.body.end, words)
        self.pad.show(self.pad.body)
        self._draw()


def part_head(parts: tuple[Part, ...], at: int, mark: Content | None) -> Content:
    """The words over one part: its role, or its place, and whether it is trained."""
    part = parts[at]
    style = ROLE_STYLES.get(part.role, "bold")
    head = line(part.label, style, limit=80)
    if part.role and part.label != part.role:
        head += Content.styled(f"  {part.role}", "$text-muted")
    if mark is None and part.train is not None:
        said = ("train", "$text-success") if part.train else ("no train", "$text-muted")
        mark = Content.styled(*said)
    if mark is not None and mark.plain:
        head += Content("  ") + mark
    if part.side and (not at or parts[at - 1].side != part.side):
        head = heading(part.side) + Content("\n") + head
    return head


def _decoded(new: bytes) -> str:
    """Raises BadInput: what another editor wrote is no text."""
    from store.errors import BadInput

    try:
        return new.decode()
    except UnicodeDecodeError as wrong:
        raise BadInput(
            f"the editor wrote bytes that are not UTF-8 (byte {wrong.start + 1})",
            "the text here is as it was",
        ) from None
