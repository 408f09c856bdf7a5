"""The keys of charts, for any room that shows one or several.

Knows which key does what, and that all charts of a room share crosshair, window and scale. Does
not know what they show.
"""

from __future__ import annotations

from textual import on

from screens.base import Room
from screens.widgets.chart import Chart


class ChartRoom(Room):
    """A room with charts: its actions `log_scale`, `smooth`, `zoom`, `zoom_out`, ..."""

    @property
    def chart(self) -> Chart:
        """The chart that the keys are for."""
        return self.query_one(Chart)

    def share(self, chart: Chart) -> None:
        """Let every other chart show the same steps, in the same way."""
        for other in self.query(Chart):
            if other is not chart:
                other.like(chart)

    @on(Chart.Pointed)
    def _share_crosshair(self, event: Chart.Pointed) -> None:
        self.share(event.chart)

    @on(Chart.Zoomed)
    def _share_window(self, event: Chart.Zoomed) -> None:
        self.share(event.chart)

    def action_log_scale(self) -> None:
        self.chart.toggle_log()
        self.share(self.chart)

    def action_smooth(self) -> None:
        self.chart.next_smoothing()
        self.share(self.chart)

    def action_clip(self) -> None:
        self.chart.toggle_clip()
        self.share(self.chart)

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

    def action_event_before(self) -> None:
        self.chart.jump(-1)

    def action_event_after(self) -> None:
        self.chart.jump(1)
