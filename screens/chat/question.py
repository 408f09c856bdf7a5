"""A question as it stands in a column: its words, which version it is, and whether it is chosen.

Knows words. Does not know chats.
"""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from screens.safe import clip, text

SHOWN = 4000
"""Characters of a question that a transcript shows."""


class Question(Static):
    """Words behind a mark. `turn` is its number in the records, 0 where it has none."""

    def __init__(self, words: str, turn: int = 0) -> None:
        super().__init__(classes="question")
        self.words = words
        self.turn = turn
        self._note = ""
        self._chosen = False
        self._draw()

    def tell(self, *, note: str | None = None, chosen: bool | None = None) -> None:
        """What stands after the words (`2/3 · seed 4`), and whether it is the chosen one."""
        note = self._note if note is None else note
        chosen = self._chosen if chosen is None else chosen
        if (note, chosen) != (self._note, self._chosen):
            self._note, self._chosen = note, chosen
            self.set_class(chosen, "-chosen")
            self._draw()

    def _draw(self) -> None:
        shown, lost = clip(self.words, SHOWN)
        said = Content.styled(
            "▸ " if self._chosen else "› ", "$accent" if self._chosen else "$text-muted"
        )
        said += text(shown, "bold")
        if lost:
            said += Content.styled(f"… and {lost:,} characters more", "$text-muted")
        if self._note:
            said += Content.styled(f"  {self._note}", "$text-muted")
        self.update(said)
