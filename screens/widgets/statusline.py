"""The line at the bottom: state of what runs, then at most eight keys.

Knows which bindings are live for what is focused. Does not know what they do.
"""

from __future__ import annotations

from typing import Any

from textual import events
from textual.content import Content
from textual.keys import _character_to_key
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from screens.actions import display_key

MOST_KEYS = 8


def live_keys(screen: Screen[Any]) -> list[tuple[str, str, str]]:
    """(key, label, action) of every shown binding that works right now, in the table's order.

    A key is left out while the focused widget would take it as text.
    """
    focused = screen.focused
    found: dict[str, tuple[str, str, str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.show or not active.enabled or binding.action in found:
            continue
        character = _as_character(binding.key)
        if focused is not None and focused.check_consume_key(binding.key, character):
            continue
        namespace = "app" if active.node is screen.app else "screen"
        action = binding.action
        if active.node is focused:
            namespace = "focused"
        action = action if "." in action.split("(")[0] else f"{namespace}.{action}"
        found[binding.action] = (binding.key, binding.description, action)
    return sorted(found.values(), key=lambda key: key[2] == "app.help")


def _as_character(key: str) -> str | None:
    """The character that a key types, or None."""
    if len(key) == 1:
        return key
    for character in "[]?!/<>= ":
        if key == _character_to_key(character):
            return character
    return None


class StatusLine(Widget):
    """Status left, keys right; keys can be clicked."""

    ALLOW_SELECT = False
    status: reactive[Content] = reactive(Content(""))
    running: reactive[Content] = reactive(Content(""))
    """What trains now, before the room's own status."""

    def __init__(self) -> None:
        super().__init__()
        self._zones: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _screen: Screen[None]) -> None:
        self.refresh()

    def render(self) -> Content:
        width = self.size.width
        keys = live_keys(self.screen)
        both = [part for part in (self.running, self.status) if part.plain]
        status = Content(" ") + Content(" · ").join(both)
        least = min(status.cell_length, max(18, width // 4))
        kept = self.fit(keys, width - least - 3)
        parts: list[Content] = []
        length = 0
        self._zones = []
        for key, label, action in kept:
            shown = display_key(key)
            piece = len(shown) + 1 + len(label)
            self._zones.append((length, length + piece, action))
            parts += [
                Content.styled(shown, "$accent bold"),
                Content.styled(f" {label}", "$text-muted"),
                Content("  "),
            ]
            length += piece + 2
        left = max(0, width - length)
        self._zones = [(left + start, left + end, action) for start, end, action in self._zones]
        shown_status = status.truncate(max(0, left - 1), ellipsis=True, pad=True)
        return Content("").join([shown_status, Content(" "), *parts])

    @staticmethod
    def fit(keys: list[tuple[str, str, str]], space: int) -> list[tuple[str, str, str]]:
        """As many keys as there is space for; the last is help and stays."""
        kept = keys[: MOST_KEYS - 1] + keys[-1:] if len(keys) > MOST_KEYS else list(keys)
        while len(kept) > 1:
            used = sum(len(display_key(key)) + len(label) + 3 for key, label, _ in kept)
            if used <= space:
                break
            del kept[-2]
        return kept

    def on_click(self, event: events.Click) -> None:
        """Run the key under the pointer."""
        for start, end, action in self._zones:
            if start <= event.x < end:
                self.app.call_later(self._run, action)
                return

    async def _run(self, action: str) -> None:
        await self.app.run_action(action, default_namespace=self.screen)
