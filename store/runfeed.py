"""A run followed as it is written: read whole once, from then on only what is new.

Knows that a resume takes steps back, and reads anew then. Does not know processes: whether the
writer lives is for `engine.train.status` to say.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from store.metrics import Series, Trace
from store.runreader import RunReader
from store.runrecords import Checkpoint, Event, News, RunState, Sample, Seen

BEGINS = ("started", "resumed")
"""Events with which a training process begins; before them it has taken back what it repeats."""


class RunFeed:
    """One run, in memory, as of the last `read`. For one thread at a time.

    Attributes:
        traces: every metric, at most `points` buckets each.
        state: what the training process said of itself last, None before its first word.
    """

    def __init__(self, path: Path, points: int = 600) -> None:
        self.reader = RunReader.open(path)
        self.points = points
        self.traces: dict[str, Trace] = {}
        self.state: RunState | None = None
        self.samples: tuple[Sample, ...] = ()
        self.events: tuple[Event, ...] = ()
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self._whole = False

    def read(self) -> None:
        """Take in what was written since.

        Raises:
            WorkbenchError: the file is damaged, locked or on a failing disk.
        """
        if self._whole:
            news = self._since()
            if not self._begun_again(news):
                self._add(news)
                return
        self.traces, self.samples, self.events = {}, (), ()
        news = self.reader.look(points=self.points)
        self._whole = news.state is not None
        self._add(news)

    def series(self, name: str, window: tuple[float, float] | None = None) -> Series:
        """A metric, whole from memory, or finer where only the steps of a window are wanted."""
        if window is not None:
            start, stop = max(int(window[0]), 0), int(window[1]) + 1
            return self.reader.series(name, start, stop, self.points)
        trace = self.traces.get(name) or Trace(name, self.points)
        return trace.series()

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()

    def __enter__(self) -> RunFeed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _since(self) -> News:
        steps = {name: trace.last[0] for name, trace in self.traces.items() if trace.last}
        return self.reader.since(
            steps,
            Seen(
                self.samples[-1].id if self.samples else 0,
                self.events[-1].id if self.events else 0,
            ),
        )

    def _begun_again(self, news: News) -> bool:
        """Whether another process writes by now, which took steps back, or another file is there.

        A process that has signed but not yet said that it begins is still taking back.
        """
        before, now = self.state, news.state
        if before is None or now is None:
            return True
        return any(event.kind in BEGINS for event in news.events) or now.step < before.step

    def _add(self, news: News) -> None:
        self.traces |= news.traces
        for name, points in news.points.items():
            self.traces.setdefault(name, Trace(name, self.points)).add(points)
        self.state = news.state
        self.samples += tuple(news.samples)
        self.events += tuple(news.events)
        self.checkpoints = tuple(news.checkpoints)
