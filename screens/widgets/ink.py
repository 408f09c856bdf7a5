"""What the parts of a chart are painted with, and the colour by which a run is known.

Knows names of styles and theme variables. Does not know curves or cells.

A run keeps its colour in every room, whatever else is shown: it follows from the run's number
alone, so that neither an overlay nor a restart changes it. Neighbours are far apart in hue.
"""

from __future__ import annotations

from screens.theme import RUN_COLOURS

PARTS = {
    "axis": "$foreground 35%",
    "grid": "$foreground 12%",
    "label": "$foreground 60%",
    "cursor": "$accent",
    "empty": "$foreground 50%",
    "quiet": "$foreground 60%",
    "good": "$text-success",
    "warn": "$text-warning",
    "bad": "$text-error",
}
_LINES = {
    "side-a": "$side-a",
    "side-b": "$side-b",
    **{f"run{slot}": f"$run-{slot}" for slot in range(len(RUN_COLOURS))},
}

INKS = ("title", *PARTS, *_LINES, *(f"{line}-raw" for line in _LINES))
"""Every style a chart can paint with; a line's `-raw` is its faint shadow."""

INK_CSS = "\n".join(
    [
        "& > .chart--title { color: $foreground; text-style: bold; }",
        *(f"& > .chart--{name} {{ color: {colour}; }}" for name, colour in PARTS.items()),
        *(f"& > .chart--{name} {{ color: {colour}; }}" for name, colour in _LINES.items()),
        *(f"& > .chart--{name}-raw {{ color: {colour} 35%; }}" for name, colour in _LINES.items()),
    ]
)


def run_ink(run_id: int) -> str:
    """The style of a run's curve."""
    return f"run{run_id % len(RUN_COLOURS)}"


def run_colour(run_id: int) -> str:
    """The theme variable of a run's colour."""
    return f"$run-{run_id % len(RUN_COLOURS)}"
