"""The keys of a chart, for any room that shows one.

Knows which key does what to a `LossChart`. Does not know what the chart shows.
"""

from __future__ import annotations

from screens.base import Room
from screens.widgets.chart import LossChart


class ChartRoom(Room):
    """A room with one chart: its actions `log_scale`, `smooth`, `zoom`, `zoom_out`, ..."""

    @property
    def chart(self) -> LossChart:
        """The chart that the keys are for."""
        return self.query_one(LossChart)

    def action_log_scale(self) -> None:
        self.chart.toggle_log()

    def action_smooth(self) -> None:
        self.chart.toggle_smoothing()

    def action_zoom(self) -> None:
        self.chart.zoom(0.5)

    def action_zoom_out(self) -> None:
        self.chart.zoom(2.0)

    def action_zoom_reset(self) -> None:
        self.chart.reset()

    def action_cursor_left(self) -> None:
        self.chart.step(-1)

    def action_cursor_right(self) -> None:
        self.chart.step(1)

    def action_pan_left(self) -> None:
        self.chart.pan(-0.25)

    def action_pan_right(self) -> None:
        self.chart.pan(0.25)
