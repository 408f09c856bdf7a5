"""Keys in the order they were typed, each to where the one before it led.

Over a slow line, or while the machine is busy, keys come in bursts: `/poodle⏎` at once. Textual
hands each to what has the focus at that moment, and that is not yet the line which `/` opens. Here
a key waits until the one before it is done, and what that led to: a message is sent after it along
the same way, and comes back when all before it is done; then the screen that it opened has to be
there. What is typed before the first screen is ready is kept for it. Knows no room.
"""

from __future__ import annotations

import time
from collections import deque

from textual import events, on
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer

PATIENCE = 3.0
"""Seconds after which a key is not waited for any more."""
AT_ONCE = ("ctrl+c", "ctrl+q")
"""Keys that wait for nothing: they leave."""


class Passed(Message):
    """Everything before it on its way up from a widget is done, this key among it."""

    def __init__(self, key: events.Key) -> None:
        super().__init__()
        self.key = key


class InTurn(App[None]):
    """An application in which no key overtakes what the one before it does."""

    def __init__(self) -> None:
        super().__init__()
        self._typed: deque[events.Key] = deque()
        self._under_way: events.Key | None = None
        self._rounds = 0
        """How often a message has to go the way of that key before the next may; 0: not asked."""
        self._came_back = False
        self._target: MessagePump = self
        self._handed = 0.0
        self._settled: Screen[object] | None = None
        """The screen that was there when the last key was handed over, or came since."""
        self._holding = True
        self._patience: Timer | None = None

    def release_keys(self) -> None:
        """What the first keys are meant for is there: hand over what was typed meanwhile."""
        self._holding = False
        self.call_later(self._hand_over)

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.key in AT_ONCE:
            await super().on_event(event)
        elif event.is_forwarded:
            await super().on_event(event)
            if event is self._under_way:
                self._came_back = True
        else:
            if self._holding and event.key == "ctrl+j":
                event = events.Key("enter", "\r")  # typed before the terminal was ours
            self._typed.append(event)
            await self._hand_over()

    async def _hand_over(self) -> None:
        """Hand over what waits, as far as nothing is in its way."""
        while self._typed and not self._holding:
            if time.monotonic() - self._handed > PATIENCE:
                self._under_way, self._settled = None, self.screen
            if self._in_the_way():
                if self._patience is None:
                    self._patience = self.set_timer(PATIENCE, self._no_longer)
                return
            if self._patience is not None:
                self._patience.stop()
                self._patience = None
            key = self._typed.popleft()
            self._under_way, self._handed = key, time.monotonic()
            self._rounds, self._came_back = 0, False
            self._settled, self._target = self.screen, self.focused or self.screen
            await super().on_event(key)
            if not key.is_forwarded:
                self._under_way = None

    def _in_the_way(self) -> bool:
        """Whether the next key has to wait; sees to it that somebody says when it need not."""
        if self._under_way is not None:
            if not self._rounds:
                # What the key posts itself comes after a message that was sent too early.
                self._rounds = 1 if self._came_back else 2
                self._ask(self._under_way)
            if self._under_way is not None:
                return True
        screen = self.screen
        if screen is self._settled:
            return False
        screen.call_after_refresh(self.call_later, self._there, screen)
        return True

    def _ask(self, key: events.Key) -> None:
        if not self._target.post_message(Passed(key)):
            self._under_way = None

    async def _there(self, screen: Screen[object]) -> None:
        self._settled = screen
        await self._hand_over()

    async def _no_longer(self) -> None:
        self._patience = None
        await self._hand_over()

    @on(Passed)
    async def _passed(self, event: Passed) -> None:
        if event.key is self._under_way:
            self._rounds -= 1
            if self._rounds:
                self._ask(event.key)
            else:
                self._under_way = None
            await self._hand_over()
