"""Comparing texts: what two share, where one stands in another, ranges put together.

Knows strings and ranges of characters only.
"""

from __future__ import annotations

from collections.abc import Sequence

Range = tuple[int, int]

HEADER = 1024
"""Characters in which a template may write something before a turn only while it is the last."""


def overlap(alone: str, here: str) -> int:
    """How long the longest end of `alone`, less at most a header, is that `here` begins with."""
    probe, at = here[:4], -1
    while probe and (at := alone.find(probe, at + 1, HEADER)) >= 0:
        if here.startswith(alone[at:]):
            return len(alone) - at
    return 0


def unchanged(text: str, start: int, said: str, piece: str) -> int | None:
    """Where `said` ends that stands at `start` with `piece` behind it; None if it does not."""
    for form in (said, said.strip(), said.lstrip(), said.rstrip()):
        if text.startswith(form, start) and text.startswith(piece, start + len(form)):
            return start + len(form)
    return None


def joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """The same characters as few ranges, in order; empty ones are left out."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return tuple(found)
