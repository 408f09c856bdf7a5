"""The caller's side of chat: columns, each a model, answered by as few workers as possible.

Knows which columns can share a worker and merges what the workers say into one stream. Does not
load models and records nothing: who asks decides what is kept.

Columns on one base share one worker and one batch. The base's own column is then held exactly as
the adapter beside it was trained on, NF4 included: the difference between the columns is the
adapter and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from engine.chat import protocol
from engine.chat.link import Launch, Link, socket_path, threads
from engine.chat.merging import Half, merge
from engine.chat.protocol import (
    Ask,
    AskRow,
    Attach,
    Done,
    Event,
    Failed,
    Leave,
    Message,
    Sealed,
    Seat,
)
from engine.data.rows import Turn
from engine.jobs.devices import lock_path, visible_devices
from engine.llama.client import MODULE as LLAMA_MODULE
from engine.llama.client import llama_spec
from engine.machine.facts import this_machine
from engine.models.folder import describe, weight_files
from engine.models.hashes import known_weights_sha256
from engine.models.refs import Model, resolve
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError, WorkerDied
from store.workspace import Workspace

MODULE = "engine.chat.worker"
IDLE_SECONDS = 900.0
Events = Generator[Event, None, None]
"""What becomes of a question; closing it early stops the answers."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn, as `protocol.Ask` has it; `temperature` 0 is greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


class ChatSession:
    """Columns ready to be asked; column i answers as `models[i]`.

    One thread asks; `stop` and `close` may be called from others.
    """

    def __init__(self, models: Sequence[Model], launches: Sequence[Launch], keep: bool) -> None:
        self.models = tuple(models)
        self._launches = tuple(launches)
        self._keep = keep
        self._links: dict[Launch, Link] = {}
        self._number = 0
        self._asked: int | None = None
        self._stopping = False

    @classmethod
    def open(
        cls,
        cat: Catalogue,
        refs: Sequence[str],
        *,
        keep: bool,
        on_event: Callable[[Message], None] | None = None,
    ) -> ChatSession:
        """Find or start the workers, load what is missing and check every seal.

        Args:
            keep: let workers started here stay until they have been idle for a while.
            on_event: hears `Loading`, `Ready` and `Sealed`.
        Raises:
            Conflict: a seal is broken, or a run's base changed since; nothing is asked.
            WorkbenchError: a reference or a worker refuses, or a worker died.
        """
        models = [resolve(cat, ref) for ref in refs]
        _same_bases(cat.workspace, models)
        session = cls(models, launches(cat.workspace, models), keep)
        try:
            for launch in dict.fromkeys(session._launches):
                session._link(launch, on_event)
        except WorkbenchError:
            session.close()
            raise
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        turns: Sequence[Turn],
        sampling: Sampling = Sampling(),
        likelihoods: bool = False,
    ) -> Events:
        """Ask every column the same; see `ask_rows`."""
        rows = [AskRow(column, model.ref, tuple(turns)) for column, model in enumerate(self.models)]
        return self.ask_rows(rows, sampling, likelihoods)

    def ask_rows(
        self,
        rows: Sequence[AskRow],
        sampling: Sampling = Sampling(),
        likelihoods: bool = False,
        on_sent: Callable[[], None] | None = None,
    ) -> Events:
        """Ask any rows, each naming the `ref` of one of `models`; answers arrive merged.

        Yields `Started`, `Delta` and, once a row, `Done` or `Failed`; `Loading` while a worker
        answers someone else. A worker that dies fails its own rows alone, and what they had said
        is in their `Failed`. Leaving the iterator early stops the answers.

        Args:
            likelihoods: every token is told with its text and its probability.
            on_sent: hears that the workers have the question.
        """
        self._number += 1
        self._asked = number = self._number
        self._stopping = False
        pending: dict[Link, dict[int, Half]] = {}
        try:
            for launch in dict.fromkeys(self._launches):
                mine = tuple(row for row in rows if self._launch_of(row.model) == launch)
                if not mine:
                    continue
                question = Ask(number, mine, likelihoods=likelihoods, **asdict(sampling))
                link = self._send(launch, question)
                pending[link] = {row.column: Half() for row in mine}
            if on_sent is not None:
                on_sent()
            if self._stopping:  # asked for while a worker was still starting
                self.stop()
            yield from merge(pending, number)
        finally:
            self._asked = None
            for link, columns in pending.items():
                if columns:
                    with suppress(WorkerDied):
                        link.send(protocol.Stop(number))

    def stop(self) -> None:
        """End what is being answered; each row then ends with stop reason `stopped`."""
        number = self._asked
        if number is None:
            return
        self._stopping = True
        for link in list(self._links.values()):
            with suppress(WorkerDied):
                link.send(protocol.Stop(number))

    def close(self) -> None:
        """Leave the workers."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _launch_of(self, ref: str) -> Launch:
        for model, launch in zip(self.models, self._launches, strict=True):
            if model.ref == ref:
                return launch
        raise Conflict(f"{ref} is not part of this session", "Open a session with it.")

    def _send(self, launch: Launch, question: Message) -> Link:
        """Send, starting the worker again if it left meanwhile (idle, or for a training run)."""
        link = self._link(launch, None)
        try:
            for _ in link.receive(timeout=0.001):
                pass  # leftovers of an answer that was left early
            link.send(question)
        except WorkerDied:
            self._links.pop(launch).close()
            link = self._link(launch, None)
            link.send(question)
        return link

    def _link(self, launch: Launch, on_event: Callable[[Message], None] | None) -> Link:
        if launch not in self._links:
            link = Link.open(launch, keep=self._keep, on_event=on_event)
            self._links[launch] = link
            served = zip(self.models, self._launches, strict=True)
            self._attach(link, dict.fromkeys(m for m, of in served if of == launch), on_event)
        return self._links[launch]

    def _attach(
        self, link: Link, models: Iterable[Model], on_event: Callable[[Message], None] | None
    ) -> None:
        self._number += 1
        seats = [
            Seat(m.ref, None if m.adapter is None else str(m.adapter), m.strength) for m in models
        ]
        link.send(Attach(self._number, tuple(seats)))
        seals = list(_seals(link, self._number, len(seats), on_event))
        for sealed in seals:
            if not sealed.ok:
                raise Conflict(
                    f"{sealed.model}: the seal is broken: {sealed.detail}",
                    "It would not be what it says. Try once more, or choose another checkpoint.",
                )


def _same_bases(workspace: Workspace, models: Sequence[Model]) -> None:
    for model in models:
        if model.base is None or model.base_sha256 is None:
            continue
        if known_weights_sha256(workspace, model.base) != model.base_sha256:
            raise Conflict(
                f"{model.ref}: the weights in {model.base} changed since it was trained on them",
                "Put the old weights back: on others the adapter is not what was trained.",
            )


def _seals(
    link: Link, number: int, count: int, on_event: Callable[[Message], None] | None
) -> Iterator[Sealed]:
    while count:
        for event in link.receive():
            if isinstance(event, Failed):
                raise WorkbenchError(event.message, event.hint)
            if on_event is not None:
                on_event(event)
            if isinstance(event, Sealed) and event.id == number:
                count -= 1
                yield event


def launches(workspace: Workspace, models: Sequence[Model]) -> list[Launch]:
    """The worker for each model; models on one base get the same one.

    A bare base joins the first adapter on it, in the precision that adapter was trained with.
    """
    shared: dict[Path, Model] = {}
    for model in models:
        if model.base is not None and model.adapter is not None:
            shared.setdefault(model.base, model)
    made: dict[Path, Launch] = {}
    chosen = []
    for model in models:
        launch = _launch(workspace, model, shared)
        chosen.append(made.setdefault(launch.socket, launch))
    return chosen


def _launch(workspace: Workspace, model: Model, shared: dict[Path, Model]) -> Launch:
    if model.gguf is not None:
        module, label, spec = LLAMA_MODULE, model.gguf.name, llama_spec(model.gguf)
    else:
        assert model.base is not None
        like = model if model.adapter is not None else shared.get(model.base, model)
        module, label, spec = MODULE, model.base_ref, _spec(workspace, model.base, like)
    socket = socket_path(workspace.sockets, module, spec)
    return Launch(module, label, spec, socket, _log(workspace, socket))


def _log(workspace: Workspace, socket: Path) -> Path:
    return workspace.logs / f"chat-{socket.stem}.log"


def _spec(workspace: Workspace, base: Path, like: Model) -> dict[str, object]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    device, *_ = visible_devices(this_machine().device, listed)
    facts = [(f.name, s.st_ino, s.st_size, s.st_mtime_ns) for f, s in _stats(base)]
    return {
        "base": str(base.resolve()),
        "version": hashlib.sha256(repr(facts).encode()).hexdigest()[:16],
        "label": like.base_ref,
        "quantization": like.quantization,
        "double_quantization": like.double_quantization and like.quantization is not None,
        "dtype": like.dtype,
        "threads": threads(describe(base).parameters),
        "device_lock": str(lock_path(workspace, device).resolve()),
        "idle_seconds": IDLE_SECONDS,
    }


def _stats(folder: Path) -> list[tuple[Path, os.stat_result]]:
    extra = [folder / name for name in ("config.json", "tokenizer.json", "chat_template.jinja")]
    files = [*weight_files(folder), *(file for file in extra if file.is_file())]
    return [(file, file.stat()) for file in files]


def free_device(workspace: Workspace) -> None:
    """Ask every worker of this workspace that answers nothing to leave: a run wants the device."""
    probe = socket_path(workspace.sockets, MODULE, {})
    for path in probe.parent.glob("*.sock"):
        link = Link.join(Launch(MODULE, path.stem, {}, path, _log(workspace, path)))
        if link is not None:
            link.send(protocol.Hello(protocol.VERSION, False))
            link.send(Leave())
            link.close()


def answer(
    session: ChatSession,
    conversations: Sequence[Sequence[Turn]],
    sampling: Sampling = Sampling(),
    *,
    on_done: Callable[[int], None] | None = None,
) -> list[list[Done | Failed]]:
    """Every conversation by every model of the session, batched.

    Args:
        on_done: hears how many answers have arrived.
    Returns:
        one list a conversation, in it one answer (or what failed) a model.
    """
    width = len(session.models)
    rows = [
        AskRow(number * width + column, model.ref, tuple(turns))
        for number, turns in enumerate(conversations)
        for column, model in enumerate(session.models)
    ]
    found: dict[int, Done | Failed] = {}
    for start in range(0, len(rows), protocol.MAX_ROWS):
        for event in session.ask_rows(rows[start : start + protocol.MAX_ROWS], sampling):
            if isinstance(event, Done | Failed) and event.column is not None:
                found[event.column] = event
                if on_done is not None:
                    on_done(len(found))
    return [
        [found[number * width + column] for column in range(width)]
        for number in range(len(conversations))
    ]
