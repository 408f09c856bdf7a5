"""Questions to a GGUF file, answered by llama.cpp in a process of our own.

Knows how to start the worker and wait for it. Does not load llama.cpp. Used by the export proof;
chatting with a file goes through `engine.chat.client`, which starts the same worker.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.chat.link import Launch, Link, socket_path, threads
from engine.chat.protocol import (
    VERSION,
    Ask,
    AskRow,
    Attach,
    Done,
    Event,
    Failed,
    Hello,
    Sealed,
    Seat,
)
from engine.data.rows import Turn
from engine.llama import protocol
from store.errors import Conflict, NotFound, WorkbenchError

MODULE = "engine.llama.worker"
ITSELF = ""
"""The name under which the file without an adapter is asked."""
T = TypeVar("T")
_COUNT_SECONDS = 5.0
_AT_ONCE = 1_000_000
"""Characters of texts in one request; in JSON one takes up to six bytes."""


class LlamaWorker:
    """A private worker for one file; use it as a context manager.

    Every method raises WorkerDied, naming the log, if llama.cpp ends the process, and a
    WorkbenchError in the worker's words if it refuses.
    """

    def __init__(self, link: Link, folder: Path) -> None:
        self._link = link
        self._folder = folder
        self._number = 0

    @classmethod
    def open(
        cls, gguf_path: Path, log_path: Path, *, n_ctx: int = 0, exact: bool = True
    ) -> LlamaWorker:
        """Start a worker and load the file.

        Args:
            log_path: where everything that llama.cpp says goes.
            n_ctx: positions to hold; 0 takes what the file was trained for, at most 8,192.
            exact: float32 cache and no flash attention, so that only the weights differ.
        Raises:
            NotFound: no such file.
            BadInput, WorkerDied: llama.cpp refuses the file, or dies of it.
        """
        if not gguf_path.is_file():
            raise NotFound(f"{gguf_path}: no such file", "Check the path of the GGUF file.")
        folder = Path(tempfile.mkdtemp(prefix="wb-"))
        log_path.parent.mkdir(parents=True, exist_ok=True)
        spec = llama_spec(gguf_path, context=n_ctx, exact=exact)
        launch = Launch(
            MODULE,
            gguf_path.name,
            spec,
            socket_path(folder, MODULE, spec),
            log_path,
            protocol.Event,
        )
        try:
            worker = cls(Link.open(launch, keep=False), folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            worker.attach(ITSELF)
        except BaseException:
            worker.close()
            raise
        return worker

    def attach(self, name: str, adapter: Path | None = None, strength: float = 1.0) -> Sealed:
        """Seat the file itself, or an adapter on it, as `name`, which other calls then take.

        Raises:
            BadInput: llama.cpp refuses the adapter. Conflict: its seal is broken.
        """
        seat = Seat(name, None if adapter is None else str(adapter.resolve()), strength)
        sealed = self._one(Attach(self._next(), (seat,)), Sealed)
        if not sealed.ok:
            raise Conflict(f"{adapter or name}: {sealed.detail}", "Choose another adapter.")
        return sealed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        self._link.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def describe(self) -> protocol.Description:
        """Metadata, template, special ids and sizes."""
        return self._one(protocol.Describe(self._next()), protocol.Description)

    def tokenize(
        self, texts: Sequence[str], *, parse_special: bool = True, add_bos: bool = False
    ) -> list[list[int]]:
        """Ids of texts by the file's tokenizer; `add_bos` lets its own BOS/EOS settings act."""
        found: list[list[int]] = []
        for part in _parts(texts):
            request = protocol.Tokenize(self._next(), part, parse_special, add_bos)
            found += self._one(request, protocol.Tokens).ids
        return found

    def render(
        self, conversations: Sequence[Sequence[Turn]], *, generation_prompt: bool = False
    ) -> list[str]:
        """Conversations through the file's own chat template."""
        turns = [tuple(conversation) for conversation in conversations]
        request = protocol.Render(self._next(), turns, generation_prompt)
        return self._one(request, protocol.Texts).texts

    def is_eog(self, ids: Sequence[int]) -> list[bool]:
        """Whether generation ends at each id."""
        request = protocol.EndOfGeneration(self._next(), list(ids))
        return self._one(request, protocol.Flags).flags

    def logits(
        self, sequences: Sequence[Sequence[int]], *, model: str = ITSELF
    ) -> NDArray[np.float32]:
        """Logits at every position of the sequences, each read from an empty cache.

        Returns:
            float32, shape (sum of lengths, vocabulary), mapped from a file that is already
            unlinked: memory stays bounded however long the text is.
        """
        path = self._folder / "logits.npy"
        asked = [list(ids) for ids in sequences]
        request = protocol.Logits(self._next(), model, asked, str(path))
        self._one(request, protocol.LogitsWritten)
        values: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        path.unlink()
        return values

    def ask(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        model: str = ITSELF,
    ) -> list[Done]:
        """Answer conversations one after the other; greedy unless told otherwise."""
        rows = tuple(
            AskRow(column, model, tuple(turns)) for column, turns in enumerate(conversations)
        )
        request = Ask(self._next(), rows, max_tokens, temperature, top_p, seed)
        self._link.send(request)
        done: dict[int, Done] = {}
        for event in self._events(request.id):
            if isinstance(event, Done):
                done[event.column] = event
            if len(done) == len(rows):
                break
        return [done[row.column] for row in rows]

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _one(self, request: Any, answer: type[T]) -> T:
        self._link.send(request)
        for event in self._events(request.id):
            if isinstance(event, answer):
                return event
        raise AssertionError("unreachable")

    def _events(self, number: int) -> Iterator[Event]:
        while True:
            for event in self._link.receive():
                if isinstance(event, Failed):
                    raise WorkbenchError(event.message, event.hint)
                if event.id == number:
                    yield event


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, no more at once than a worker reads as one line."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > _AT_ONCE:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part


def count(launch: Launch, turns: Sequence[Turn], *, start: bool) -> protocol.Counts | None:
    """How long a conversation is, asked of the worker that would answer it.

    Args:
        start: start it where it does not run.
    Returns:
        None where it does not run, or is busy for longer than a person would wait.
    Raises:
        WorkbenchError: the file's template refuses these turns, or the worker died.
    """
    launch = replace(launch, events=protocol.Event)
    link = Link.open(launch, keep=True) if start else Link.join(launch)
    if link is None:
        return None
    try:
        if not start:
            link.send(Hello(VERSION, False))
        link.send(protocol.Count(0, [tuple(turns)]))
        until = time.monotonic() + _COUNT_SECONDS
        while (left := until - time.monotonic()) > 0:
            for event in link.receive(left):
                if isinstance(event, protocol.Counts):
                    return event
                if isinstance(event, Failed):
                    raise WorkbenchError(event.message, event.hint)
        return None
    finally:
        link.close()


def llama_spec(path: Path, *, context: int = 0, exact: bool = False) -> dict[str, object]:
    """The start-up options of a worker for `path`; a changed file is another worker's."""
    found = path.stat()
    return {
        "path": str(path.resolve()),
        "version": f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}",
        "context": context,
        "exact": exact,
        "threads": threads(),
        "gpu_layers": 0 if exact else -1,
        "idle_seconds": 900.0,
    }
