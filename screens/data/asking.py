"""A line at the foot of the list in which something is typed: what to find, or a filter.

Knows a sign, a text, a note beside it and a complaint below. Does not know what is asked for.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widgets import Input, Static

MOST_KEPT = 50
"""Texts that are remembered for the arrow keys."""


class AskInput(Input):
    """One line with the texts typed before on the arrow keys."""

    def __init__(self, placeholder: str, widget_id: str) -> None:
        super().__init__(placeholder=placeholder, id=widget_id, compact=True)
        self.cursor_blink = False
        self.before: list[str] = []
        self._at = 0

    def keep(self, words: str) -> None:
        """Remember what was asked."""
        if words in self.before:
            self.before.remove(words)
        self.before = [*self.before, words][-MOST_KEPT:]
        self._at = len(self.before)

    def step(self, by: int) -> None:
        """Bring back what was asked before."""
        self._at = max(0, min(self._at + by, len(self.before)))
        self.value = self.before[self._at] if self._at < len(self.before) else ""
        self.cursor_position = len(self.value)

    def key_up(self) -> None:
        self.step(-1)

    def key_down(self) -> None:
        self.step(1)


class AskLine(Container):
    """Sign, text, note; below them a complaint or a hint while there is one."""

    def __init__(self, sign: str, placeholder: str, widget_id: str) -> None:
        super().__init__(id=f"{widget_id}-line")
        self.sign = sign
        self.input = AskInput(placeholder, widget_id)

    def compose(self) -> ComposeResult:
        yield Static(classes="below")
        with Horizontal():
            yield Static(Content.styled(f" {self.sign}", "$accent bold"), classes="sign")
            yield self.input
            yield Static(classes="note")

    def note(self, words: Content) -> None:
        """Set what stands beside the text."""
        self.query_one(".note", Static).update(words)

    def below(self, words: Content | None) -> None:
        """Set what stands above the line, None for nothing."""
        below = self.query_one(".below", Static)
        below.display = words is not None
        below.update(words or Content(""))

    def complain(self, words: Content | None) -> None:
        """Say what is wrong with the text."""
        self.below(None if words is None else Content.styled("✗ ", "$text-error") + words)
