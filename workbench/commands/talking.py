"""A conversation in the terminal, line by line, with one or more models at once.

Knows lines, the few commands that begin with `/`, and what ctrl+c means while a model speaks.
Every column keeps the history of its own answers.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, Self

from store.visible import visible
from workbench.output import complain, say

if TYPE_CHECKING:
    from engine.chat.client import ChatSession, Sampling
    from engine.chat.protocol import AskRow, Done, Failed, Message
    from engine.data.rows import Turn
    from store.catalogue import Catalogue

_HELP = "/system TEXT sets the system message · /reset begins again · /exit or ctrl+d leaves"


def talk(cat: Catalogue, names: Sequence[str], sampling: Sampling, system: str) -> None:
    """Ask, answer and remember until the person leaves."""
    from engine.chat.client import ChatSession
    from engine.chat.protocol import Sealed

    with suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its keys and its memory of lines
    seals: dict[str, str] = {}

    def hear(message: Message) -> None:
        if isinstance(message, Sealed):
            seals[message.model] = message.detail

    with ChatSession.open(cat, names, keep=False, on_event=hear) as session:
        for number, (name, model) in enumerate(zip(names, session.models, strict=True)):
            say(f"{letter(number)} · {name} · {seals[model.ref]}")
        say(f"{_HELP} · ctrl+c stops an answer")
        conversation = _Conversation(cat, session, names, sampling, system)
        _converse(conversation, session)


def _converse(conversation: _Conversation, session: ChatSession) -> None:
    with _CtrlC(session) as ctrl_c:
        while (line := ctrl_c.line()) is not None:
            command, _, rest = line.partition(" ")
            match command:
                case "/exit":
                    return
                case "/reset":
                    conversation.reset(conversation.system)
                    say("a new conversation")
                case "/system":
                    conversation.reset(rest.strip())
                    way = "with" if rest.strip() else "without"
                    say(f"a new conversation, {way} a system message")
                case _ if command.startswith("/"):
                    say(f"{_HELP} · a space before the / asks it as it is")
                case _ if line.strip():
                    conversation.ask(line.strip(), ctrl_c)


class _Conversation:
    """What was said so far, a history a column, and where it is recorded."""

    def __init__(
        self,
        cat: Catalogue,
        session: ChatSession,
        names: Sequence[str],
        sampling: Sampling,
        system: str,
    ) -> None:
        self._cat, self._session, self._names, self._sampling = cat, session, names, sampling
        self.reset(system)

    def reset(self, system: str) -> None:
        """Begin again."""
        from engine.data.rows import Turn

        self.system = system
        self._chat: int | None = None
        self._last: int | None = None
        first = [Turn("system", system)] if system else []
        self._histories: list[list[Turn]] = [list(first) for _ in self._names]

    def ask(self, prompt: str, ctrl_c: _CtrlC) -> None:
        """One question and its answers; a column that fails has not heard it."""
        from engine.chat import record
        from engine.chat.protocol import AskRow, Failed
        from engine.data.rows import Turn
        from store.errors import WorkbenchError

        asked = Turn("user", prompt)
        rows = [
            AskRow(column, model.ref, (*history, asked))
            for column, (model, history) in enumerate(
                zip(self._session.models, self._histories, strict=True)
            )
        ]
        try:
            with ctrl_c.answering():
                answers = stream(self._session, self._names, rows, self._sampling)
        except WorkbenchError as error:
            complain(error.message, error.hint)
            return
        for name, history, answer in zip(self._names, self._histories, answers, strict=True):
            if isinstance(answer, Failed):
                complain(f"{name}: {answer.message}", answer.hint)
            else:
                history += [asked, Turn("assistant", answer.text)]
        if all(isinstance(answer, Failed) and not answer.text for answer in answers):
            return
        if self._chat is None:
            self._chat = record.begin(
                self._cat, prompt, system=self.system, sampling=self._sampling
            )
        self._last = record.exchange(
            self._cat,
            self._chat,
            prompt,
            answers,
            seed=self._sampling.seed,
            models=self._names,
            after=self._last,
        )


def stream(
    session: ChatSession,
    names: Sequence[str],
    rows: Sequence[AskRow],
    sampling: Sampling,
    *,
    quiet: bool = False,
) -> list[Done | Failed]:
    """The answers in the order of the models; the first unfinished one is shown as it comes."""
    from engine.chat.protocol import Delta, Done, Failed, Loading

    done: dict[int, Done | Failed] = {}
    waiting: dict[int, list[str]] = {column: [] for column in range(len(names))}
    shown = -1
    for event in session.ask_rows(rows, sampling):
        match event:
            case Delta():
                waiting[event.column].append(event.text)
            case Done() | Failed() if event.column is not None:
                done[event.column] = event
            case Loading() if sys.stderr.isatty():
                sys.stderr.write(f"  {visible(event.text)}\n")
        if quiet:
            continue
        while True:
            if shown >= 0:
                _write("".join(waiting[shown]))
                waiting[shown].clear()
                if shown not in done:
                    break
                _close(done[shown])
            shown += 1
            if shown == len(names):
                break
            if len(names) > 1:
                say(f"{letter(shown)} · {names[shown]}")
    return [done[column] for column in range(len(names))]


def letter(column: int) -> str:
    """What a column is called."""
    return chr(ord("A") + column)


def _write(text: str) -> None:
    sys.stdout.write(visible(text, keep_newlines=True))
    sys.stdout.flush()


def _close(done: Done | Failed) -> None:
    from engine.chat.protocol import Failed

    if isinstance(done, Failed):
        said = f"the worker died after {done.tokens} tokens" if done.text else "no answer"
        say(f"\n  {said}")
        return
    speed = done.tokens / done.seconds if done.seconds > 0 else 0.0
    say(f"\n  {done.tokens} tokens · {speed:.0f} tok/s · {done.stop}")


class _CtrlC:
    """What ctrl+c means now: leave the line, stop the answers, or (in between) nothing.

    Who presses it just as an answer ends wants the end of that answer and not of the program.
    """

    def __init__(self, session: ChatSession) -> None:
        self._session = session
        self._now: Literal["reading", "answering", "stopping", "between"] = "between"

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _pressed(self, *_: object) -> None:
        if self._now == "answering":
            self._now = "stopping"
            # Not here: this thread may be in the middle of sending.
            threading.Thread(target=self._session.stop, daemon=True).start()
        elif self._now != "between":  # pressed again, the answer does not stop: leave
            raise KeyboardInterrupt

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While open, it stops the answers; a second one leaves."""
        self._now = "answering"
        try:
            yield
        finally:
            self._now = "between"

    def line(self) -> str | None:
        """The next line that is typed; None at the end of the input."""
        while True:
            try:
                self._now = "reading"
                return input("> ")
            except EOFError:
                say("")
                return None
            except KeyboardInterrupt:
                say("\n  ctrl+d leaves")
            except UnicodeDecodeError:
                say("  not UTF-8; type it again")
            finally:
                self._now = "between"
