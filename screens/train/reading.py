"""One look at a run: everything the live panel shows, read in a worker thread.

Knows the run database, the catalogue's row and the tail of the log. Does not know widgets: it
returns frozen values, and a message carries them to the interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.train import client
from screens.train.figures import METRICS, Reading
from screens.widgets import words
from screens.widgets.braille import Curve
from screens.widgets.chart import OTHERS
from store import runs
from store.catalogue import Catalogue
from store.rundb import Event, RunReader, Sample, Series
from store.runs import Run

LOG_BYTES = 32 * 1024
"""How much of the end of the log is shown."""
TREND = 60
"""Values in a figure's trend."""
MARGIN = 0.25
"""Share of a zoomed window that is read beyond each edge, so that averages start settled."""


@dataclass(frozen=True, slots=True)
class Look:
    """A run as it stood at `read`.

    Attributes:
        curves: training loss, held-out loss, then other runs' losses.
        extent: first and last step of the chart.
        figures: where each metric stands, with its trend.
        checkpoints: steps of the complete checkpoints.
        alive: other runs that run or wait: (running, queued).
        best: step and held-out loss of the checkpoint that `run:ID` means.
    """

    run: Run
    curves: tuple[Curve, ...]
    extent: tuple[float, float]
    figures: Mapping[str, Reading]
    samples: tuple[Sample, ...]
    events: tuple[Event, ...]
    checkpoints: tuple[int, ...]
    log: tuple[str, ...]
    alive: tuple[int, int]
    read: float
    epoch: float | None = None
    best: tuple[int, float] | None = None

    @property
    def living(self) -> bool:
        """Whether looking again may show something new."""
        return self.run.status in words.ALIVE


def stamp(cat: Catalogue, run_id: int) -> tuple[int, ...]:
    """Changes whenever a run wrote something: what was seen with the same stamp still holds."""
    folder = cat.workspace.run_dir(run_id)
    found: list[int] = []
    for name in ("run.db", "run.db-wal", "train.log"):
        try:
            seen = (folder / name).stat()
        except FileNotFoundError:
            continue
        found += [seen.st_mtime_ns, seen.st_size]
    return tuple(found)


def look(
    cat: Catalogue,
    run_id: int,
    *,
    window: tuple[float, float] | None = None,
    points: int = 400,
    others: Sequence[int] = (),
) -> Look:
    """Read a run whole.

    Args:
        window: the steps in view; None is all of them.
        points: buckets a curve, about two a column of dots.
        others: runs whose loss is laid over.
    Raises:
        NotFound: no such run.
    """
    client.refresh(cat, run_id)
    run = runs.get(cat, run_id)
    everyone = runs.all(cat)
    with RunReader.open(cat.workspace.run_dir(run_id) / "run.db") as reader:
        curves = list(_own_curves(reader, window, points))
        figures = {name: _figure(reader.series(name, points=TREND), reader) for name in METRICS}
        samples = tuple(reader.samples())
        events = tuple(reader.events())
        checkpoints = tuple(checkpoint.step for checkpoint in reader.checkpoints())
        last = reader.last()
        evaluations = [(step, value) for step, value in reader.exact("eval_loss", 10_000)
                       if value is not None]  # fmt: skip
    curves += overlays(cat, [run for run in everyone if run.id in others], window, points)
    return Look(
        run=run,
        curves=tuple(curves),
        extent=_extent(run, curves, window),
        figures=figures,
        samples=samples,
        events=events,
        checkpoints=checkpoints,
        log=tail(cat, run_id),
        alive=(
            sum(other.status == "running" for other in everyone),
            sum(other.status == "queued" for other in everyone),
        ),
        read=words.now(),
        epoch=last["epoch"][1] if "epoch" in last else None,
        best=next((pair for pair in reversed(evaluations) if pair[0] == run.best_step), None),
    )


def _own_curves(
    reader: RunReader, window: tuple[float, float] | None, points: int
) -> Iterable[Curve]:
    yield curve(_series(reader, "loss", window, points), "train", "train")
    yield curve(_series(reader, "eval_loss", window, points), "held out", "held", mark="○")


def overlays(
    cat: Catalogue, others: Iterable[Run], window: tuple[float, float] | None, points: int
) -> list[Curve]:
    """The training loss of other runs; a run keeps its colour while there are enough of them."""
    taken: set[int] = set()
    curves = []
    for run in sorted(others, key=lambda run: run.id):
        place = next(
            (slot for slot in range(run.id, run.id + OTHERS) if slot % OTHERS not in taken), run.id
        )
        taken.add(place % OTHERS)
        with RunReader.open(cat.workspace.run_dir(run.id) / "run.db") as reader:
            series = _series(reader, "loss", window, points)
        curves.append(curve(series, f"{run.id} {run.name}", f"other{place % OTHERS}"))
    return curves


def curve(series: Series, name: str, style: str, mark: str = "") -> Curve:
    """A series of buckets as something to draw."""
    return Curve.of(name, style, series.steps, series.means, series.lows, series.highs, mark)


def _series(
    reader: RunReader, name: str, window: tuple[float, float] | None, points: int
) -> Series:
    if window is None:
        return reader.series(name, points=points)
    beyond = (window[1] - window[0]) * MARGIN
    start, stop = max(int(window[0] - beyond), 0), int(window[1] + beyond) + 1
    return reader.series(name, start=start, stop=stop, points=round(points * (1 + 2 * MARGIN)))


def _figure(series: Series, reader: RunReader) -> Reading:
    last = reader.last().get(series.name)
    return Reading(last[1] if last else None, tuple(series.means), tuple(series.steps))


def _extent(
    run: Run, curves: Sequence[Curve], window: tuple[float, float] | None
) -> tuple[float, float]:
    """From the first step to the end; a run under way has room to grow, at most twice."""
    newest = float(max([run.step, *(curve.xs[-1] for curve in curves if curve.xs and not window)]))
    if run.status in words.ALIVE and run.total_steps:
        newest = min(float(run.total_steps), _round_up(max(newest * 1.5, 10)))
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


@dataclass(slots=True)
class Pace:
    """How fast a run goes, from looks at it; a pause or a resume does not spoil it."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def add(self, when: float, step: int) -> None:
        """Note where the run stood; the last half minute counts."""
        if self.seen and step < self.seen[-1][1]:
            self.seen.clear()
        if not self.seen or step > self.seen[-1][1]:
            self.seen.append((when, step))
        while len(self.seen) > 2 and when - self.seen[0][0] > 30:
            del self.seen[0]

    def remaining(self, run: Run, now: float) -> float | None:
        """Seconds to the last step, None while unknown."""
        if not run.total_steps or run.status != "running":
            return None
        left = run.total_steps - run.step
        if len(self.seen) > 1 and self.seen[-1][0] > self.seen[0][0]:
            (then, start), (last, step) = self.seen[0], self.seen[-1]
            return max(left * (last - then) / (step - start) - (now - last), 0.0)
        if run.started is not None and run.step > 0:
            return left * max(now - run.started, 0.0) / run.step
        return None
