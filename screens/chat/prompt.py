"""Where the question is written: enter sends, ctrl+j makes a new line, up and down recall.

Knows text and keys. Does not know who answers.
"""

from __future__ import annotations

from textual import events
from textual.widgets import TextArea

LONGEST = 64 * 1024
"""Characters of a prompt at most: beyond it every key would wait for wrapping."""


class Prompt(TextArea):
    """A text area of one to eight lines which leaves `enter` to the room."""

    def __init__(self) -> None:
        super().__init__(soft_wrap=True, compact=True, id="prompt", placeholder="Ask something")
        self.cursor_blink = False
        self._asked: list[str] = []
        self._recalled = 0

    async def _on_key(self, event: events.Key) -> None:
        # Textual calls the handler of every base class in turn: preventing the default keeps
        # TextArea from typing a line break, and the key goes on to the room.
        if event.key == "enter":
            event.prevent_default()
        elif event.key in ("up", "down") and self._recall(-1 if event.key == "up" else 1):
            event.stop()
            event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        if len(self.text) + len(event.text) > LONGEST:
            event.stop()
            event.prevent_default()
            self.notify(
                f"Too long to paste: {len(event.text):,} characters of {LONGEST:,}.",
                severity="warning",
                markup=False,
            )

    def _recall(self, by: int) -> bool:
        """Put an earlier question back, when the cursor is at the first or last line."""
        row = self.cursor_location[0]
        at_edge = row == 0 if by < 0 else row == self.document.line_count - 1
        place = self._recalled + by
        if not at_edge or not 0 <= place <= len(self._asked):
            return False
        self._recalled = place
        self.text = self._asked[place] if place < len(self._asked) else ""
        self.move_cursor(self.document.end)
        return True

    def take(self) -> str:
        """The question, which is then gone from the prompt and kept for recall."""
        words = self.text.strip("\n")
        if words.strip():
            self._asked.append(words)
            self._recalled = len(self._asked)
            self.text = ""
        return words if words.strip() else ""
