"""A run as it goes, one record a step, for a command or a script that waits for it.

Knows the run database. Stopping to look never stops the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from engine.train.status import LIVE, is_alive, reader, refresh
from store.catalogue import Catalogue
from store.rundb import RunReader
from store.runs import Run

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """One step, or one change of status.

    Attributes:
        loss: at this very step; None before the first.
        eval_loss: the newest.
        seconds_left: at the speed so far; None while unknown.
        news: texts of events since the record before.
    """

    status: str
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    tokens_per_second: float | None
    seconds_left: float | None
    news: tuple[str, ...]

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

    def news(self, run: Run, run_db: RunReader) -> Iterator[Progress]:
        """Records of what is new in the database."""
        events = run_db.events(self._event)
        texts = tuple(event.text for event in events if event.level != "info")
        self._event = events[-1].id if events else self._event
        last = run_db.last()
        newest = last["loss"][0] if "loss" in last else 0
        points = run_db.exact("loss", max(newest - self._step, 0)) if newest > self._step else []
        speed = last["tokens_per_second"][1] if "tokens_per_second" in last else None
        for step, loss in points:
            if step > self._step:
                yield self._record(run, step, loss, speed, texts)
                texts = ()
                self._step = step
        if texts or run.status != self._status:
            yield self._record(run, run.step, run.loss, speed, texts)
        self._status = run.status

    def _record(
        self, run: Run, step: int, loss: float | None, speed: float | None, news: tuple[str, ...]
    ) -> Progress:
        left = None
        if run.total_steps and run.started and step:
            pace = (time.time() - run.started) / step
            left = max(run.total_steps - step, 0) * pace if run.status == "running" else None
        return Progress(run.status, step, run.total_steps, loss, run.eval_loss, speed, left, news)
