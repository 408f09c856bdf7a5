"""Where the question is written: enter sends, ctrl+j makes a new line, up and down recall.

Knows text and keys. Does not know who answers, nor where earlier prompts are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.strip import Strip

from screens.widgets.textpad import TextPad

LONGEST = 2_000_000
"""Characters of a prompt at most; the context of a model is mostly far shorter."""
PLACEHOLDER = "Ask something"


class Prompt(TextPad):
    """A pad of one to eight lines which leaves `enter` to the room, and remembers.

    Up and down bring earlier prompts back where nothing is written, and go on from one that was
    brought back until it is changed.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"pad--hint"}
    DEFAULT_CSS = """
    Prompt > .pad--hint { color: $text-muted; }
    """

    def __init__(
        self,
        copy: Callable[[str], None] | None = None,
        earlier: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Args: earlier: prompts that were asked before, oldest first."""
        super().__init__(widget_id="prompt", copy=copy)
        self._earlier = earlier
        self._recall: list[str] = []
        self._place = 0
        self._shown: str | None = None

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y or self.body.end != (0, 0):
            return strip
        cursor = list(strip)[:1] if self.has_focus else []
        words = PLACEHOLDER[1:] if cursor else PLACEHOLDER
        if cursor:
            cursor = [Segment(PLACEHOLDER[0], cursor[0].style)]
        ground = self.rich_style
        muted = ground + self.get_component_rich_style("pad--hint", partial=True)
        return Strip([*cursor, Segment(words, muted)]).adjust_cell_length(self.size.width, ground)

    def _pressed(self, key: str, character: str | None) -> bool:
        if key == "enter":
            return False
        if key in ("up", "down") and self._recalls(-1 if key == "up" else 1):
            return True
        return super()._pressed(key, character)

    def _on_paste(self, event: events.Paste) -> None:
        # Textual calls the handler of every base class in turn, unless it is prevented.
        if len(self.text) + len(event.text) > LONGEST:
            event.stop()
            event.prevent_default()
            self.notify(
                f"Too long to paste: {len(event.text):,} characters; a prompt has {LONGEST:,} "
                "at most. Nothing was put in.",
                severity="warning",
                markup=False,
            )

    def _recalls(self, by: int) -> bool:
        """Put an earlier prompt back, or the empty one after the newest."""
        words = self.text
        if words and words != self._shown:
            return False
        if not words or self._shown is None:
            self._recall = list(self._earlier())
            self._place = len(self._recall)
        place = self._place + by
        if not 0 <= place <= len(self._recall):
            return bool(self._recall)
        self._place = place
        self._shown = self._recall[place] if place < len(self._recall) else None
        self.load(self._shown or "", len(self._shown or ""))
        return True

    def take(self) -> str:
        """The question, which is then gone from the prompt; empty where only spaces are."""
        words = self.text.strip("\n")
        if not words.strip():
            return ""
        self.text = ""
        self._shown = None
        return words
