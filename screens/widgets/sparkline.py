"""A curve in one line of text.

Knows how to squeeze numbers into a few block characters. Does not know Textual or colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """At most `width` blocks between the smallest and the largest value; a gap is a space.

    More values than blocks are averaged in equal parts; fewer stay one block each, so a young
    curve is short. A flat curve lies in the middle.
    """
    if width < 1 or not values:
        return ""
    parts = min(width, len(values))
    means = [
        _mean(values[number * len(values) // parts : (number + 1) * len(values) // parts])
        for number in range(parts)
    ]
    known = [value for value in means if value is not None]
    if not known:
        return " " * parts
    low, high = min(known), max(known)
    span = high - low
    if span <= max(abs(high), abs(low)) * 1e-9:
        return "".join(" " if value is None else BLOCKS[3] for value in means)
    top = len(BLOCKS) - 1
    return "".join(
        " " if value is None else BLOCKS[round((value - low) / span * top)] for value in means
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
