"""An answer as it should have been: written over what the model said.

Knows text. Does not know where it goes.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.safe import line
from screens.widgets.textpad import TextPad


class Correction(ModalScreen[str | None]):
    """A pad with the answer; `ctrl+s` accepts, `esc` gives up, twice where it was changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("ctrl+s", "accept", show=False, priority=True),
    ]

    def __init__(self, answer: str, where: str) -> None:
        super().__init__()
        self.answer = answer
        self.where = where
        self._warned = False

    def compose(self) -> ComposeResult:
        with Container(classes="dialog correction") as frame:
            frame.border_title = "The answer as it should be"
            frame.border_subtitle = line(f"ctrl+s add to {self.where}  esc cancel")
            yield TextPad(self.answer)
            yield Static(id="complaint")

    def on_mount(self) -> None:
        pad = self.query_one(TextPad)
        pad.focus()
        pad.go(len(self.answer))

    def action_accept(self) -> None:
        self.dismiss(self.query_one(TextPad).text)

    def action_close(self) -> None:
        if self._warned or self.query_one(TextPad).text == self.answer:
            self.dismiss(None)
            return
        self._warned = True
        warning = line("! esc again gives up what you wrote", "$text-warning")
        self.query_one("#complaint", Static).update(warning)
