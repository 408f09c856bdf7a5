"""Which tokens are which turn's, for a reader: nothing of it decides what is trained.

Knows renderings of prefixes. Where those do not tell, the turns' own texts do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from engine.data.rows import Turn
from engine.render.blocks import Conversation, Render
from engine.render.rendered import Span
from engine.render.template import Message, TemplateRefused
from engine.render.tokenrange import Places

MOST_TURNS = 200
"""Turns whose prefixes are rendered; those of a longer conversation are told by their texts."""

MOST_MISSES = 200
"""Texts that are looked for in vain in one rendering; each costs a walk through all of it."""


def spans(
    render: Render,
    messages: Sequence[Message],
    turns: Sequence[Turn],
    conversation: Conversation,
    text: str,
    places: Places,
    runs: Sequence[tuple[int, int]],
    count: int,
) -> tuple[Span, ...]:
    """One span a turn, from the end of the one before it; none where the turns cannot be told."""
    found: list[Span] = []
    start = 0
    for number, turn in enumerate(turns):
        end = count
        if number + 1 < len(turns):
            edge = _edge(render, messages, conversation, text, number)
            if edge is None:
                return ()
            end = max(places.first_from(edge), start)
        trained = any(a < end and b > start for a, b in runs)
        found.append(Span(turn.role, start, end, trained))
        start = end
    return tuple(found)


def _edge(
    render: Render,
    messages: Sequence[Message],
    conversation: Conversation,
    text: str,
    number: int,
) -> int | None:
    """The character after turn `number`."""
    prefix = None
    if len(messages) <= MOST_TURNS:
        with contextlib.suppress(TemplateRefused):
            prefix = render(messages[: number + 1], False).text
    if prefix and text.startswith(prefix):
        return len(prefix)
    return conversation.end_of(number)


def parts(turns: Sequence[Turn], text: str, places: Places) -> tuple[tuple[str, int], ...]:
    """(role, tokens) of each turn's text, found one after the other; 0 where it is not there."""
    found: list[tuple[str, int]] = []
    position = misses = 0
    for turn in turns:
        said = turn.text.strip()
        at = text.find(said, position) if said and misses < MOST_MISSES else -1
        if at < 0:
            misses += bool(said)
            found.append((turn.role, 0))
            continue
        position = at + len(said)
        found.append((turn.role, places.first_from(position) - places.first_from(at)))
    return tuple(found)
