"""The numbers beside the chart: aligned on the decimal point, each with its trend.

Knows how each metric is written, where its point lies, and which one the chart shows. Does not
know where it was measured.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from screens.safe import line, visible
from screens.widgets.chart import number
from screens.widgets.sparkline import sparkline

LABEL, WHOLE, PART, UNIT = 15, 6, 5, 6
"""Cells of the label, of the number before and from its point on, and of the unit."""
COLUMN = 1 + LABEL + WHOLE + PART + UNIT
"""Cells of a figure without its trend."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as it is shown.

    Attributes:
        metric: its name in the run database.
        label: its name on screen.
        unit: written once, after the number.
        write: a number in that unit as text.
        scale: what was measured, times this, is in that unit.
    """

    metric: str
    label: str
    unit: str
    write: Callable[[float], str]
    scale: float = 1.0


def _rate(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e") if value else "0"


FIGURES: tuple[Figure, ...] = (
    Figure("loss", "loss", "", lambda value: f"{value:.3f}"),
    Figure("eval_loss", "held-out loss", "", lambda value: f"{value:.3f}"),
    Figure("token_accuracy", "token accuracy", "%", lambda value: f"{value:.1f}", 100),
    Figure("entropy", "entropy", "nat", lambda value: f"{value:.3f}"),
    Figure("grad_norm", "gradient norm", "", lambda value: f"{value:.2f}"),
    Figure("learning_rate", "learning rate", "", _rate),
    Figure("tokens_per_second", "speed", "tok/s", lambda value: f"{value:,.0f}"),
    Figure("memory_bytes", "memory", "GB", lambda value: f"{value:.2f}", 1e-9),
    Figure("device_load", "device load", "%", lambda value: f"{value:.0f}", 100),
)
METRICS = tuple(figure.metric for figure in FIGURES)
COMPANIONS = {
    "loss": "eval_loss",
    "token_accuracy": "eval_token_accuracy",
    "entropy": "eval_entropy",
}
"""What is measured on held-out rows and belongs into the same chart."""
_KNOWN = {figure.metric: figure for figure in FIGURES}
_HIDDEN = ("eval_", "suite/", "probe/", "epoch", "num_tokens", "train_seconds")


def figure_of(metric: str) -> Figure:
    """How a metric is shown; one that we have no words for, by its own name."""
    return _KNOWN.get(metric) or Figure(metric, metric[-LABEL:], "", number)


def charted(metric: str) -> str:
    """The metric whose chart shows this one."""
    return next((main for main, held in COMPANIONS.items() if held == metric), metric)


def shown_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The figures of a run in their order: the usual ones, then whatever else it measured."""
    more = [name for name in names if name not in _KNOWN and not name.startswith(_HIDDEN)]
    return (*METRICS, *more)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a metric stands, and its past in a few values, oldest first; None is a gap.

    Attributes:
        note: what is shown in place of the trend, such as an estimate.
    """

    value: float | None
    trend: Sequence[float | None]
    steps: Sequence[int] = ()
    note: str = ""


def figure_line(
    figure: Figure, reading: Reading | None, width: int, *, chosen: bool = False
) -> Content:
    """One figure in `width` cells; the chosen one is what the chart shows."""
    label = Content.assemble(
        ("▸" if chosen else " ", "$accent"),
        (visible(figure.label).ljust(LABEL), "$foreground" if chosen else "$foreground 60%"),
    )
    if reading is None or (reading.value is None and not reading.trend):
        return label + Content.styled("–".rjust(WHOLE).ljust(WHOLE + PART), "$foreground 60%")
    if reading.value is None:
        number = Content.styled("NaN".rjust(WHOLE).ljust(WHOLE + PART), "$text-error bold")
    else:
        words = figure.write(reading.value * figure.scale)
        before, point, after = words.partition("." if "e" not in words else "\0")
        number = Content.styled(
            before.rjust(WHOLE) + (point + after).ljust(PART)
            if "e" not in words
            else words.rjust(WHOLE + 2).ljust(WHOLE + PART),
            "bold",
        )
    unit = Content.styled(figure.unit.ljust(UNIT), "$foreground 60%")
    room = max(width - COLUMN - 1, 0)
    if reading.note and len(reading.note) <= room:
        return Content("").join([label, number, unit, line(reading.note, "$foreground 60%")])
    trend = sparkline(reading.trend, room)
    return Content("").join([label, number, unit, Content.styled(trend, "$accent 80%")])


class Figures(Widget):
    """The table of figures: one column where there is height for it, else two."""

    DEFAULT_CSS = """
    Figures { height: auto; }
    """
    readings: reactive[Mapping[str, Reading]] = reactive[Mapping[str, Reading]](dict, layout=False)
    metrics: reactive[tuple[str, ...]] = reactive(METRICS, layout=True)
    chosen: reactive[str] = reactive("loss")
    at: reactive[int | None] = reactive[int | None](None)
    """Step under the crosshair; every figure is read there. None is the newest."""

    class Chosen(Message):
        """Another figure is to be charted."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def columns(self, width: int) -> int:
        """How many figures stand beside each other in a width."""
        return 2 if width >= 2 * (COLUMN + 4) else 1

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        del container, viewport
        return -(-len(self.metrics) // self.columns(width))

    def reading(self, metric: str) -> Reading | None:
        """The metric at the crosshair, or as it stands."""
        found = self.readings.get(metric)
        at = self.at
        if found is None or at is None or not found.steps:
            return found
        right = bisect_left(found.steps, at)
        near = min(
            (place for place in (right - 1, right) if 0 <= place < len(found.steps)),
            key=lambda place: abs(found.steps[place] - at),
        )
        return Reading(found.trend[near], found.trend, found.steps)

    def move(self, by: int) -> None:
        """Choose a figure further down or up, around the ends."""
        place = self.metrics.index(self.chosen) if self.chosen in self.metrics else 0
        self.choose(self.metrics[(place + by) % len(self.metrics)])

    def choose(self, metric: str) -> None:
        """Chart this figure."""
        self.chosen = metric
        self.post_message(self.Chosen(metric))

    def on_click(self, event: events.Click) -> None:
        columns = self.columns(self.size.width)
        rows = -(-len(self.metrics) // columns)
        place = event.y + rows * min(event.x * columns // max(self.size.width, 1), columns - 1)
        if event.y < rows and place < len(self.metrics):
            self.choose(self.metrics[place])

    def render(self) -> Content:
        width = self.size.width
        columns = self.columns(width)
        each = width // columns
        rows = -(-len(self.metrics) // columns)
        lines = []
        for row in range(rows):
            pieces = []
            for metric in self.metrics[row::rows]:
                piece = figure_line(figure_of(metric), self.reading(metric), each - (columns > 1),
                                    chosen=metric == self.chosen)  # fmt: skip
                pieces.append(piece.pad_right(max(each - piece.cell_length, 0)))
            lines.append(Content("").join(pieces))
        return Content("\n").join(lines)
