"""Numbers, times and states as a person says them.

Knows units and signs. Does not know where a number comes from.
"""

from __future__ import annotations

import time

from textual.content import Content

STATES: dict[str, tuple[str, str]] = {
    "queued": ("◌", "$foreground 60%"),
    "running": ("▶", "$accent"),
    "paused": ("⏸", "$text-warning"),
    "stopped": ("■", "$text-warning"),
    "finished": ("✓", "$text-success"),
    "failed": ("✗", "$text-error"),
    "lost": ("✗", "$text-error"),
    "proved": ("✓", "$text-success"),
    "unproved": ("✗", "$text-error"),
    "pass": ("✓", "$text-success"),
    "warn": ("!", "$text-warning"),
    "fail": ("✗", "$text-error"),
}
"""Sign and colour of a status or verdict; the word always stands beside the sign."""

ALIVE = frozenset({"queued", "running"})
"""States in which a run changes by itself."""


def now() -> float:
    """Unix seconds: the one clock of the panels, so that a test can stop it."""
    return time.time()


def clock(moment: float) -> str:
    """A moment as the time of day."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def state(status: str, words: str | None = None) -> Content:
    """A status as sign and word, in its colour."""
    sign, colour = STATES.get(status, ("·", "$foreground 60%"))
    return Content.styled(f"{sign} {words or status}", colour)


def duration(seconds: float) -> str:
    """`42 s`, `3 m 20 s`, `2 h 05 m`, `3 d 4 h`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def age(seconds: float) -> str:
    """How long ago: `just now`, `4 min ago`, `3 h ago`, `2 d ago`."""
    if seconds < 60:
        return "just now"
    for unit, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {word} ago"
    return "just now"


def size(count: float) -> str:
    """Bytes in powers of ten, three digits: `4.20 GB`, `812 kB`."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            value = count / unit
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {word}"
    return f"{count:.0f} B"


def plural(count: int, noun: str) -> str:
    """`1 row`, `1,746 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def bar(share: float, width: int) -> Content:
    """A progress bar of so many cells, the done part in the accent."""
    done = round(min(max(share, 0.0), 1.0) * width)
    return Content.assemble(("━" * done, "$accent"), ("━" * (width - done), "$foreground 15%"))
