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
from engine.export.sizes import shard_of
from engine.export.stages import Stage
from screens.base import Room
from screens.export.looking import Wish
from screens.export.progress import Progress
from screens.safe import visible
from screens.widgets import words
from store.catalogue import Catalogue
from store.errors import WorkbenchError

Job = Callable[[Catalogue], list[Path]]
"""What a job writes or proves, as paths to look at when it is over."""


class Progressed(Message):
    """A stage began, moved on or was decided."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage


class Ended(Message):
    """The job of this window is over."""

    def __init__(self, made: list[Path], error: WorkbenchError | None) -> None:
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

    def export(self, wish: Wish, types: tuple[str, ...], *, force: bool = False) -> None:
        """Write and prove these types; `force` replaces earlier exports of these names."""

        def job(cat: Catalogue) -> list[Path]:
            made = client.export(
                cat, wish.ref, to=wish.to, types=types, out=wish.out, merge=wish.merge,
                force=force, shard=shard_of(wish.shard) if wish.shard else None,
                llama_cpp=wish.llama_cpp, on_event=self._on_stage, cancel=self._cancel,
            )  # fmt: skip
            return [Path(export.path) for export in made]

        self._begin(Progress(f"export of {visible(wish.ref)}", types, words.now()), job)

    def verify(self, file: Path, against: str) -> None:
        """Prove a file once more, or a foreign one."""

        def job(cat: Catalogue) -> list[Path]:
            client.verify(cat, file, against, on_event=self._on_stage, cancel=self._cancel)
            return [file]

        self._begin(Progress(f"proof of {visible(file.name)}", ("",), words.now()), job)

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
        proved = self.ended(event.made)
        if cancelled:
            self.say("Cancelled. Nothing was left behind.")
        elif not self.is_current and progress is not None:
            how = "is done: proved" if proved else "needs a look"
            self.say(f"The {progress.what} {how}.", bad=not proved)

    def action_cancel(self) -> None:
        self._cancel.set()

    def show_progress(self) -> None:
        """Show how far the job is."""
        raise NotImplementedError

    def began(self) -> None:
        """A job was started."""
        raise NotImplementedError

    def ended(self, made: list[Path]) -> bool:
        """A job is over, `made` is what there is to look at; whether all of it is proved."""
        raise NotImplementedError
