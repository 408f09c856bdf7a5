"""Shares of a long piece of work for light worker processes, answered in order.

Knows processes, pipes and frames. Does not know what is worked on: see `parallel_process`. Closing
the generator ends the workers at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from engine.jobs.process import environment, python_module
from store.errors import BadInput, Conflict, NotFound, Unsupported, WorkbenchError, WorkerDied

DEPTH = 3
"""Shares that a worker has at once: one in work, and the next at hand."""

_MODULE = "engine.data.background.parallel_process"
_ERRORS: dict[str, type[WorkbenchError]] = {
    kind.__name__: kind for kind in (BadInput, Conflict, NotFound, Unsupported)
}


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a worker sends back: the result, or what went wrong."""

    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: tuple[str, str, str] | None = None


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def spread(
    work: str, setting: object, shares: Iterable[object], processes: int
) -> Iterator[msgspec.Raw]:
    """Work on every share, several at a time; answers come in the order of the shares.

    Args:
        work: a name of `parallel_process.WORKS`.
        setting: what each worker is told once; msgspec encodes it, and the shares.
    Raises:
        WorkbenchError: as a worker met it.
        WorkerDied: a worker ended, as by running out of memory.
    """
    crew = [_Worker(work, setting) for _ in range(max(processes, 1))]
    waiting: deque[_Worker] = deque()
    try:
        for number, share in enumerate(shares):
            worker = crew[number % len(crew)]
            worker.send(share)
            waiting.append(worker)
            if len(waiting) >= DEPTH * len(crew):
                yield waiting.popleft().receive()
        while waiting:
            yield waiting.popleft().receive()
    finally:
        for worker in crew:
            worker.end()


def read_frame(source: IO[bytes]) -> bytes | None:
    """The next frame: four bytes of length, then the content; None at the end."""
    head = source.read(4)
    if len(head) < 4:
        return None
    content = source.read(int.from_bytes(head, "little"))
    return content if len(content) == int.from_bytes(head, "little") else None


def write_frame(target: IO[bytes], content: bytes) -> None:
    """Write one frame."""
    target.write(len(content).to_bytes(4, "little"))
    target.write(content)
    target.flush()


class _Worker:
    """One process, and a thread that feeds it, so that nobody waits for a full pipe."""

    def __init__(self, work: str, setting: object) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            python_module(_MODULE, work),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment({"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}),
        )
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self._outbox: queue.Queue[bytes | None] = queue.Queue()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()
        self.send(setting)

    def send(self, share: object) -> None:
        self._outbox.put(self._encoder.encode(share))

    def receive(self) -> msgspec.Raw:
        assert self._process.stdout is not None
        frame = read_frame(self._process.stdout)
        if frame is None:
            raise WorkerDied(f"a worker process ended early{self._last_words()}", "Try again.")
        answer = self._decoder.decode(frame)
        if answer.error is not None:
            name, message, hint = answer.error
            raise _ERRORS.get(name, BadInput)(message, hint)
        return answer.result

    def end(self) -> None:
        self._outbox.put(None)
        self._process.kill()
        self._process.wait()
        self._feeder.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._log.close()

    def _feed(self) -> None:
        assert self._process.stdin is not None
        while (content := self._outbox.get()) is not None:
            try:
                write_frame(self._process.stdin, content)
            except OSError:
                return

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f" (exit status {self._process.returncode}{': ' + lines[-1] if lines else ''})"
