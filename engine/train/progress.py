"""A run as it goes, one record a step, for a command or a script that waits for it.

Knows the run database. Stopping to look never stops the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from engine.train.pace import Pace
from engine.train.status import LIVE, is_alive, reader, refresh
from store.catalogue import Catalogue
from store.rundb import Event, RunReader, Sample
from store.runs import Run

_POLL_S = 0.2
_EVALUATIONS = 100
_STEPS_TIMED = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """One step, or one change of status.

    Attributes:
        loss: at this very step; None before the first.
        eval_loss: the newest by then.
        seconds_left: at the speed so far; None while unknown, and of a step that others follow.
        events: what happened since the record before.
    """

    status: str
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    tokens_per_second: float | None
    seconds_left: float | None
    events: tuple[Event, ...]

    @property
    def news(self) -> tuple[str, ...]:
        """Texts of the events that are more than information."""
        return tuple(event.text for event in self.events if event.level != "info")

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values, without the events."""
        return {
            "status": self.status,
            "step": self.step,
            "total_steps": self.total_steps,
            "loss": self.loss,
            "eval_loss": self.eval_loss,
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
        }

    def __str__(self) -> str:
        parts = [f"step {self.step}/{self.total_steps or '?'}"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4f}")
        if self.eval_loss is not None:
            parts.append(f"eval {self.eval_loss:.4f}")
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:,.0f} tokens/s")
        if self.seconds_left is not None:
            parts.append(f"{self.seconds_left:,.0f} s left")
        return "   ".join(parts)


def follow(cat: Catalogue, run_id: int) -> Iterator[Progress]:
    """Every step of a run from the first, until it has ended.

    Of a run that is about to go on, what it did in earlier days is left out.

    Raises:
        NotFound: no such run.
    """
    follower = _Follower()
    while True:
        # Looked at before the database: a run that ends in between is seen whole next time.
        run = refresh(cat, run_id)
        with reader(cat, run_id) as run_db:
            yield from follower.news(run, run_db)
        if run.status not in LIVE or not is_alive(run):
            return
        time.sleep(_POLL_S)


class _Follower:
    """What was already told."""

    def __init__(self) -> None:
        self._step = 0
        self._status = ""
        self._event = 0
        self._silence: str | None = None
        self._samples: list[Sample] = []
        self._pace = Pace()
        self._left: float | None = None
        self._evaluated: list[tuple[int, float | None]] = []

    def news(self, run: Run, run_db: RunReader) -> Iterator[Progress]:
        """Records of what is new in the database."""
        state, events = run_db.state(), tuple(run_db.events())
        if state is not None:
            self._evaluated = run_db.exact("eval_loss", _EVALUATIONS)
            evaluated = [step for step, _ in self._evaluated]
            seconds = [(at, value) for at, value in run_db.exact("train_seconds", _STEPS_TIMED)
                       if value is not None]  # fmt: skip
            self._samples += run_db.samples(self._samples[-1].id if self._samples else 0)
            saved = run_db.checkpoints()
            self._pace.look(state, events, self._samples, saved, evaluated, seconds)
        self._left = None
        if run.status == "running":
            self._left = self._pace.left(run, time.time())
        new = tuple(event for event in events if event.id > self._event)
        self._event = new[-1].id if new else self._event
        new += self._silent(run)
        last = run_db.last()
        newest = last["loss"][0] if "loss" in last else 0
        if not self._status and run.status == "queued":
            self._step = newest
        # A run that was resumed takes back the steps that it repeats.
        self._step = min(self._step, newest)
        points = run_db.exact("loss", newest - self._step) if newest > self._step else []
        speeds = dict(run_db.exact("tokens_per_second", newest - self._step)) if points else {}
        for step, loss in points:
            if step > self._step:
                yield self._record(run, step, loss, new, speeds.get(step), over=step < newest)
                new = ()
                self._step = step
        if new or run.status != self._status:
            speed = last["tokens_per_second"][1] if "tokens_per_second" in last else None
            yield self._record(run, run.step, run.loss, new, speed)
        self._status = run.status

    def _silent(self, run: Run) -> tuple[Event, ...]:
        """That a run has fallen silent, once; no database has it, for its process says nothing."""
        before, self._silence = self._silence, run.reason if run.status == "running" else None
        if self._silence is None or self._silence == before:
            return ()
        return (Event(0, time.time(), "warn", "silent", self._silence, run.step),)

    def _record(
        self,
        run: Run,
        step: int,
        loss: float | None,
        events: tuple[Event, ...],
        speed: float | None,
        *,
        over: bool = False,
    ) -> Progress:
        """What was known at a step; of one that is over nothing is left."""
        known = [value for at, value in self._evaluated if at <= step]
        measured = known[-1] if known else None
        left = None if over else self._left
        return Progress(run.status, step, run.total_steps, loss, measured, speed, left, events)
