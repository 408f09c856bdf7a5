"""The line on top: tabs left, workspace and device right.

Knows the names of the rooms. Does not know what is in them.
"""

from __future__ import annotations

from pathlib import Path

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from screens.actions import ROOMS
from screens.safe import visible


def short_path(path: Path) -> str:
    """A path as a person would say it: below home with `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


class TopLine(Widget):
    """Five tabs, each its own key; click one to go there."""

    ALLOW_SELECT = False
    can_focus = False
    place: reactive[str] = reactive("")
    """Workspace and device."""

    def __init__(self, room: str, place: str) -> None:
        super().__init__()
        self.room = room
        self.set_reactive(TopLine.place, place)

    def _tabs(self) -> list[tuple[str, str, str]]:
        """(room, number, label) of each tab."""
        return [(room, str(number), label) for number, (room, label) in enumerate(ROOMS, 1)]

    def render(self) -> Content:
        parts: list[Content] = [Content(" ")]
        for room, number, label in self._tabs():
            here = room == self.room
            parts.append(Content.styled(f"{number} ", "$accent bold" if here else "$text-muted"))
            parts.append(Content.styled(label, "bold" if here else "$text-muted"))
            parts.append(Content("  "))
        tabs = Content("").join(parts)
        space = self.size.width - tabs.cell_length - 1
        place = visible(self.place)
        if len(place) > space:
            place = "…" + place[len(place) - space + 1 :] if space > 12 else ""
        right = Content.styled(place.rjust(space) + " ", "$text-muted")
        return tabs + right

    def on_click(self, event: events.Click) -> None:
        """Go to the tab under the pointer."""
        start = 1
        for room, number, label in self._tabs():
            end = start + len(number) + 1 + len(label)
            if start <= event.x < end:
                self.app.call_later(self.app.run_action, f"app.go('{room}')")
                return
            start = end + 2
