"""The worker process as seen from outside: start it, read its messages, never leave it behind.

Knows pipes and exit codes. Does not know what an export is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from engine.export.files import remove
from engine.export.stages import Finished, Job, Message, Refused, Stage
from engine.jobs.process import environment, python_module
from store import errors
from store.errors import Conflict, NoSpace, WorkbenchError, WorkerDied

MODULE = "engine.export.worker"
_POLL_SECONDS = 0.2
_OFFLINE = {"HF_HUB_OFFLINE": "1", "GGML_NO_BACKTRACE": "1"}
_decoder = msgspec.json.Decoder(Message)


def run(
    job: Job,
    log: Path,
    room: Path,
    on_event: Callable[[Stage], None] | None,
    cancel: threading.Event | None,
) -> Finished:
    """Give `job` to a new worker and wait for its last message.

    Args:
        log: takes everything the worker's libraries print.
        room: a folder for temporary files, of what the worker starts too; removed afterwards.
        cancel: set from another thread to end the worker.
    Raises:
        WorkerDied: it ended without an answer. Conflict: it was cancelled.
        WorkbenchError: it refused, in its own words.
    """
    child = _start(log, room)
    try:
        assert child.stdin is not None
        try:
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            child.stdin.flush()
        except BrokenPipeError as error:
            raise _died(child, log) from error
        for message in _messages(child, cancel):
            match message:
                case Stage():
                    if on_event is not None:
                        on_event(message)
                case Refused():
                    raise _error(message)
                case Finished():
                    return message
        raise _died(child, log)
    finally:
        _end(child)
        remove(room)


def _start(log: Path, room: Path) -> subprocess.Popen[bytes]:
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise NoSpace(f"{log}: {error.strerror}.", "Make room, then try again.") from error
    try:
        return subprocess.Popen(
            python_module(MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=handle,
            env=environment({**_OFFLINE, "TMPDIR": str(room)}),
            start_new_session=True,
        )
    finally:
        os.close(handle)


def _messages(child: subprocess.Popen[bytes], cancel: threading.Event | None) -> Iterator[Message]:
    """Messages until the worker closes its end."""
    assert child.stdout is not None
    buffer = b""
    while True:
        if cancel is not None and cancel.is_set():
            raise Conflict("the export was cancelled.", "Start it again when you like.")
        if not select.select([child.stdout], [], [], _POLL_SECONDS)[0]:
            continue
        data = os.read(child.stdout.fileno(), 65536)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield _decoder.decode(line)


def _died(child: subprocess.Popen[bytes], log: Path) -> WorkerDied:
    code = child.wait()
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return WorkerDied(
        f"the export worker ended without an answer ({how}); its log is {log}",
        "Read the end of the log, then export again; a kill is often a lack of memory.",
    )


def _error(message: Refused) -> WorkbenchError:
    known: dict[str, type[WorkbenchError]] = {
        kind.__name__: kind
        for kind in (
            errors.BadInput,
            errors.NotFound,
            errors.Conflict,
            errors.NoSpace,
            errors.WorkerDied,
            errors.Unsupported,
        )
    }
    return known.get(message.kind, WorkbenchError)(message.message, message.hint)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started in its session, and reap it."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # of what it never read
                pipe.close()
