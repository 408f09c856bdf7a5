"""One look at a run: everything the live panel shows, read in a worker thread.

Knows the run database, the catalogue's row and the tail of the log, and keeps what it has read:
a later look reads only what is new. Does not know widgets: it returns frozen values, and a message
carries them to the interface.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.train.pace import Pace
from engine.train.status import refresh
from screens.train.figures import COMPANIONS, Reading, figure_of, shown_metrics
from screens.train.happenings import happenings
from screens.train.meaning import Judge, Verdicts
from screens.widgets import words
from screens.widgets.braille import Curve
from screens.widgets.ink import run_ink
from screens.widgets.plot import Mark
from store import runs
from store.catalogue import Catalogue
from store.rundb import Checkpoint, Event, Sample, Series
from store.runfeed import RunFeed
from store.runrecords import Fit
from store.runs import Run

LOG_BYTES = 32 * 1024
"""How much of the end of the log is shown."""
MARGIN = 0.25
"""Share of a zoomed window that is read beyond each edge, so that averages start settled."""
REFRESH = 2.0
"""Seconds after which the catalogue is asked again: who else runs, and whether this one lives."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a look is to show.

    Attributes:
        metrics: those that are charted.
        window: the steps in view; None is all of them.
        points: buckets a curve, about two a column of dots.
        others: runs that are laid over.
        log: whether the log is read.
        anew: what the catalogue said a moment ago is not enough: something was just started.
    """

    run_id: int
    metrics: tuple[str, ...] = ("loss",)
    window: tuple[float, float] | None = None
    points: int = 600
    others: tuple[int, ...] = ()
    log: bool = False
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A run as it stood at `read`.

    Attributes:
        curves: by metric: the run's own line, its held-out marks, then other runs' lines.
        extent: first and last step of the charts.
        figures: where each metric stands, with its past.
        suites: what check suites and probes measured at evaluations.
        marks: what happened, for the axis.
        alive: other runs that run or wait: (running, queued).
        left: seconds to the last step.
        best: step and held-out loss of the checkpoint that `run:ID` means.
        verdicts: what the curves mean; None where that was not looked at yet.
        heartbeat: when the process wrote last, Unix seconds.
        fits: what memory and time were expected, probed and measured to be.
    """

    run: Run
    curves: Mapping[str, tuple[Curve, ...]]
    extent: tuple[float, float]
    figures: Mapping[str, Reading]
    suites: Mapping[str, Series]
    samples: tuple[Sample, ...]
    events: tuple[Event, ...]
    marks: tuple[Mark, ...]
    checkpoints: tuple[Checkpoint, ...]
    log: tuple[str, ...]
    alive: tuple[int, int]
    read: float
    left: float | None = None
    epoch: float | None = None
    best: tuple[int, float] | None = None
    verdicts: Verdicts | None = ()
    heartbeat: float = 0.0
    fits: tuple[Fit, ...] = ()

    @property
    def living(self) -> bool:
        """Whether looking again may show something new."""
        return self.run.status in words.ALIVE

    @property
    def metrics(self) -> tuple[str, ...]:
        """What there is to chart, the usual ones first."""
        return shown_metrics(self.figures)


def stamp(folders: Iterable[Path]) -> tuple[int, ...]:
    """Changes whenever one of the runs in these folders wrote something; costs microseconds."""
    found: list[int] = []
    for folder in folders:
        for name in ("run.db", "run.db-wal", "train.log"):
            try:
                seen = os.stat(folder / name)
            except FileNotFoundError:
                continue
            found += [seen.st_mtime_ns, seen.st_size]
    return tuple(found)


class Watcher:
    """What was read so far, kept from look to look. For one thread at a time."""

    def __init__(self) -> None:
        self._feeds: dict[int, RunFeed] = {}
        self._points = 0
        self._pace = Pace()
        self._judge = Judge()
        self._everyone: list[Run] = []
        self._asked: tuple[int, float] = (0, 0.0)
        self._status: str | None = None
        self._fits: tuple[Fit, ...] = ()

    def close(self) -> None:
        """Let go of every file."""
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    def look(self, cat: Catalogue, wish: Wish) -> Look:
        """Read a run, or what is new of it.

        Raises:
            NotFound: no such run. WorkbenchError: its database cannot be read.
        """
        self._keep_only((wish.run_id, *wish.others), wish.points)
        if wish.anew:
            self._asked = (0, 0.0)
        feed = self._feed(cat, wish.run_id)
        run = self._run(cat, wish.run_id, feed)
        overlaid = [other for other in self._everyone if other.id in wish.others]
        for other in overlaid:
            self._feed(cat, other.id)
        curves = {metric: self._curves(run, overlaid, metric, wish) for metric in wish.metrics}
        evaluations = feed.series("eval_loss")
        steps = [step for step, mean in zip(evaluations.steps, evaluations.means, strict=True)
                 if mean is not None]  # fmt: skip
        left = None
        if feed.state is not None and run.status == "running":
            spent = feed.series("train_seconds")
            seconds = [(step, high) for step, high in zip(spent.ends, spent.highs, strict=True)
                       if high is not None]  # fmt: skip
            self._pace.look(feed.state, feed.events, feed.samples, feed.checkpoints, steps, seconds)
            left = self._pace.left(run, words.now())
        epoch = feed.traces["epoch"].last if "epoch" in feed.traces else None
        return Look(
            run=run,
            curves=curves,
            extent=_extent(run, [feed, *(self._feeds[other.id] for other in overlaid)]),
            figures={name: _figure(feed.series(name)) for name in feed.traces},
            suites={name: feed.series(name) for name in feed.traces if _is_suite(name)},
            samples=feed.samples,
            events=feed.events,
            marks=happenings(feed.events, feed.checkpoints, feed.samples, evaluations),
            checkpoints=feed.checkpoints,
            log=tail(cat, wish.run_id) if wish.log else (),
            alive=(
                sum(other.status == "running" for other in self._everyone),
                sum(other.status == "queued" for other in self._everyone),
            ),
            read=words.now(),
            left=left,
            epoch=epoch[1] if epoch else None,
            best=_best(run, evaluations),
            verdicts=self._judge.look(run, feed),
            heartbeat=feed.state.heartbeat if feed.state else 0.0,
            fits=self._fits,
        )

    def _keep_only(self, wanted: Sequence[int], points: int) -> None:
        """Forget runs that are no longer shown, and all where the charts grew or shrank."""
        for run_id in list(self._feeds):
            if run_id not in wanted or points != self._points:
                self._feeds.pop(run_id).close()
        self._points = points

    def _feed(self, cat: Catalogue, run_id: int) -> RunFeed:
        feed = self._feeds.get(run_id)
        if feed is None:
            path = cat.workspace.run_dir(run_id) / "run.db"
            feed = self._feeds[run_id] = RunFeed(path, self._points)
        feed.read()
        return feed

    def _run(self, cat: Catalogue, run_id: int, feed: RunFeed) -> Run:
        """The run as its own database has it; the catalogue is asked now and then."""
        state = feed.state
        status = state.status if state is not None else None
        now = words.now()
        known = {run.id: run for run in self._everyone}
        asked, when = self._asked
        if asked != run_id or status != self._status or now - when >= REFRESH or now < when:
            refresh(cat, run_id)
            self._everyone = runs.all(cat)
            known = {run.id: run for run in self._everyone}
            self._asked, self._status = (run_id, now), status
            self._fits = tuple(feed.reader.fits())
        run = known.get(run_id) or runs.get(cat, run_id)
        if state is None or run.status not in words.ALIVE or run.pid != state.pid:
            return run
        loss = feed.series("loss").last
        return replace(
            run, step=max(state.step, 0), total_steps=state.total_steps,
            loss=loss[1] if loss else None,
        )  # fmt: skip

    def _curves(
        self, run: Run, overlaid: Sequence[Run], metric: str, wish: Wish
    ) -> tuple[Curve, ...]:
        """A metric of the run and of those laid over it, each in the colour of its run."""
        found = []
        scale = figure_of(metric).scale
        for one in (run, *sorted(overlaid, key=lambda other: other.id)):
            feed = self._feeds[one.id]
            name = "train" if one is run else f"{one.id} {one.name}"
            window = _wider(wish.window)
            found.append(curve(feed.series(metric, window), name, run_ink(one.id), scale=scale))
            held = COMPANIONS.get(metric)
            if held in feed.traces:
                mark = "○" if one is run else "◦"
                name = "held out" if one is run else f"{one.id} held out"
                series = feed.series(held, window)
                found.append(curve(series, name, run_ink(one.id), mark, scale))
        return tuple(found)


def _is_suite(name: str) -> bool:
    return name.startswith(("suite/", "probe/"))


def curve(series: Series, name: str, style: str, mark: str = "", scale: float = 1.0) -> Curve:
    """A series of buckets as something to draw, in its unit."""
    holes = [step for step, nulls in zip(series.steps, series.nulls, strict=True) if nulls]
    means, lows, highs = (
        values if scale == 1 else [value and value * scale for value in values]
        for values in (series.means, series.lows, series.highs)
    )
    return Curve.of(name, style, series.steps, means, lows, highs, mark, holes)


def _wider(window: tuple[float, float] | None) -> tuple[float, float] | None:
    if window is None:
        return None
    beyond = (window[1] - window[0]) * MARGIN
    return window[0] - beyond, window[1] + beyond


def _figure(series: Series) -> Reading:
    return Reading(series.last[1] if series.last else None, series.means, series.steps)


def _best(run: Run, evaluations: Series) -> tuple[int, float] | None:
    for step, mean in zip(evaluations.steps, evaluations.means, strict=True):
        if step == run.best_step and mean is not None:
            return step, mean
    return None


def _extent(run: Run, feeds: Sequence[RunFeed]) -> tuple[float, float]:
    """From the first step to the end; a run under way has room to grow, at most twice."""
    last = [trace.last[0] for feed in feeds for trace in feed.traces.values() if trace.last]
    newest = float(max([run.step, *last]))
    if run.status in words.ALIVE and run.total_steps:
        newest = max(min(float(run.total_steps), _round_up(max(run.step * 1.5, 10))), newest)
    return (0.0, max(newest, 1.0))


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 x 10^n, so that the axis moves seldom."""
    power = 10.0 ** (len(f"{value:.0f}") - 1)
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value)


def tail(cat: Catalogue, run_id: int) -> tuple[str, ...]:
    """The last lines of a run's log; progress bars are reduced to what they ended as."""
    path = cat.workspace.run_dir(run_id) / "train.log"
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(end - LOG_BYTES, 0))
            words = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    lines = [line.rsplit("\r", 1)[-1] for line in words.replace("\r\n", "\n").split("\n")]
    return tuple(lines[1 if end > LOG_BYTES else 0 :])[-400:]
