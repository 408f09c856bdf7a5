"""A look through all rows, in a process of its own: the client's side.

Knows how to start a scan, hear from it and end it. Does not know how rows are looked at: that is
`background.process`. Nothing of a scan shares the interface's interpreter, so no key waits for it.
A scan reads the file and the journal by itself, sees the edits that were made before it began, and
dies with whoever started it, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO

import msgspec

from engine.data.background.events import (
    DECODER,
    HEAD,
    AnyEvent,
    Done,
    Event,
    Failed,
    Hits,
    Report,
    Table,
    Value,
    pack,
)
from engine.jobs.process import environment, python_module
from store.visible import visible
from store.workspace import Workspace

__all__ = [
    "AnyEvent",
    "Done",
    "Event",
    "Failed",
    "Filter",
    "Frequency",
    "Hits",
    "Making",
    "Order",
    "Planning",
    "Repairs",
    "Report",
    "Request",
    "Scan",
    "Search",
    "Table",
    "Task",
    "Value",
    "warm",
]

MODULE = "engine.data.background.process"
_POLL_BYTES = 4 << 20
"""How much one call of `poll` takes in at most: a frame of the screen has no more time."""


class Request(msgspec.Struct, frozen=True, tag=True):
    """What is asked of a scan. Rows are numbered from 1, as the document stands when it starts."""


class Search(Request, frozen=True, tag=True):
    """Rows that have words or a regular expression; see `engine.data.find`. Answers with Hits."""

    text: str
    regex: bool = False
    case: bool | None = None
    after: int = 0


class Filter(Request, frozen=True, tag=True):
    """Rows that fit an expression; see `engine.data.filter`. Answers with Hits.

    A Report `stale` counts the rows whose findings are left out, as they were edited since.
    `model` is whose tokens are counted, where the expression asks for tokens.
    """

    text: str
    model: str = "starter"


class Frequency(Request, frozen=True, tag=True):
    """The values of a field by how often they are there. Answers with Tables, each complete."""

    field: str
    limit: int = 200
    model: str = "starter"


class Order(Request, frozen=True, tag=True):
    """All rows in an order; answers with one Hits, rows in that order (see `find.order`)."""

    key: str
    reverse: bool = False
    model: str = "starter"


class Making(msgspec.Struct, frozen=True):
    """That proposed changes are to be made.

    Attributes:
        moment: the state of the document in which they were looked at; in another none is made.
        label: what the step of undo is called.
        but: rows to leave as they are, unsigned 64 bit numbers.
    """

    moment: int
    label: str
    but: bytes = b""


class Planning(Request, frozen=True, tag=True):
    """What find and replace would change; see `engine.data.find.replace`.

    Answers with Reports: kind `plan` with a list of rows, those that would go as negative numbers;
    then `skipped` with how many rows have the words and cannot be changed, and why the first
    cannot. With `make` all of it is changed, and the Reports are `progress`, `made` with the
    number of rows, and `skipped`. `rows`: unsigned 64 bit numbers; None for all rows.
    """

    text: str
    by: str
    regex: bool = False
    case: bool | None = None
    rows: bytes | None = None
    fields: tuple[str, ...] | None = None
    make: Making | None = None


class Repairs(Request, frozen=True, tag=True):
    """What the bulk repair of a kind of finding would change. Answers as `Planning` does."""

    kind: str
    model: str = "starter"
    make: Making | None = None


class Task(msgspec.Struct, frozen=True):
    """What the worker is told first: where, and what."""

    workspace: str
    where: str
    request: Request


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that waits for its task, and the file that it complains into."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]


class Scan:
    """One scan; use `Scan.start`. Not for several threads at once."""

    def __init__(self, worker: Worker) -> None:
        process = worker.process
        assert process.stdout is not None
        self._process = process
        self._complaints = worker.complaints
        self._out = process.stdout.fileno()
        self._buffer = bytearray()
        self._ended = False
        os.set_blocking(self._out, False)

    @classmethod
    def start(cls, workspace: Workspace, where: str | os.PathLike[str], request: Request) -> Scan:
        """Begin to look through the dataset `where`; returns at once."""
        worker = _spares.pop() if _spares else _begun()
        if worker.process.poll() is not None:
            worker = _begun()
        scan = cls(worker)
        root = os.path.abspath(workspace.root)
        task = Task(root, os.path.abspath(where) if _is_plain(where) else os.fspath(where), request)
        stdin = worker.process.stdin
        assert stdin is not None
        # The pipe stays open: when it closes, whoever started the scan is gone, and so it goes.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(pack(task))
            stdin.flush()
        return scan

    @property
    def pid(self) -> int:
        """Its process, which leads a group of its own."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """False once `poll` has given Done or Failed, or it was cancelled."""
        return not self._ended

    def poll(self) -> list[AnyEvent]:
        """What has been said since the last time; never waits. Done or Failed is the last."""
        if self._ended:
            return []
        gone = self._take_in()
        events: list[AnyEvent] = []
        at = 0
        while len(self._buffer) - at >= HEAD:
            size = int.from_bytes(self._buffer[at : at + HEAD], "little")
            if len(self._buffer) - at - HEAD < size:
                break
            events.append(DECODER.decode(memoryview(self._buffer)[at + HEAD : at + HEAD + size]))
            at += HEAD + size
        del self._buffer[:at]
        if any(isinstance(event, Done | Failed) for event in events):
            self._end()
        elif gone:
            events.append(self._died())
        return events

    def cancel(self) -> None:
        """End it now, wherever it is; nothing is left of it. Harmless when it has ended."""
        self._end()

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to poll, at most so long; for commands, not for screens."""
        if self._ended:
            return True
        ready, _, _ = select.select([self._out], [], [], seconds)
        return bool(ready)

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _take_in(self) -> bool:
        """Read what lies in the pipe; True when the other end is closed."""
        taken = 0
        while taken < _POLL_BYTES:
            try:
                part = os.read(self._out, 1 << 20)
            except BlockingIOError:
                return False
            if not part:
                return True
            self._buffer += part
            taken += len(part)
        return False

    def _died(self) -> Failed:
        self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        code = self._process.returncode
        self._end()
        why = said[-1] if said else f"it ended with code {code}"
        return Failed(
            kind="WorkerDied",
            message=visible(f"the scan ended without an answer: {why}"),
            hint="try again; if it happens again, report this line",
        )

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        # Its group goes with it: a scan may have processes of its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


_spares: list[Worker] = []


def warm() -> None:
    """Have a process ready, so that the next scan begins at once instead of in half a second.

    For an interface, when a search or a filter is about to be typed. It goes with the interface.
    """
    if not _spares:
        _spares.append(_begun())


def _begun() -> Worker:
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the scan
    process = subprocess.Popen(
        python_module(MODULE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
        # A group of its own: what it starts itself is ended with it, and ctrl+c is not its.
        start_new_session=True,
    )
    return Worker(process, complaints)


def _is_plain(where: str | os.PathLike[str]) -> bool:
    return os.path.lexists(where)
