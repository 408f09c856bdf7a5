"""Watching a run: when to look, how often, and when to rest.

Knows which run is shown and how long a look took. Does not know what the room's keys do, and
writes nothing.
"""

from __future__ import annotations

import time

from textual import events, on, work
from textual.message import Message
from textual.timer import Timer

from screens.train.panel import RunPanel
from screens.train.reading import Look, look, stamp
from screens.widgets.chart import LossChart
from screens.widgets.chartkeys import ChartRoom

LOOK_EVERY = 0.25
"""Seconds between looks at a run that runs, at least; at one that waits, four times as long."""
REST = 12
"""A look is followed by this many times its own duration of rest: training has the machine."""
STALE = 2.0
"""Seconds after which a run that wrote nothing is looked at all the same: it may be lost."""


class Looked(Message):
    """A worker looked at a run for `seconds`; `look` None says that it wrote nothing since."""

    def __init__(self, look: Look | None, key: object, seconds: float) -> None:
        super().__init__()
        self.look = look
        self.key = key
        self.seconds = seconds


class WatchRoom(ChartRoom):
    """A room that shows a `RunPanel` and keeps it up to date while its run lives.

    Attributes:
        run_id: the run that is shown.
        others: runs whose loss is laid over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: int | None = None
        self.others: list[int] = []
        self._looking = False
        self._look_again = False
        self._key: object = None  # what the newest look was of, and when it was full
        self._full = 0.0
        self._seconds = 0.0
        self._timer: Timer | None = None

    @property
    def panel(self) -> RunPanel:
        return self.query_one(RunPanel)

    @property
    def look(self) -> Look | None:
        """The newest look at the run that is shown."""
        seen = self.panel.look
        return seen if seen is not None and seen.run.id == self.run_id else None

    def watch_run(self, run_id: int) -> None:
        """Follow another run from now on."""
        if run_id != self.run_id:
            self.others.clear()
        self.run_id = run_id
        self.look_now()

    def said_status(self) -> None:
        """A look may have changed what the status line says."""

    def look_now(self) -> None:
        """Ask a worker for a look, one at a time; a wish that comes meanwhile is kept."""
        if self.run_id is None:
            return
        if self._looking:
            self._look_again = True
            return
        self._looking, self._look_again = True, False
        known = self._key if time.monotonic() - self._full < STALE else None
        # By the terminal's width: the chart has none before it is laid out.
        wish = (self.run_id, self.chart.window, max(self.app.size.width, 40) * 4)
        self._look(*wish, tuple(self.others), known)

    @work(thread=True, group="look", exit_on_error=False)
    def _look(
        self,
        run_id: int,
        window: tuple[float, float] | None,
        points: int,
        others: tuple[int, ...],
        known: object,
    ) -> None:
        started = time.monotonic()
        try:
            with self.open_catalogue() as cat:
                key = (run_id, window, points, others, stamp(cat, run_id))
                seen = None
                if key != known:
                    seen = look(cat, run_id, window=window, points=points, others=others)
        finally:
            self._looking = False  # before the message: its handler may ask for the next look
        self.post_message(Looked(seen, key, time.monotonic() - started))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        seen = event.look
        self._key, self._seconds = event.key, event.seconds
        if seen is not None:
            self._full = time.monotonic()
            self._show(seen)
        self._follow(self.look)
        if self._look_again or (seen is not None and seen.run.id != self.run_id):
            self.look_now()

    def _show(self, seen: Look) -> None:
        before = (self.look.run.status, bool(self.look.checkpoints)) if self.look else None
        if seen.run.id != self.run_id:
            return
        self.panel.show(seen)
        self.said_status()
        if before != (seen.run.status, bool(seen.checkpoints)):
            self.refresh_bindings()

    def _follow(self, seen: Look | None) -> None:
        """Look again soon while the run lives and the room is on screen; else not at all."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if seen is not None and seen.living and self.is_current:
            least = LOOK_EVERY if seen.run.status == "running" else LOOK_EVERY * 4
            self._timer = self.set_timer(max(least, self._seconds * REST), self.look_now)

    def on_screen_suspend(self, _event: events.ScreenSuspend) -> None:
        self._follow(None)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self.look_now()

    @on(LossChart.Zoomed)
    def _zoomed(self, _event: LossChart.Zoomed) -> None:
        self.look_now()

    @on(LossChart.Pointed)
    def _pointed(self, event: LossChart.Pointed) -> None:
        self.panel.point(event.x)
