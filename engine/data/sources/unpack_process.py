"""The process that unpacks: `python -m engine.data.sources.unpack_process`, JSON on both ends.

Knows its task, and how to report on it. Does not know formats: see `unpack`.

It is a process so that nothing waits for it: neither a key nor a frame. It writes the copy from
its beginning, over what was unpacked before it started: the same bytes, as unpacking depends on
the file alone.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from engine.data.sources.detect import Kind
from engine.data.sources.out import Out
from engine.data.sources.unpack import Task, Told, unpacking
from store.errors import BadInput

_TELL = 0.05
"""Seconds between two reports."""


def main() -> int:
    """Do the task on standard input; report on standard output until it is done."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    path = Path(task.path)
    told, said = 0.0, 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    copy = os.open(task.copy, os.O_RDWR | os.O_CLOEXEC)
    spans = os.open(task.spans, os.O_WRONLY | os.O_CLOEXEC)
    out = Out(copy, spans, os.fstat(fd).st_size, task.limits)

    def tell(*, done: bool = False, error: tuple[str, str] | None = None) -> None:
        nonlocal said
        fresh = dict(list(out.wrongs.items())[said:])
        said += len(fresh)
        facts = out.facts if done else {}
        report = Told(out.size, out.at, out.rows, fresh, facts, out.trouble, done, error)
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    try:
        for _ in unpacking(path, fd, Kind(task.format, task.compression), out):
            now = time.monotonic()
            if now - told >= _TELL:
                told = now
                tell()
        os.ftruncate(copy, out.size)
        tell(done=True)
    except BadInput as wrong:
        tell(done=True, error=(wrong.message, wrong.hint))
    except BrokenPipeError:
        # Nobody reads any more.
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
