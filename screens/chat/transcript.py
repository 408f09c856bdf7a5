"""The turns of a column as they scroll by: the newest of them, older ones on demand.

Knows widgets in a row. A conversation may be long, and every widget makes each key a little slower:
answers before the last one are one widget each, and beyond some rounds only a note stands for what
came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.reactive import Reactive
from textual.scrollbar import ScrollBar
from textual.widget import Widget
from textual.widgets import Static

from screens.chat.question import Question
from screens.safe import LIMIT, line, text
from screens.widgets.markdown import rendered

if TYPE_CHECKING:
    from textual.layout import DockArrangeResult

    from store.chats import Turn as Recorded

SHOWN = 20
"""Rounds that are shown of a conversation at first, and kept while it grows."""
_SLACK = 10

Rounds = Sequence[tuple["Recorded", "Recorded | None"]]
"""Questions, each with the column's answer if it gave one."""


class Transcript(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The turns of a column; keeps to the bottom until the reader scrolls away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
    ]

    virtual_size = Reactive(Size(0, 0), repaint=False)
    """Not a reason for another layout, as it is in Textual: it is the outcome of one."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0
        self._follows = False
        self.shown = SHOWN
        """Rounds that are kept, with some more."""

    def follow(self) -> None:
        """Have the end in view once what is new has its place.

        The view moves in the layout that makes the place: to scroll afterwards is a second layout,
        in which Textual paints the whole screen. (Its `anchor` goes past the top of short ones.)
        """
        self._follows = True
        self.call_after_refresh(self._arrived)

    def _arrived(self) -> None:
        self._follows = False

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        found = super().arrange(size, optimal)
        if self._follows and not optimal:
            end = max(0, found.total_region.bottom - size.height)
            self.set_reactive(Transcript.scroll_y, end)
            self.set_reactive(Transcript.scroll_target_y, end)
            self.vertical_scrollbar.set_reactive(ScrollBar.position, end)
        return found

    def leave_out(self, count: int) -> list[Widget]:
        """What stands for so many earlier rounds."""
        self._left_out = count
        if not count:
            return []
        words = f"↑ {count:,} earlier questions" if count > 1 else "↑ one earlier question"
        return [Static(line(words, "$text-muted"), classes="earlier")]

    def trim(self) -> None:
        """Let the oldest go where a conversation has grown long."""
        asked = [place for place, child in enumerate(self.children) if isinstance(child, Question)]
        gone = len(asked) - self.shown
        if gone < _SLACK:
            return
        old = self.children[: asked[gone]]
        with self.app.batch_update():
            self.mount_all(self.leave_out(self._left_out + gone), before=0)
            self.remove_children(old)


def past(rounds: Rounds, *, hidden: bool) -> list[Widget]:
    """Rounds that are over, two widgets each; `hidden` where nothing may tell who answered."""
    made: list[Widget] = []
    spoke = ""
    for question, answer in rounds:
        by = answer.model if answer is not None and answer.model else spoke
        if spoke not in ("", by) and not hidden:
            made.append(spoken_by(by))
        spoke = by
        made += [Question(question.text, question.id), Static(_said(answer), classes="past")]
    return made


def spoken_by(model: str) -> Static:
    """A line that says who answers from here on."""
    return Static(Content.styled("from here ", "$text-muted") + line(model, "bold"))


def _said(answer: Recorded | None) -> Content:
    if answer is None:
        return Content.styled("not answered here", "$text-muted italic")
    parts: list[Content] = []
    for block in rendered(answer.text[:LIMIT]):
        before = "\n" if block.gap and parts else ""
        parts.append(Content(f"{before}{' ' * block.indent}{block.marker}") + block.content)
    if len(answer.text) > LIMIT:
        parts.append(text(answer.text)[LIMIT:])
    if answer.stop not in ("turn end", None):
        parts.append(Content.styled(_ENDED.get(answer.stop, ""), "$text-warning"))
    return Content("\n").join(parts) if parts else Content.styled("(nothing)", "$text-muted")


_ENDED = {"length": "✂ limit", "stopped": "■ stopped", "died": "✗ half: the worker died",
          "edited": "✎ written by hand"}  # fmt: skip
