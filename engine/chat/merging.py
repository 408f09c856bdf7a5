"""What several workers say to one question, as one stream.

Knows links and events. Keeps what every row said so far: a worker that dies says no last words.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from dataclasses import dataclass

from engine.chat.link import Link
from engine.chat.protocol import Delta, Done, Event, Failed, Loading, Started
from store.errors import WorkerDied


@dataclass
class Half:
    """What a row has said so far."""

    text: str = ""
    tokens: int = 0


def merge(pending: dict[Link, dict[int, Half]], number: int) -> Iterator[Event]:
    """Events of request `number` from all links until no row is pending.

    Args:
        pending: the rows of each link by their columns; what is answered leaves it.
    """
    with selectors.DefaultSelector() as selector:
        for link in pending:
            selector.register(link, selectors.EVENT_READ, link)
        while any(pending.values()):
            ready = selector.select(timeout=0.5)
            if not ready and any(link.closed for link in pending):
                return  # closed by another thread, which a selector does not notice
            for key, _ in ready:
                source: Link = key.data
                try:
                    events = list(source.receive())
                except WorkerDied as error:
                    selector.unregister(source)
                    events = [Failed(None, error.message, error.hint, died=True)]
                for event in events:
                    yield from _one(event, number, pending[source])


def _one(event: Event, number: int, rows: dict[int, Half]) -> Iterator[Event]:
    match event:
        case Failed(id=None | int() as told, column=None) if told in (None, number):
            # The whole request was refused: that is every column's answer.
            for column, half in sorted(rows.items()):
                yield Failed(
                    number, event.message, event.hint, column, event.died, half.text, half.tokens
                )
            rows.clear()
        case Done() | Failed() if event.id == number and event.column is not None:
            rows.pop(event.column, None)
            yield event
        case Delta() if event.id == number:
            half = rows[event.column]
            half.text += event.text
            half.tokens += event.tokens
            yield event
        case Started() if event.id == number:
            yield event
        case Loading():
            yield event
        case _:
            return
