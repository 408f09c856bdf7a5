"""The part of the Export room that writes and proves: one job of this window at a time.

Knows the job that runs, how it is cancelled and how it ended. Does not convert or compare
anything: the engine's client does, in a process of its own, which ends with the window.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from textual import on, work
from textual.message import Message
from textual.timer import Timer

from engine.export import client
from engine.export.stages import Stage
from screens.base import Room
from screens.export.ledger import Record
from screens.export.looking import Wish
from screens.export.progress import Progress
from screens.widgets import words
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.exports import Export

Job = Callable[[Catalogue], list[Export]]


class Progressed(Message):
    """A stage began, moved on or was decided."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage


class Ended(Message):
    """The job of this window is over."""

    def __init__(self, made: list[Export], error: WorkbenchError | None) -> None:
        super().__init__()
        self.made = made
        self.error = error


class Working(Room):
    """A job and its progress."""

    def __init__(self) -> None:
        super().__init__()
        self.progress: Progress | None = None
        """What is being written or proved by this window; None when nothing is."""
        self.error: WorkbenchError | None = None
        """Why the newest job ended without a result, until it is read."""
        self._cancel = threading.Event()
        self._clock: Timer | None = None

    @property
    def parting(self) -> str:
        if self.progress is None:
            return ""
        return f"The {self.progress.what} ends with this window; nothing half-written stays."

    def on_unmount(self) -> None:
        self._cancel.set()

    def export(self, wish: Wish, types: tuple[str, ...]) -> None:
        """Write and prove these types."""

        def job(cat: Catalogue) -> list[Export]:
            return client.export(
                cat, wish.ref, to=wish.to, types=types, out=wish.out, merge=wish.merge,
                on_event=self._on_stage, cancel=self._cancel,
            )  # fmt: skip

        self._begin(Progress(f"export of {wish.ref}", types, words.now()), job)

    def verify(self, file: Path, against: str, record: Record | None = None) -> None:
        """Prove a file once more, or a foreign one."""

        def job(cat: Catalogue) -> list[Export]:
            client.verify(cat, file, against, on_event=self._on_stage, cancel=self._cancel)
            return [record.export] if record is not None and record.export is not None else []

        self._begin(Progress(f"proof of {file.name}", ("",), words.now()), job)

    def _begin(self, progress: Progress, job: Job) -> None:
        self.progress, self.error = progress, None
        self._cancel = threading.Event()
        self._clock = self.set_interval(1.0, self.show_progress)
        self.began()
        self._work(job)

    @work(thread=True, group="job", exit_on_error=False)
    def _work(self, job: Job) -> None:
        try:
            with self.open_catalogue() as cat:
                made = job(cat)
            self.post_message(Ended(made, None))
        except WorkbenchError as error:
            self.post_message(Ended([], error))

    def _on_stage(self, stage: Stage) -> None:
        self.post_message(Progressed(stage))

    @on(Progressed)
    def _progressed(self, event: Progressed) -> None:
        if self.progress is not None:
            self.progress.take(event.stage)
            self.show_progress()

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        cancelled = self._cancel.is_set()
        if self._clock is not None:
            self._clock.stop()
        progress, self.progress = self.progress, None
        self.error = None if cancelled else event.error
        self.ended(event.made)
        if cancelled:
            self.say("Cancelled. Nothing was left behind.")
        elif not self.is_current and progress is not None:
            failed = event.error is not None or any(e.status != "proved" for e in event.made)
            self.say(f"The {progress.what} {'needs a look' if failed else 'is done: proved'}.",
                     bad=failed)  # fmt: skip

    def action_cancel(self) -> None:
        self._cancel.set()

    def show_progress(self) -> None:
        """Show how far the job is."""
        raise NotImplementedError

    def began(self) -> None:
        """A job was started."""
        raise NotImplementedError

    def ended(self, made: list[Export]) -> None:
        """A job is over; `made` is what there is to look at."""
        raise NotImplementedError
