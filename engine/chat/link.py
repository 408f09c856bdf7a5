"""One client's line to one worker: find it or start it, send, receive, notice its death.

Knows sockets, locks and processes; does not know models. A worker is named by what it holds, so
two programs that want the same base meet at the same socket.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from engine.chat import protocol
from engine.chat.protocol import Close, Failed, Hello, Message, Ready
from engine.jobs import process
from engine.llama.words import asserted
from store.errors import BadInput, Conflict, WorkbenchError, WorkerDied
from store.visible import visible

MAX_SOCKET_PATH = 100
"""Bytes; the kernel's limit is 108 on Linux and 104 elsewhere."""
START_SECONDS = 60.0
PARAMETERS_PER_THREAD = 8_000_000
"""As in training: on busy cores two threads took five times the processor for the starter."""


@dataclass(frozen=True, eq=False)
class Launch:
    """How to reach a worker, and how to start it where there is none.

    Attributes:
        module: what `python -m` runs; it takes one argument, a JSON object.
        spec: that object, without `socket` and `keep`.
        events: the union of messages the worker sends.
    """

    module: str
    label: str
    spec: Mapping[str, object]
    socket: Path
    log: Path
    events: Any = protocol.Event


def threads(parameters: int | None = None) -> int:
    """Threads a worker computes with: OMP_NUM_THREADS, else as many physical cores as pay.

    Args:
        parameters: of the model; None where any number pays.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return cores if parameters is None else min(cores, 1 + parameters // PARAMETERS_PER_THREAD)


def socket_path(folder: Path, module: str, spec: Mapping[str, object]) -> Path:
    """Where the worker with this spec listens: short, and in a folder of the user's alone.

    Raises:
        Conflict: the folder for short paths belongs to someone else.
    """
    text = json.dumps([module, protocol.VERSION, dict(spec)], sort_keys=True, default=str)
    name = hashlib.sha256(text.encode()).hexdigest()[:16] + ".sock"
    path = folder.resolve() / name
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    mark = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        short = Path(parent or "/tmp") / f"workbench-{os.getuid()}-{mark}"
        if len(os.fsencode(short / name)) <= MAX_SOCKET_PATH and short.parent.is_dir():
            short.mkdir(mode=0o700, exist_ok=True)
            _own(short)
            return short / name
    raise Conflict(
        f"{folder}: too long a path for a socket", "Use a workspace with a shorter path."
    )


def _own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Conflict(
            f"{folder}: not a folder of yours alone (expected mode 0700)",
            "Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )


class Link:
    """A connection to a worker.

    `send` may be called from any thread, everything else from one.
    """

    def __init__(self, launch: Launch, connection: socket.socket) -> None:
        self.launch = launch
        self.ready: Ready | None = None
        self.closed = False
        self._socket = connection
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self._heard = False
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(launch.events)

    @classmethod
    def open(
        cls, launch: Launch, *, keep: bool, on_event: Callable[[Message], None] | None = None
    ) -> Link:
        """Connect, starting the worker if need be, and wait until it can be asked.

        Raises:
            WorkerDied: it ended before it was ready; its log is named.
            WorkbenchError: it refused, in its own words.
        """
        for attempt in (1, 2):
            link = cls(launch, _connect(launch, keep))
            try:
                link._greet(keep, on_event)
            except WorkbenchError as error:
                link._socket.close()
                # A worker may leave between our connect and its accept: then a new one starts.
                if attempt == 2 or link._heard or not isinstance(error, WorkerDied):
                    raise
            else:
                return link
        raise AssertionError("unreachable")

    @classmethod
    def join(cls, launch: Launch) -> Link | None:
        """Connect to a worker that runs already, or None."""
        connection = _try(launch.socket)
        return None if connection is None else cls(launch, connection)

    def _greet(self, keep: bool, on_event: Callable[[Message], None] | None) -> None:
        self.send(Hello(protocol.VERSION, keep))
        while self.ready is None:
            for message in self.receive():
                self._heard = True
                if isinstance(message, Failed):
                    raise WorkbenchError(message.message, message.hint)
                if isinstance(message, Ready):
                    self.ready = message
                if on_event is not None:
                    on_event(message)

    def fileno(self) -> int:
        """For `selectors`."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            BadInput: it is longer than a worker reads.
            WorkerDied: nobody is there.
        """
        line = protocol.encode(message)
        if len(line) > protocol.MAX_LINE:
            raise BadInput(
                f"the question has {len(line):,} bytes; expected under {protocol.MAX_LINE:,}",
                "Ask about less at once.",
            )
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError as error:
            raise self.died() from error

    def receive(self, timeout: float | None = None) -> Iterator[Any]:
        """Wait for data and give the messages in it; nothing if `timeout` seconds pass first.

        Raises:
            WorkerDied: the worker is gone.
        """
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            return
        except OSError as error:
            raise self.died() from error
        finally:
            self._socket.settimeout(None)
        if not data:
            raise self.died()
        self._buffer += data
        lines = self._buffer.split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            yield self._decoder.decode(line)

    def close(self) -> None:
        """Say good-bye; harmless when the worker is gone already."""
        self.closed = True
        with suppress(WorkerDied):
            self.send(Close())
        self._socket.close()

    def died(self) -> WorkerDied:
        """The error for a worker that is gone, with the last line of its log."""
        return _died(self.launch, "ended without an answer")


def _died(launch: Launch, how: str) -> WorkerDied:
    last = last_line(launch.log)
    why = asserted(last)
    if why is not None:
        hint = f"Choose another file, or export it again. Its log: {launch.log}"
        return WorkerDied(f"{launch.label}: {visible(why)}", hint)
    said = f": {visible(last[:200])}" if last else ""
    return WorkerDied(f"the worker for {launch.label} {how}{said}", f"Read its log: {launch.log}")


def last_line(log: Path) -> str:
    """The last non-empty line of a log, at most 4 KiB of its end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _connect(launch: Launch, keep: bool) -> socket.socket:
    with _locked(launch.socket.with_name("start.lock")):
        connection = _try(launch.socket)
        if connection is not None:
            return connection
        launch.socket.unlink(missing_ok=True)
        spec = {**launch.spec, "socket": str(launch.socket), "keep": keep}
        argv = process.python_module(launch.module, json.dumps(spec))
        # Threads that spin while they wait make a busy machine many times slower.
        quiet = {"GGML_NO_BACKTRACE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        worker = process.spawn(argv, launch.log, env=quiet)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            connection = _try(launch.socket)
            if connection is not None:
                return connection
            if not process.alive(worker.pid, worker.started):
                break
            time.sleep(0.01)
        process.terminate(worker.pid, worker.started)
    raise _died(launch, "did not start")


def _try(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
