"""The part of the Checks room that has a job ask, and follows one, whoever started it.

Knows jobs. They go on without the room: leaving it costs nothing, coming back finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from screens.base import Room
from screens.checks.looking import Looked, Seen, look
from screens.safe import text
from store import checkjobs
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from store.checkjobs import CheckJob

_LOOK_S = 1.0


class Begun(Message):
    """A job asks."""

    def __init__(self, job: CheckJob) -> None:
        super().__init__()
        self.job = job


class Following(Room):
    """A run and its suites, and the job that asks them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen | None = None
        self.job: CheckJob | None = None
        self._run: int | None = None
        self._suites: tuple[str, ...] = ()
        self._timer: Timer | None = None

    @property
    def asking(self) -> bool:
        """Whether a job asks for what this room shows."""
        return self.job is not None

    def look_again(self) -> None:
        """Read what is known."""
        self._look(self._run, self._suites)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, run_id: int | None, named: tuple[str, ...]) -> None:
        with self.open_catalogue() as cat:
            self.post_message(Looked(look(cat, run_id, named)))

    def begin(self, seen: Seen) -> None:
        """Have a job ask for what is missing."""
        self.status = Content("▶ starting")
        self._begin(seen)

    @work(thread=True, exclusive=True, group="begin", exit_on_error=False)
    def _begin(self, seen: Seen) -> None:
        from engine.checks import jobs, series

        with self.open_catalogue() as cat:
            job = jobs.start(cat, seen.suites, series.refs_of(cat, seen.run.id))
        self.post_message(Begun(job))

    @on(Begun)
    def _begun(self, event: Begun) -> None:
        self.follow(event.job)

    def follow(self, job: CheckJob | None) -> None:
        """Look how far a job is, once a second until it ends."""
        self.job = job
        if self._timer is not None and job is None:
            self._timer.stop()
            self._timer = None
        elif self._timer is None and job is not None:
            self._timer = self.set_interval(_LOOK_S, self._how_far)
        self._tell()

    def halt(self) -> None:
        """Stop the job; what was answered is kept."""
        from engine.checks import jobs

        if self.job is not None:
            jobs.stop(self.catalogue, self.job)
            self._how_far()

    def _how_far(self) -> None:
        from engine.checks import jobs

        if self.job is None:
            return
        living = {job.id for job in jobs.living(self.catalogue)}
        now = checkjobs.get(self.catalogue, self.job.id)
        if now.id in living:
            self.follow(now)
            return
        self.follow(None)
        self.look_again()
        if now.status == "failed":
            self.shell.show_error(WorkbenchError(now.saying, now.hint))

    def _tell(self) -> None:
        told = Content("")
        if self.job is not None:
            share = f" {self.job.done / self.job.total:.0%}" if self.job.total else ""
            told = Content.assemble(("▶ ", "$accent")) + text(f"asking{share}")
        self.status = told
        self.refresh_bindings()
