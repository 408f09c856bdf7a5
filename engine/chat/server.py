"""The socket side of a resident worker: who is connected, what is asked, when to leave.

Knows JSON lines over a Unix socket, requests that take turns, and the rules
of staying: a worker leaves when it has been idle too long, when asked to while it is idle, or,
if it was started for one command, with its last client. Does not know any model: a `Backend`
runs in a thread of its own and speaks through the `say` it is given.

A client that breaks the rules is told and dropped; one that does not read is dropped. An error
the backend did not foresee ends the process with its trace in the log, and every client sees so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

from engine.chat import protocol
from engine.chat.protocol import Close, Failed, Hello, Leave, Loading, Message, Ready, Stop
from store.errors import WorkbenchError, WorkerDied

Say = Callable[..., None]
"""Send messages to whoever asked: `say(message, …)`; many at once cost one wake-up."""

MAX_CONNECTIONS = 64
MAX_QUEUED = 64
MAX_UNREAD = 32 * 1024 * 1024
"""Bytes a client may leave unread before it is dropped."""
FIRST_CLIENT_SECONDS = 60.0
WAITING = "waiting for another window"
TEMPLATE_SECONDS = 20.0
"""Longest that a chat template may run: a sandbox does not stop endless loops."""


class Backend(Protocol):
    """A model behind the socket; called from one thread."""

    def open(self, say: Say) -> Ready:
        """Load; may say `Loading`."""

    def handle(self, request: Any, say: Say, stopped: Callable[[], bool]) -> Iterator[None]:
        """Answer one request, looking at `stopped` between steps.

        Others have their turn wherever it yields.

        Raises:
            WorkerDied: nothing can be answered here any more; the process ends.
            WorkbenchError: this request cannot be answered.
        """


@dataclass(eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    greeted: bool = False
    jobs: dict[int, threading.Event] = field(default_factory=dict)


@dataclass
class _Job:
    connection: _Connection
    request: Any
    stop: threading.Event
    steps: Iterator[None] | None = None


class Server:
    """One worker process's ears and mouth.

    Args:
        path: where the socket is made; a leftover of a dead worker must be gone already.
        requests: the union of messages the backend understands.
        keep: stay when the last client leaves, until `idle_seconds` have passed.
    """

    def __init__(
        self, path: Path, backend: Backend, requests: Any, *, keep: bool, idle_seconds: float
    ) -> None:
        self._path = path
        self._backend = backend
        self._decoder = msgspec.json.Decoder(requests)
        self._keep = keep
        self._idle_seconds = idle_seconds
        self._connections: set[_Connection] = set()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._busy = 0
        self._last_active = time.monotonic()
        self._seen_client = False
        self._ready: Ready | None = None
        self._loading = Loading("starting")
        self._leave = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    def run(self) -> NoReturn:
        """Serve until it is time to leave, then end the process."""
        asyncio.run(self._serve())
        # The model thread may be deep inside a kernel: there is nothing left to clean up.
        sys.stderr.flush()
        os._exit(0)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._leave.set)
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(
                self._client, path=str(self._path), limit=protocol.MAX_LINE
            )
        finally:
            os.umask(mask)
        inode = self._path.stat().st_ino
        threading.Thread(target=self._work, name="model", daemon=True).start()
        watch = asyncio.create_task(self._watch())
        await self._leave.wait()
        watch.cancel()
        server.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == inode:
                self._path.unlink()
        for connection in list(self._connections):
            connection.writer.close()
        for _ in range(100):  # last words get out, unless a client does not read them
            if not self._connections:
                break
            await asyncio.sleep(0.01)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle_seconds / 4))
            idle = time.monotonic() - self._last_active
            limit = self._idle_seconds
            if not self._seen_client:
                limit = min(limit, FIRST_CLIENT_SECONDS)
            if self._busy == 0 and self._ready is not None and idle > limit:
                self._leave.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        if self._leave.is_set() or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(connection)
        try:
            await self._listen(connection, reader)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._connections.discard(connection)
            for stop in connection.jobs.values():
                stop.set()
            writer.close()
            greeted = any(other.greeted for other in self._connections)
            if connection.greeted and not greeted and not self._keep:
                self._leave.set()

    async def _listen(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                limit = f"a request line is longer than {protocol.MAX_LINE:,} bytes"
                self._send(connection, Failed(None, limit, "Ask about fewer rows at once."))
                return
            try:
                request = self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                what = f"the worker does not understand a request: {error}"
                self._send(connection, Failed(None, what, "Use the same version on both sides."))
                return
            if not self._take(connection, request):
                return

    def _take(self, connection: _Connection, request: Any) -> bool:
        """Act on one request; False ends the connection."""
        self._last_active = time.monotonic()
        match request:
            case Hello(version, keep):
                return self._greet(connection, version, keep)
            case _ if not connection.greeted:
                self._send(connection, Failed(None, "expected hello first", "Say hello first."))
                return False
            case Stop(number):
                if number in connection.jobs:
                    connection.jobs[number].set()
            case Close():
                return False
            case Leave():
                if self._busy == 0:
                    self._leave.set()
            case _:
                self._queue(connection, request)
        return True

    def _greet(self, connection: _Connection, version: int, keep: bool) -> bool:
        if version != protocol.VERSION:
            what = f"this worker speaks version {protocol.VERSION}, not {version}"
            self._send(connection, Failed(None, what, "Stop the worker and try again."))
            return False
        connection.greeted = self._seen_client = True
        self._keep = self._keep or keep
        self._send(connection, self._ready or self._loading)
        return True

    def _queue(self, connection: _Connection, request: Any) -> None:
        if request.id in connection.jobs or len(connection.jobs) >= MAX_QUEUED:
            what = f"request {request.id} is already waiting, or {MAX_QUEUED} others are"
            self._send(connection, Failed(request.id, what, "Wait for an answer first."))
            return
        stop = threading.Event()
        connection.jobs[request.id] = stop
        if any(other.jobs for other in self._connections if other is not connection):
            self._send(connection, Loading(WAITING))
        self._busy += 1
        self._jobs.put(_Job(connection, request, stop))

    def _send(self, connection: _Connection, *messages: Message) -> None:
        transport = connection.writer.transport
        if transport.is_closing():
            return
        connection.writer.write(b"".join(map(protocol.encode, messages)))
        if transport.get_write_buffer_size() > MAX_UNREAD:
            transport.abort()

    def _finish(self, job: _Job) -> None:
        job.connection.jobs.pop(job.request.id, None)
        self._busy -= 1
        self._last_active = time.monotonic()

    def _announce(self, message: Message) -> None:
        if isinstance(message, Ready):
            self._ready = message
            self._last_active = time.monotonic()
        elif isinstance(message, Loading):
            self._loading = message
        for connection in self._connections:
            if connection.greeted:
                self._send(connection, message)

    def _from_model(self, call: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is every listener
            self._loop.call_soon_threadsafe(call, *arguments)

    def _work(self) -> None:
        """The model thread: load, then one job after the other."""
        try:
            try:
                ready = self._backend.open(lambda m: self._from_model(self._announce, m))
            except WorkbenchError as error:
                sys.stderr.write(f"error: {error.message}\n")
                failed = Failed(None, error.message, error.hint)
                self._from_model(self._announce, failed)
                self._from_model(self._leave.set)
                return
            self._from_model(self._announce, ready)
            self._take_turns()
        except BaseException:  # noqa: BLE001 - nothing is hidden: the trace is logged, the process ends
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)

    def _take_turns(self) -> NoReturn:
        """A turn of each request after the other: a suite does not keep a chat waiting."""
        begun: deque[_Job] = deque()
        while True:
            while not begun or not self._jobs.empty():
                begun.append(self._jobs.get())
            job = begun.popleft()
            if self._do(job):
                begun.append(job)

    def _do(self, job: _Job) -> bool:
        """One step of a job; whether there may be more."""

        def say(*messages: Message) -> None:
            self._from_model(self._send, job.connection, *messages)

        if job.steps is None:
            job.steps = self._backend.handle(job.request, say, job.stop.is_set)
        try:
            next(job.steps)
        except StopIteration:
            pass
        except WorkbenchError as error:
            say(Failed(job.request.id, error.message, error.hint))
            if isinstance(error, WorkerDied):  # it cannot go on, and says so
                self._from_model(self._leave.set)
        else:
            return True
        self._from_model(self._finish, job)
        return False


@contextlib.contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """End the process, saying why in its log, if the body takes longer."""

    def end() -> None:
        sys.stderr.write(f"error: {what} ran longer than {seconds:.0f} s\n")
        sys.stderr.flush()
        os._exit(75)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
