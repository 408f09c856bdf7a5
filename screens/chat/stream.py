"""From a chat session's events to messages for the interface, at most twenty a second and column.

Runs in a worker thread. Knows events and how to coalesce them; touches no widget. Text waits until
what was posted before is painted, and for as long again twice: keys come before words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from textual.message import Message

from engine.chat import protocol
from engine.chat.protocol import Delta, Event
from store.errors import WorkbenchError

PAINT_SECONDS = 0.05
"""Least time between two paints of one column."""
SHARE = 3
"""A paint that took so long is followed by the next after so many times as long."""
LONGEST = 1.0
"""Seconds after which text is posted, whether or not that before it was painted."""


class Streamed(Message):
    """More text of one column; `painted` is to be called once it is on the screen."""

    def __init__(self, column: int, text: str, painted: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.column = column
        self.text = text
        self.painted = painted


class Seated(Message):
    """What the columns' references stand for: (reference with its step, label) a column."""

    def __init__(self, models: list[tuple[str, str]]) -> None:
        super().__init__()
        self.models = models


class Told(Message):
    """Any other event of the session, as it came."""

    def __init__(self, event: protocol.Message) -> None:
        super().__init__()
        self.event = event


class Ended(Message):
    """The session has said everything, or broke with an error."""

    def __init__(self, error: WorkbenchError | None = None) -> None:
        super().__init__()
        self.error = error


@dataclass
class Coalescer:
    """Gathers deltas and posts them in one piece a column when the time has come."""

    post: Callable[[Message], object]
    clock: Callable[[], float] = time.monotonic
    _waiting: dict[int, list[str]] = field(default_factory=dict)
    _posted: float = 0.0
    _next: float | None = 0.0
    """When text may be posted again; None while what was posted is not painted yet."""

    def feed(self, event: protocol.Message) -> None:
        """Take one event; whatever is not text is posted at once, after the text before it."""
        match event:
            case Delta():
                self._waiting.setdefault(event.column, []).append(event.text)
                due = self._posted + LONGEST if self._next is None else self._next
                if self.clock() >= due:
                    self._post(next(iter(self._waiting)))
            case _:
                self.flush()
                self.post(Told(event))

    def flush(self) -> None:
        """Post what is waiting."""
        for column in list(self._waiting):
            self._post(column)

    def _post(self, column: int) -> None:
        """One column at a time, who waits longest first: a key waits for one at most."""
        text = "".join(self._waiting.pop(column))
        self._posted, self._next = self.clock(), None
        self.post(Streamed(column, text, self._painted))

    def _painted(self) -> None:
        """Called in the interface's thread."""
        took = self.clock() - self._posted
        least = PAINT_SECONDS / (len(self._waiting) + 1)
        self._next = self._posted + max(least, took * SHARE)


def pump(events: Iterable[Event], post: Callable[[Message], object]) -> None:
    """Post everything that a session says until it ends."""
    coalescer = Coalescer(post)
    for event in events:
        coalescer.feed(event)
    coalescer.flush()
