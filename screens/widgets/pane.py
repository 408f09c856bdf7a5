"""A titled region of a room, and what it shows when there is nothing in it.

Knows borders and titles. Does not know contents.
"""

from __future__ import annotations

from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static


class Pane(Container):
    """A region with a quiet border, which takes the accent while something in it has focus."""

    def title_is(self, title: Content, note: Content | None = None) -> None:
        """Set the words in the border, and a note after them."""
        self.border_title = _spaced(title if note is None else title + Content("  ") + note)


def _spaced(words: Content) -> Content:
    return Content(" ") + words + Content(" ") if words.plain else words


class EmptyState(Static):
    """What would be here, and which key makes it."""

    def __init__(
        self, what: str, keys: tuple[tuple[str, str], ...] = (), *, widget_id: str | None = None
    ) -> None:
        """Args: what: one sentence; keys: (key, what it does) lines below it."""
        super().__init__(empty_state(what, keys), id=widget_id)


def empty_state(what: str, keys: tuple[tuple[str, str], ...]) -> Content:
    """The words of an empty state as centred lines."""
    lines = [Content.styled(what, "$text-muted"), Content("")]
    for key, does in keys:
        lines.append(Content.assemble((key, "$accent bold"), ("  ", ""), (does, "$text-muted")))
    return Content("\n").join(lines)


def focus_within(widget: Widget) -> bool:
    """Whether the widget or something inside it is focused."""
    focused = widget.screen.focused
    return focused is not None and widget in focused.ancestors_with_self
