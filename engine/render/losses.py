"""What a template leaves out of a row, and what a row smuggles into it.

Knows the text of a rendering and the turns it is of. Every loss is told by comparing texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from engine.data.rows import Turn
from engine.render.blocks import REASONING
from store.visible import visible

Without = Callable[[Sequence[Turn], Sequence[Mapping[str, object]]], str | None]
"""The text of these turns with these tools; None where the template refuses them."""

Loss = tuple[str, str]

MOST_MISSES = 200
"""Losses of one row that are listed; each costs a walk through its rendering."""


def find(
    turns: Sequence[Turn],
    tools: Sequence[Mapping[str, object]],
    text: str,
    without: Without,
    specials: re.Pattern[str] | None,
) -> tuple[Loss, ...]:
    """(kind, sentence) of everything that does not arrive as it is written."""
    found: list[Loss] = []
    if tools and without(turns, ()) == text:
        found.append(("tools_lost", "the template has no place for tools: they are left out"))
    if any("tool_calls" in turn.extra for turn in turns):
        found += _calls(turns, tools, text, without)
    position = misses = 0
    for number, turn in enumerate(turns, 1):
        # Most texts stand behind the one before: a long conversation is walked through once.
        said = turn.text.strip()
        at = text.find(said, position)
        position = at + len(said) if at >= 0 else position
        if (at < 0 or turn.extra or "</think>" in said) and misses < MOST_MISSES:
            lost = _turn(number, turn, text)
            misses += bool(lost)
            found += lost
        smuggled = None if specials is None else specials.search(turn.text)
        if smuggled is not None:
            found.append(
                (
                    "special_text",
                    f"turn {number} ({turn.role}) has {visible(smuggled.group())} in its text, "
                    "which becomes the special token",
                )
            )
    return tuple(found)


def _calls(
    turns: Sequence[Turn],
    tools: Sequence[Mapping[str, object]],
    text: str,
    without: Without,
) -> list[Loss]:
    bare = [
        Turn(t.role, t.text, t.train, {k: v for k, v in t.extra.items() if k != "tool_calls"})
        if "tool_calls" in t.extra
        else t
        for t in turns
    ]
    if without(bare, tools) == text:
        return [("tools_lost", "the template has no place for tool calls: they are left out")]
    return []


def _turn(number: int, turn: Turn, text: str) -> list[Loss]:
    if "</think>" not in turn.text and turn.text.strip() not in text:
        words = f"turn {number} ({turn.role}): the template leaves out or changes its text"
        return [("text_lost", words)]
    said = [turn.extra[name] for name in REASONING if isinstance(turn.extra.get(name), str)]
    if "</think>" in turn.text:
        said.append(turn.text.split("</think>")[0].replace("<think>", ""))
    if any(str(part).strip() not in text for part in said):
        return [
            ("reasoning_lost", f"turn {number} ({turn.role}): the template drops its reasoning")
        ]
    return []
