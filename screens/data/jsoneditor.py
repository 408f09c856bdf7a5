"""The row under the pen as JSON over several lines, judged while it is written.

Knows JSON as text and where it is wrong. Does not know turns, nor where the row goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.content import Content

from screens.data.editor import Editor
from screens.safe import line
from screens.widgets.padtext import PadText
from screens.widgets.textpad import TextPad


class JsonEditor(Editor):
    """The row as JSON over several lines; what is wrong is said while it is written."""

    kind = "json"
    keys = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*:)')

    def __init__(
        self, number: int, raw: bytes, written: str | None, copy: Callable[[str], None]
    ) -> None:
        """Args: written: a text to go on with; None begins with the row as it is."""
        from engine.data.row.pretty import spread

        super().__init__(number, raw, copy)
        self.first = spread(raw)
        self._begin = self.first if written is None else written
        self.pad.body = PadText(self._begin)
        self._sure: str | None = None
        self.wrong: str | None = None

    def compose(self) -> ComposeResult:
        yield self.pad
        yield self.foot

    def on_mount(self) -> None:
        self.pad.show(PadText(self._begin), 0)
        self.begin()
        self.post_message(self.Typed())

    @property
    def changed(self) -> bool:
        return self.pad.text != self.first

    @on(TextPad.Moved)
    def _moved(self, event: TextPad.Moved) -> None:
        event.stop()

    @on(TextPad.Changed)
    def _changed(self, event: TextPad.Changed) -> None:
        event.stop()
        self._sure = None
        self.post_message(self.Typed())

    def judged(self, at: int | None, words: Content) -> None:
        """Show what is wrong, and where; None for nowhere."""
        self.pad.mark(at)
        self.say(words)

    def keep(self) -> None:
        from engine.data.row.pretty import fold

        written = self.pad.text
        if written == self.first:
            self.post_message(self.Keep(self.base))
            return
        at, complaint = judge(self.number, written, self.base)
        if complaint and self._sure != written:
            self._sure = written
            self.pad.mark(at)
            if at is not None:
                self.pad.go(at)
            anyway = Content.styled("\nctrl+s again keeps it as it is", "$text-muted")
            self.say(Content.styled("✗ ", "$text-error") + line(complaint) + anyway)
            return
        self.post_message(self.Keep(fold(written, self.base)))

    def outside(self) -> tuple[bytes, str]:
        from engine.data.row.pretty import encoded

        return encoded(self.pad.text), ".json"

    def came_back(self, new: bytes) -> None:
        from engine.data.row.pretty import decoded

        self.put(decoded(new))
        self.post_message(self.Typed())

    def put(self, words: str) -> None:
        """Put a text in place of all, as if typed."""
        self.pad.body.replace((0, 0), self.pad.body.end, words)
        self.pad.show(self.pad.body, 0)

    def draft(self) -> tuple[bytes, bytes, int]:
        return self.base, self.pad.text.encode("utf-8", "surrogateescape"), 0


def judge(number: int, written: str, base: bytes) -> tuple[int | None, str]:
    """What is wrong with a row as JSON: how many characters before it, and words; ("" for nothing).

    May take long for a long text: call it from a worker.
    """
    from engine.data.row.pretty import fold, problem
    from engine.data.rows import parse_row

    wrong = problem(written)
    if wrong is not None:
        return wrong.at, wrong.words
    error = parse_row(number, fold(written, base)).error
    return None, (error or "").removeprefix(f"line {number}: ")
