"""The thread that asks: one for the room, with the session of the last models kept open.

A session that is open need not be found, loaded and proved again, so that a question to the same
models is with them at once. Knows sessions and how to post what they say; touches no widget.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from engine.chat.protocol import AskRow, Sealed
from engine.chat.protocol import Message as Said
from engine.models import refs
from screens.chat.stream import Ended, Seated, Told, pump
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.chat.client import ChatSession
    from engine.models.refs import Model
    from screens.chat.settings import Settings
    from screens.chat.writing import Asks
    from store.catalogue import Catalogue

PATIENCE = 0.03
"""Seconds that the interface stands still at most, so that a question leaves before it is shown."""


class Broken(Message):
    """The thread met a fault of ours."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class _Open:
    """A session, and what it was opened for: models, and the sockets of those who answer."""

    session: ChatSession
    models: tuple[Model, ...]
    workers: tuple[Path, ...]


class Asker:
    """Asks one question after the other; `ask` and `stop` are for the interface's thread."""

    def __init__(
        self, open_catalogue: Callable[[], Catalogue], post: Callable[[Message], object]
    ) -> None:
        self._open_catalogue = open_catalogue
        self._post = post
        self._jobs: queue.SimpleQueue[tuple[Asks, Settings, Sequence[str]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way = threading.Event()
        self._stopping = False
        self._asking = False
        self._open: _Open | None = None
        self._seals: list[Sealed] = []
        """What was proved when the open session began: it holds for every question in it."""

    def ask(self, asks: Asks, settings: Settings, beside: Sequence[str] = ()) -> None:
        """Have a question answered; `Ended` is the last that is posted of it.

        Args:
            beside: references that are not asked now, but before and after: they keep their seats,
                and a base is held as it is with the adapters beside it.
        """
        self._stopping = False
        self._under_way.clear()
        self._jobs.put((asks, settings, beside))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
            self._thread.start()
        elif self._open is not None:
            self._under_way.wait(PATIENCE)

    def stop(self) -> bool:
        """End what is being answered; False where no model is at it yet."""
        self._stopping = True
        held = self._open
        if held is None or not self._asking:
            return False
        held.session.stop()
        return True

    def close(self) -> None:
        """Ask no more."""
        self.stop()
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: WorkbenchError | None = None
            try:
                self._answer(*job)
            except WorkbenchError as problem:
                error = problem
                self._leave()
            except Exception as fault:  # noqa: BLE001  # raised again by the room
                self._post(Broken(fault))
                self._leave()
            finally:
                self._asking = False
                self._under_way.set()
            self._post(Ended(None if self._stopping else error))
        self._leave()

    def _answer(self, asks: Asks, settings: Settings, beside: Sequence[str]) -> None:
        from engine.chat.client import Sampling

        with self._open_catalogue() as cat:
            models = tuple(refs.resolve(cat, ref) for _, ref, _ in asks)
            self._post(Seated([(model.ref, model.label) for model in models]))
            session = self._session(cat, models, beside)
            rows = [
                AskRow(place, model.ref, turns)
                for model, (place, _, turns) in zip(models, asks, strict=True)
            ]
            self._asking = True
            sampling = Sampling(**settings.sampling)
            said = session.ask_rows(rows, sampling, likelihoods=True, on_sent=self._under_way.set)
            pump(said, self._post)

    def _session(
        self, cat: Catalogue, models: tuple[Model, ...], beside: Sequence[str]
    ) -> ChatSession:
        """The open session where it has these models as they are now, else a new one."""
        from engine.chat.client import ChatSession

        held = self._open
        if held is not None and held.workers == _workers(cat, held.models):
            seated = set(held.models)
            if set(models) == seated or (beside and set(models) < seated):
                for seal in self._seals:
                    self._post(Told(seal))
                return held.session
        self._leave()
        self._seals = []
        wanted = list(models)
        for ref in beside:
            with suppress(WorkbenchError):  # it will be told when it is asked
                wanted.append(refs.resolve(cat, ref))
        wanted = list(dict.fromkeys(wanted))
        seats = [model.ref for model in wanted]
        session = ChatSession.open(cat, seats, keep=True, on_event=self._heard)
        self._open = _Open(session, tuple(wanted), _workers(cat, wanted))
        return session

    def _heard(self, event: Said) -> None:
        """What a worker says while it gets ready; raising is how to stop waiting for it."""
        if self._stopping:
            raise WorkbenchError("stopped while the model was loading", "Send again to go on.")
        if isinstance(event, Sealed):
            self._seals.append(event)
        self._post(Told(event))

    def _leave(self) -> None:
        held, self._open = self._open, None
        if held is not None:
            held.session.close()


def _workers(cat: Catalogue, models: Sequence[Model]) -> tuple[Path, ...]:
    """The sockets of those who answer for these models, which say how each base is held."""
    from engine.chat.client import launches

    return tuple(launch.socket for launch in launches(cat.workspace, models))
