"""How long a run will still take, from what its own process wrote down of itself.

Knows when this process was at which step: from events, samples, checkpoints and heartbeats. Does
not know steps of an earlier process: what happened before a resume, the pause included, says
nothing about the speed of now.

Steps are timed since the last evaluation; what the rounds before took beyond their steps is what
an evaluation costs, its sample answers and saves included, and is paid for each that is to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from store.rundb import Checkpoint, Event, RunState, Sample
from store.runfeed import BEGINS
from store.runs import Run

LEAST_STEPS = 3
"""A rate over fewer steps is taken only where there is no more."""
_ROUNDS = 4
_KEPT = 4_000


class Pace:
    """When one training process came to a step first, and was there last; added to at each look."""

    def __init__(self) -> None:
        self._process: tuple[int, float, float] | None = None
        self._marks: dict[int, tuple[float, float]] = {}
        self._begin = 0
        self._evaluated: list[int] = []
        self._spent: tuple[int, float] | None = None

    def look(
        self,
        state: RunState,
        events: Sequence[Event],
        samples: Sequence[Sample] = (),
        checkpoints: Sequence[Checkpoint] = (),
        evaluated: Iterable[int] = (),
        seconds: Iterable[tuple[int, float]] = (),
    ) -> None:
        """Take in what is known now: all records of the run, again at each look.

        Args:
            evaluated: steps of the evaluations.
            seconds: steps, and the seconds of training up to each: the metric `train_seconds`.
        """
        begin = next((event for event in reversed(events) if event.kind in BEGINS), None)
        if begin is None:
            self._marks.clear()
            return
        process = (state.pid, state.process_started, begin.created)
        if process != self._process:
            self._process, self._marks = process, {}
            self._begin = _step_of(begin, checkpoints)
            self._mark(begin.created, self._begin)
        records = [*((event.created, event.step) for event in events if event.step is not None),
                   *((sample.created, sample.step) for sample in samples),
                   *((kept.created, kept.step) for kept in checkpoints),
                   (state.heartbeat, state.step)]  # fmt: skip
        timed = [pair for pair in seconds if pair[0] > self._begin]
        self._spent = timed[-1] if timed else None
        if timed and timed[-1][0] == state.step:
            records += [(state.heartbeat - (timed[-1][1] - spent), step) for step, spent in timed]
        for when, step in records:
            if when >= begin.created and step >= self._begin:
                self._mark(when, step)
        self._evaluated = sorted({*evaluated, *(sample.step for sample in samples)})
        for step in sorted(self._marks)[1:-_KEPT]:
            del self._marks[step]

    def _mark(self, when: float, step: int) -> None:
        first, last = self._marks.get(step, (when, when))
        self._marks[step] = (min(first, when), max(last, when))

    def remaining(self, total: int | None, now: float, minutes: float = 0.0) -> float | None:
        """Seconds to the last step at `now` (Unix seconds), None while unknown.

        Args:
            minutes: of training after which the run ends whatever its step; 0 is no limit.
        """
        steps = sorted(self._marks)
        if total is None or len(steps) < 2:
            return None
        newest = steps[-1]
        reached = self._marks[newest][0]
        every = self._every
        ends = [step for step in self._evaluated if step in self._marks and step < newest]
        settled = bool(ends) and newest - ends[-1] > LEAST_STEPS
        start = ends[-1] if settled else ends[-2] if len(ends) > 1 else steps[0]
        after = next((step for step in steps if step > start), newest) if settled else start
        start = after if newest - after >= LEAST_STEPS else start  # Free of the evaluation itself.
        pace = (reached - self._marks[start][1]) / (newest - start)
        left = (total - newest) * pace
        if every and settled:
            left += ((total // every) - (newest // every)) * self._round_cost(ends, pace, every)
        passed = max(now - reached, 0.0)
        if every and ends:  # What takes longer than a round is no progress: it hangs.
            passed = min(passed, pace + self._round_cost(ends, pace, every))
        left -= passed
        if minutes and self._spent is not None and self._spent[0] in self._marks:
            step, spent = self._spent
            left = min(left, 60 * minutes - spent - max(now - self._marks[step][0], 0.0))
        return max(left, 0.0)

    def left(self, run: Run, now: float) -> float | None:
        """Seconds that a run will still take at `now`, by its own limits."""
        return self.remaining(run.total_steps, now, float(run.recipe.get("max_minutes") or 0))

    @property
    def _every(self) -> int:
        """Steps from an evaluation to the next, 0 while unknown."""
        last = self._evaluated[-2:]
        return last[1] - last[0] if len(last) == 2 else 0

    def _round_cost(self, ends: Sequence[int], pace: float, every: int) -> float:
        """What a round takes beyond its steps, in seconds, from the newest rounds."""
        first, last = ([self._begin, *ends][-_ROUNDS - 1 :][0], ends[-1])
        if last <= first:
            opened, closed = self._marks[last]
            return closed - opened
        beyond = self._marks[last][1] - self._marks[first][1] - (last - first) * pace
        return max(beyond, 0.0) * every / (last - first)


def _step_of(begin: Event, checkpoints: Sequence[Checkpoint]) -> int:
    """The step that a process went on from: the newest checkpoint of before it began."""
    if begin.step is not None:
        return begin.step
    before = [kept.step for kept in checkpoints if kept.created < begin.created]
    return max(before, default=0)
