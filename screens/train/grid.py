"""All charts of a run at once, small, with one crosshair and one window.

Knows how many fit and which page of them is shown. Does not know what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.containers import Container
from textual.message import Message

from screens.train.figures import charted, figure_of
from screens.widgets.braille import Curve
from screens.widgets.chart import Chart

LEAST_ROWS, LEAST_COLUMNS = 6, 36
"""Cells that a small chart has at least."""
MOST = 12
"""Charts on a page at most."""


class SmallChart(Chart, can_focus=False):
    """One of many; a click makes it the large one."""

    class Wanted(Message):
        """Show this metric large."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self) -> None:
        super().__init__("", small=True)
        self.metric = ""

    def chart(self, metric: str) -> None:
        """Show another metric."""
        self.metric = metric
        figure = figure_of(metric)
        self.title = figure.label + (f" · {figure.unit}" if figure.unit else "")
        self.write = figure.write

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Wanted(self.metric))


def grid_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that have a chart of their own."""
    return tuple(dict.fromkeys(charted(metric) for metric in metrics))


class ChartGrid(Container):
    """Small charts in rows and columns; more than fit are on further pages."""

    def __init__(self) -> None:
        super().__init__(id="run-grid")
        self.metrics: tuple[str, ...] = ()
        self.page = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that fit."""
        width, height = self.size
        columns = max(width // LEAST_COLUMNS, 1)
        return max(height // LEAST_ROWS, 1), min(columns, 3)

    @property
    def pages(self) -> int:
        rows, columns = self.shape
        return max(-(-len(self.metrics) // min(rows * columns, MOST)), 1)

    @property
    def on_page(self) -> tuple[str, ...]:
        """The metrics whose charts are on screen."""
        rows, columns = self.shape
        size = min(rows * columns, MOST)
        page = self.page % self.pages
        return self.metrics[page * size : (page + 1) * size]

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    class Resized(Message):
        """Another number of charts fits."""

    def fill(self, metrics: Sequence[str]) -> None:
        """Have one chart for each metric of the page, in order; made when first there is a use."""
        self.metrics = tuple(metrics)
        wanted = self.on_page
        self.mount_all(SmallChart() for _ in range(len(wanted) - len(self.query(SmallChart))))
        rows, columns = self.shape
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = max(min(rows, -(-len(wanted) // columns)), 1)
        for place, chart in enumerate(self.query(SmallChart)):
            chart.display = place < len(wanted)
            if chart.display:
                chart.chart(wanted[place])

    def show(
        self, curves: Mapping[str, tuple[Curve, ...]], extent: tuple[float, float], like: Chart
    ) -> None:
        """Draw the page's charts."""
        for chart in self.query(SmallChart):
            if chart.display:
                chart.show(curves.get(chart.metric, ()), extent)
                chart.like(like)
