"""Several clients, one chat session: who is next, where an answer ends, who has left.

Knows the session's events and stop sequences. Does not know HTTP.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

from engine.chat.client import ChatSession
from engine.chat.protocol import Delta, Done, Failed, Started
from engine.serve.request import Question
from store.errors import BadInput, Conflict, WorkerDied

MAX_WAITING = 64
_LOOK_SECONDS = 0.3
"""How often one who waits looks whether its client is still there."""


class Left(Exception):
    """The client is gone: nobody is left to be told."""


class Ending(WorkerDied):
    """The server ends before the answer does."""

    def __init__(self) -> None:
        super().__init__("the server is ending", "Start it again with `workbench serve`.")


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is read: it has this many tokens."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete."""

    tokens: int
    reason: Literal["stop", "length"]


Events = Generator[Begun | str | Ended, None, None]


class Answerer:
    """Answers questions in the order in which they came, one at a time; any thread may ask."""

    def __init__(self, session: ChatSession) -> None:
        self._session = session
        self._line: deque[object] = deque()
        self._moved = threading.Condition()
        self._ending = False

    def answer(self, question: Question, left: Callable[[], bool]) -> Events:
        """`Begun`, the text in pieces, and `Ended`. Leaving the iterator early stops the answer.

        Args:
            left: whether the client is gone; asked while waiting and at every token.
        Raises:
            Left: it is.
            BadInput: the model refuses the question, e.g. as too long.
            Conflict: too many wait already.
            WorkerDied, Ending: the answer ends here.
        """
        cut = Cut(question.stops)
        with self._turn(left):
            turns, sampling = question.turns, question.sampling
            with closing(self._session.ask(turns, sampling)) as events:
                for event in events:
                    if left():
                        raise Left
                    match event:
                        case Started(prompt_ids=ids):
                            yield Begun(len(ids))
                        case Delta(text=text) if not cut.found():
                            if said := cut.feed(text):
                                yield said
                            if cut.found():
                                self._session.stop()
                        case Done(stop=stop, tokens=tokens):
                            if stop == "stopped" and not cut.found():
                                raise Ending
                            if rest := cut.rest():
                                yield rest
                            cut_short = stop == "length" and not cut.found()
                            yield Ended(tokens, "length" if cut_short else "stop")
                            return
                        case Failed(died=died, message=message, hint=hint):
                            raise (WorkerDied if died else BadInput)(message, hint)
        raise Ending

    def end(self, seconds: float) -> None:
        """Stop the answer that is being given and send the waiting away, for so long at most."""
        with self._moved:
            self._ending = True
            self._moved.notify_all()
            self._session.stop()
            self._moved.wait_for(lambda: not self._line, seconds)

    @contextmanager
    def _turn(self, left: Callable[[], bool]) -> Iterator[None]:
        me = object()
        with self._moved:
            if len(self._line) >= MAX_WAITING:
                raise Conflict(f"{MAX_WAITING} others are waiting already", "Try again later.")
            self._line.append(me)
        try:
            with self._moved:
                while self._line[0] is not me:
                    if left():
                        raise Left
                    if self._ending:
                        raise Ending
                    self._moved.wait(_LOOK_SECONDS)
            if self._ending:
                raise Ending
            yield
        finally:
            with self._moved:
                self._line.remove(me)
                self._moved.notify_all()


class Cut:
    """A text up to the first stop sequence; what may become one is held back until it is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self._found = False

    def found(self) -> bool:
        """Whether a stop sequence has been met."""
        return self._found

    def feed(self, text: str) -> str:
        """What may be told now."""
        held = self._held + text
        found = [at for stop in self._stops if (at := held.find(stop)) >= 0]
        self._found = bool(found)
        starts = (stop[:size] for stop in self._stops for size in range(1, len(stop)))
        keep = max((len(start) for start in starts if held.endswith(start)), default=0)
        told = min(found) if found else len(held) - keep
        self._held = "" if found else held[told:]
        return held[:told]

    def rest(self) -> str:
        """What was held back for nothing."""
        held, self._held = self._held, ""
        return held
