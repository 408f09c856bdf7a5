"""Watching a run: when to look, how often, and when to rest.

Knows which run is shown and what a look and a picture cost. Does not know what the room's keys do,
and writes nothing.

While a run runs, its files' times are asked ten times a second, which costs microseconds; only what
was written is read, in a worker thread, and drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from textual import events, on, work
from textual.message import Message
from textual.timer import Timer

from screens.train.figures import Figures
from screens.train.grid import ChartGrid, SmallChart
from screens.train.panel import RunPanel
from screens.train.reading import Look, Watcher, Wish, stamp
from screens.widgets.chart import Chart
from screens.widgets.chartkeys import ChartRoom

TICK = 0.1
"""Seconds between two glances at the files of a run that runs."""
SLOW_TICK = 1.0
"""The same for one that waits in the queue."""
REST = 8
"""A look is followed by this many times its cost of rest: training has the machine."""
STALE = 2.0
"""Seconds after which a run that wrote nothing is looked at all the same: it may be lost."""


class Looked(Message):
    """A worker looked at a run, for `cost` seconds of a processor; `look` None: it could not."""

    def __init__(self, look: Look | None, wish: Wish, cost: float) -> None:
        super().__init__()
        self.look = look
        self.wish = wish
        self.cost = cost


class WatchRoom(ChartRoom):
    """A room that shows a `RunPanel` and keeps it up to date while its run lives.

    Attributes:
        run_id: the run that is shown.
        others: runs that are laid over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: int | None = None
        self.others: list[int] = []
        self._watcher = Watcher()
        self._looking = False
        self._look_again = False
        self._anew = False
        self._stamp: tuple[int, ...] = ()
        self._looked_at = 0.0
        self._rest_until = 0.0
        self._timer: Timer | None = None
        self._interval = 0.0

    @property
    def panel(self) -> RunPanel:
        return self.query_one(RunPanel)

    @property
    def chart(self) -> Chart:
        return self.panel.chart

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
        self._anew = True
        self.look_now()

    def said_status(self) -> None:
        """A look may have changed what the status line says."""

    # -- looking -----------------------------------------------------------------------------

    def look_now(self) -> None:
        """Ask a worker for a look, one at a time; a wish that comes meanwhile is kept."""
        if self.run_id is None:
            return
        if self._looking:
            self._look_again = True
            return
        anew, self._anew = self._anew, False
        self._looking, self._look_again = True, False
        self._stamp, self._looked_at = self._glance(), time.monotonic()
        self._look(
            Wish(
                self.run_id,
                self.panel.metrics,
                self.chart.window,
                # By the terminal's width: the chart has none before it is laid out.
                max(self.app.size.width, 40) * 4,
                tuple(self.others),
                self.panel.log_shown,
                anew,
            )
        )

    def _glance(self) -> tuple[int, ...]:
        """When the files of what is shown were written."""
        shown: Iterable[int] = () if self.run_id is None else (self.run_id, *self.others)
        return stamp(self.workspace.run_dir(run_id) for run_id in shown)

    def _tick(self) -> None:
        """Look where something was written, or nothing for long, and the last look is paid for."""
        now = time.monotonic()
        if self._looking or now < self._rest_until:
            return
        if now - self._looked_at >= STALE or self._glance() != self._stamp:
            self.look_now()

    @work(thread=True, group="look", exit_on_error=False)
    def _look(self, wish: Wish) -> None:
        begun = time.thread_time()
        seen = None
        try:
            with self.open_catalogue() as cat:
                seen = self._watcher.look(cat, wish)
        finally:
            self._looking = False  # before the message: its handler may ask for the next look
            self.post_message(Looked(seen, wish, time.thread_time() - begun))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        seen = event.look
        begun = time.thread_time()
        if seen is not None and seen.run.id == self.run_id:
            before = (self.look.run.status, bool(self.look.checkpoints)) if self.look else None
            self.panel.show(seen)
            self.said_status()
            if before != (seen.run.status, bool(seen.checkpoints)):
                self.refresh_bindings()
        cost = event.cost + time.thread_time() - begun
        self._rest_until = time.monotonic() + cost * REST
        self._follow()
        unjudged = seen is not None and seen.verdicts is None
        if self._look_again or unjudged or (seen is not None and seen.run.id != self.run_id):
            self.look_now()

    def _follow(self) -> None:
        """Glance while the run lives and the room is on screen; else not at all."""
        seen = self.look
        wanted = 0.0
        if seen is not None and seen.living and self.is_current:
            wanted = TICK if seen.run.status == "running" else SLOW_TICK
        if wanted == self._interval:
            return
        self._rest()
        if wanted:
            self._interval = wanted
            self._timer = self.set_interval(wanted, self._tick)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer, self._interval = None, 0.0

    def on_screen_suspend(self, _event: events.ScreenSuspend) -> None:
        self._rest()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        self.look_now()

    def on_unmount(self) -> None:
        self._watcher.close()

    # -- what the panel asks for -------------------------------------------------------------

    def share(self, chart: Chart) -> None:
        """Small charts that are not on screen take over everything once they are."""
        if self.panel.view == "grid":
            super().share(chart)

    @on(Chart.Zoomed)
    def _zoomed(self, _event: Chart.Zoomed) -> None:
        self.look_now()

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        self.panel.point(event.x)

    @on(Figures.Chosen)
    def _figure_chosen(self) -> None:
        self.look_now()

    @on(RunPanel.Wanted)
    @on(ChartGrid.Resized)
    def _wanted(self) -> None:
        if self.panel.view == "grid" and self.look is not None:
            self.query_one(ChartGrid).fill(self.panel.grid_metrics)
        self.look_now()

    @on(SmallChart.Wanted)
    def _chart_wanted(self, event: SmallChart.Wanted) -> None:
        self.panel.figures.chosen = event.metric
        self.panel.view = "overview"

    def action_chart_after(self) -> None:
        self.panel.figures.move(1)

    def action_chart_before(self) -> None:
        self.panel.figures.move(-1)

    def action_grid(self) -> None:
        self.panel.next_page()

    def action_full(self) -> None:
        self.panel.toggle("full")

    def action_suites(self) -> None:
        self.panel.toggle("suites")

    def action_log(self) -> None:
        self.panel.toggle_log()

    def action_probes(self) -> None:
        self.panel.next_prompt()

    def action_probes_back(self) -> None:
        self.panel.next_prompt(-1)

    def action_difference(self) -> None:
        self.panel.next_difference()

    def action_cursor_left(self) -> None:
        self._step(-1)

    def action_cursor_right(self) -> None:
        self._step(1)

    def _step(self, by: int) -> None:
        if self.panel.view == "answers":
            self.panel.step_answers(by)
        else:
            self.chart.step(by)

    def action_tail_up(self) -> None:
        self.panel.scroll_tail(-1)

    def action_tail_down(self) -> None:
        self.panel.scroll_tail(1)
