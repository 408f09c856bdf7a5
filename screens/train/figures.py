"""The numbers beside the loss: aligned on the decimal point, each with its trend.

Knows how each metric is written and where its point lies. Does not know where it was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.sparkline import sparkline


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as it is shown.

    Attributes:
        metric: its name in the run database.
        label: its name on screen.
        unit: written once, after the number.
        write: the number as text, in that unit.
    """

    metric: str
    label: str
    unit: str
    write: Callable[[float], str]


def _rate(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e") if value else "0"


FIGURES: tuple[Figure, ...] = (
    Figure("loss", "loss", "", lambda value: f"{value:.3f}"),
    Figure("eval_loss", "held-out loss", "", lambda value: f"{value:.3f}"),
    Figure("token_accuracy", "token accuracy", "%", lambda value: f"{value * 100:.1f}"),
    Figure("entropy", "entropy", "nat", lambda value: f"{value:.3f}"),
    Figure("grad_norm", "gradient norm", "", lambda value: f"{value:.2f}"),
    Figure("learning_rate", "learning rate", "", _rate),
    Figure("tokens_per_second", "speed", "tok/s", lambda value: f"{value:,.0f}"),
    Figure("memory_bytes", "memory", "GB", lambda value: f"{value / 1e9:.2f}"),
)
METRICS = tuple(figure.metric for figure in FIGURES)

LABEL, WHOLE, PART, UNIT = 15, 6, 5, 6
"""Cells of the label, of the number before and from its point on, and of the unit."""
COLUMN = LABEL + WHOLE + PART + UNIT
"""Cells of a figure without its trend."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a metric stands, and its past in a few values, oldest first; None is a gap."""

    value: float | None
    trend: Sequence[float | None]
    steps: Sequence[int] = ()


def figure_line(figure: Figure, reading: Reading | None, width: int) -> Content:
    """One figure in `width` cells."""
    label = Content.styled(figure.label.ljust(LABEL), "$foreground 60%")
    if reading is None or (reading.value is None and not reading.trend):
        return label + Content.styled("–".rjust(WHOLE).ljust(WHOLE + PART), "$foreground 60%")
    if reading.value is None:
        number = Content.styled("NaN".rjust(WHOLE).ljust(WHOLE + PART), "$text-error bold")
    else:
        words = figure.write(reading.value)
        before, point, after = words.partition("." if "e" not in words else "\0")
        number = Content.styled(
            before.rjust(WHOLE) + (point + after).ljust(PART)
            if "e" not in words
            else words.rjust(WHOLE + 2).ljust(WHOLE + PART),
            "bold",
        )
    unit = Content.styled(figure.unit.ljust(UNIT), "$foreground 60%")
    trend = sparkline(reading.trend, max(width - COLUMN - 1, 0))
    return Content("").join([label, number, unit, Content.styled(trend, "$accent 80%")])


class Figures(Widget):
    """The table of figures: one column where there is height for it, else two."""

    DEFAULT_CSS = """
    Figures { height: auto; }
    """
    readings: reactive[Mapping[str, Reading]] = reactive[Mapping[str, Reading]](dict, layout=False)
    at: reactive[int | None] = reactive[int | None](None)
    """Step under the crosshair; every figure is read there. None is the newest."""

    def columns(self, width: int) -> int:
        """How many figures stand beside each other in a width."""
        return 2 if width >= 2 * (COLUMN + 4) else 1

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        del container, viewport
        return -(-len(FIGURES) // self.columns(width))

    def reading(self, metric: str) -> Reading | None:
        """The metric at the crosshair, or as it stands."""
        found = self.readings.get(metric)
        at = self.at
        if found is None or at is None or not found.steps:
            return found
        near = min(range(len(found.steps)), key=lambda place: abs(found.steps[place] - at))
        return Reading(found.trend[near], found.trend, found.steps)

    def render(self) -> Content:
        width = self.size.width
        columns = self.columns(width)
        each = width // columns
        rows = -(-len(FIGURES) // columns)
        lines = []
        for row in range(rows):
            pieces = []
            for figure in FIGURES[row::rows]:
                piece = figure_line(figure, self.reading(figure.metric), each - (columns > 1))
                pieces.append(piece.pad_right(max(each - piece.cell_length, 0)))
            lines.append(Content("").join(pieces))
        return Content("\n").join(lines)
