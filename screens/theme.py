"""Colours and style sheets. Knows names of colours; style sheets use them as `$variables` only.

Besides Textual's own variables there are sides, the same in every room: `$side-a` (A, left, blue)
and `$side-b` (B, right, orange), in the chat also `$side-c` and `$side-d`. Each theme may override
them.
"""

from __future__ import annotations

from textual.color import Color
from textual.css.stylesheet import Stylesheet
from textual.theme import Theme

RUN_COLOURS = (
    "#56B4E9", "#E69F40", "#2FBF8F", "#B58BE8", "#E2714A", "#E87FB4",
    "#9CBF3F", "#4FC4CF", "#D2B04C", "#7F8CFF", "#F09A8A", "#9DB2C8",
)  # fmt: skip
"""The colours of runs, by their number: neighbours are far apart, none is a shade of another."""

SIDES = {
    "side-a": "#4C9BE8",
    "side-b": "#E8924C",
    "side-c": "#A98BE6",
    "side-d": "#E07FB8",
    **{f"run-{slot}": colour for slot, colour in enumerate(RUN_COLOURS)},
}
"""Blue, orange, violet and pink of equal weight, readable on dark and on light ground; then the
runs'."""


class ParsedOnce(Stylesheet):
    """Style sheets that are parsed again only where a colour changed.

    Textual parses all of them anew at every room that is shown for the first time.
    """

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()


def quiet(variables: dict[str, str]) -> str:
    """The colour of `$text-muted`: Textual's is a share of "auto", which in a line of mixed styles
    comes out as bright as the rest, so it is mixed here once from the theme's own two colours."""
    ground = Color.parse(variables["background"])
    return ground.blend(Color.parse(variables["foreground"]), 0.58).hex


WORKBENCH = Theme(
    name="workbench",
    primary="#5CC8A8",
    secondary="#7C8794",
    accent="#5CC8A8",
    foreground="#D5DAE0",
    background="#101418",
    surface="#151A20",
    panel="#1E252D",
    success="#6CC070",
    warning="#E0B050",
    error="#E0626A",
    dark=True,
    variables={
        **SIDES,
        "block-cursor-background": "#22433B",
        "block-cursor-foreground": "#E8EEF2",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1E252D",
        "block-cursor-blurred-foreground": "#D5DAE0",
        "border": "#5CC8A8",
        "border-blurred": "#2E3843",
        "footer-key-foreground": "#5CC8A8",
        "input-selection-background": "#5CC8A8 30%",
        "scrollbar": "#2E3843",
        "scrollbar-hover": "#43505E",
        "scrollbar-active": "#5CC8A8",
        "scrollbar-background": "#101418",
        "scrollbar-corner-color": "#101418",
        "scrollbar-background-hover": "#101418",
        "scrollbar-background-active": "#101418",
    },
)
"""One accent, a quiet ground."""
