"""The time left, told from what a run's own process wrote, right after a resume too."""

from __future__ import annotations

import pytest

from engine.train.pace import Pace
from store.rundb import Checkpoint, Event, RunState, Sample

STEP, EVALUATION, SAVE = 0.5, 6.0, 2.0
EVERY = 20
TOTAL = 400


class Machine:
    """A training process played on paper: times of its records, and what is truly left."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.step = 0
        self.pid = 1
        self.events: list[Event] = []
        self.samples: list[Sample] = []
        self.kept: list[Checkpoint] = []
        self.beat = self.now

    def begin(self, setup: float) -> None:
        self.now += setup
        self.events.append(
            Event(len(self.events) + 1, self.now, "info", "started", "started", None)
        )
        if self.step == 0:
            self.evaluate()

    def evaluate(self) -> None:
        self.now += EVALUATION
        number = len(self.samples) + 1
        self.samples.append(Sample(number, self.step, "p", "adapter", "a", 1, "length", self.now))

    def train(self, steps: int, step_seconds: float = STEP) -> None:
        for _ in range(steps):
            self.now += step_seconds
            self.step += 1
            self.beat = self.now
            if self.step % EVERY == 0:
                self.evaluate()
                self.now += SAVE
                self.kept.append(Checkpoint(self.step, "", 1, "", None, self.now))

    def rewind(self, step: int) -> None:
        self.step = step
        self.samples = [sample for sample in self.samples if sample.step <= step]
        self.kept = [kept for kept in self.kept if kept.step <= step]
        self.pid += 1

    def look(self, pace: Pace) -> float | None:
        state = RunState("running", self.step, TOTAL, None, self.pid, 1.0, self.beat, 1_000.0, None)
        evaluated = [sample.step for sample in self.samples]
        pace.look(state, self.events, self.samples, self.kept, evaluated)
        return pace.remaining(TOTAL, self.now)

    def left(self, step_seconds: float = STEP) -> float:
        rounds = TOTAL // EVERY - self.step // EVERY
        return (TOTAL - self.step) * step_seconds + rounds * (EVALUATION + SAVE)


def test_nothing_is_told_before_the_first_step() -> None:
    machine = Machine()
    assert machine.look(Pace()) is None
    machine.begin(30)
    assert machine.look(Pace()) is None


def test_the_first_evaluation_counts_for_no_step() -> None:
    machine = Machine()
    machine.begin(30)
    machine.train(4)
    assert machine.look(Pace()) == pytest.approx((TOTAL - 4) * STEP)


@pytest.mark.parametrize("watched", [False, True])
def test_evaluations_and_saves_are_in_the_time_left(watched: bool) -> None:
    machine, pace = Machine(), Pace()
    machine.begin(30)
    for _ in range(119):
        machine.train(1)
        if watched:
            machine.look(pace)
    told = machine.look(pace)
    assert told == pytest.approx(machine.left(), rel=0.1)


@pytest.mark.parametrize("watched", [False, True])
def test_a_resume_on_a_faster_machine_forgets_the_slow_one(watched: bool) -> None:
    machine, pace = Machine(), Pace()
    machine.begin(30)
    machine.train(119, step_seconds=20.0)
    if watched:
        machine.look(pace)
    machine.now += 86_400.0
    machine.rewind(100)
    machine.begin(45)
    machine.train(5)
    told = machine.look(pace)
    assert told == pytest.approx(300 * STEP, rel=0.1), "the first steps tell the rate"
    machine.train(34)
    told = machine.look(pace)
    assert told == pytest.approx(machine.left(), rel=0.15)


def test_seconds_of_training_time_every_step_of_this_process() -> None:
    """Nobody watched and no sample was taken: the metric alone tells evaluations from steps."""
    machine = Machine()
    machine.begin(30)
    began, seconds = machine.now, []
    for _ in range(119):
        machine.train(1)
        at = machine.beat - began
        seconds.append((machine.step, at))
    state = RunState("running", 119, TOTAL, None, 1, 1.0, machine.beat, 1_000.0, None)
    pace = Pace()
    evaluated = list(range(0, 119, EVERY))
    pace.look(state, machine.events, (), (), evaluated, seconds)
    assert pace.remaining(TOTAL, machine.now) == pytest.approx(machine.left(), rel=0.1)
    # The clock ends a run before its last step does.
    minutes = (seconds[-1][1] + 30) / 60
    assert pace.remaining(TOTAL, machine.now + 10, minutes) == pytest.approx(20)
    assert pace.remaining(TOTAL, machine.now + 40, minutes) == 0
    assert pace.remaining(TOTAL, machine.now, 1e6) == pace.remaining(TOTAL, machine.now)


def test_the_time_goes_down_while_a_step_takes_its_time() -> None:
    machine, pace = Machine(), Pace()
    machine.begin(1)
    machine.train(30)
    before = machine.look(pace)
    machine.now += 3.0
    after = machine.look(pace)
    assert before is not None and after == pytest.approx(before - 3.0)


def test_of_a_run_that_hangs_the_time_left_does_not_run_out() -> None:
    machine, pace = Machine(), Pace()
    machine.begin(30)
    machine.train(50)
    left = machine.look(pace)
    assert left is not None
    machine.now += 10_000
    hangs = machine.look(pace)
    assert hangs is not None and hangs > left - STEP - EVALUATION - SAVE - 1
