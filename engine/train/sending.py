"""A run's numbers on their way to trackers, beside the training and never in its way.

Each tracker has a process of its own (`trackers`), which reads the run's database like any other
reader: what hangs, crashes or waits for a network there costs the training nothing. What such a
process has to say becomes an event. Knows processes. Does not know any tracker.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.jobs import process
from engine.train.recording import Recorder
from engine.train.spec import Spec
from store.rundb import RunWriter

_MODULE = "engine.train.trackers"
_LINE = 2000


class Said(msgspec.Struct, frozen=True):
    """One line of a tracker's process on its standard output."""

    level: str
    text: str


@contextmanager
def sending(spec: Spec, recorder: Recorder, begin: int, *, first: bool = True) -> Iterator[None]:
    """Send what is recorded meanwhile; what is left at the end is sent without being waited for.

    Args:
        begin: the step that the run goes on from; -1 where it starts.
        first: whether this process is the one of several that writes.
    """
    names = spec.settings.report_to if first else ()
    ears = [_Ear(name, recorder.run_dir, recorder.writer, begin) for name in names]
    try:
        yield
    finally:
        for ear in ears:
            ear.leave()


class _Ear:
    """One tracker's process, and a thread that listens to it."""

    def __init__(self, name: str, run_dir: Path, writer: RunWriter, begin: int) -> None:
        self._name, self._writer = name, writer
        self._lock = threading.Lock()
        self._listening, self._heard = True, False
        self._child: subprocess.Popen[bytes] | None = None
        try:
            with (run_dir / f"tracker-{name}.log").open("ab") as log:
                self._child = subprocess.Popen(
                    process.python_module(_MODULE, str(run_dir), name, str(begin)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # As the training process has it, but for the device.
                    env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                    cwd=run_dir,
                    start_new_session=True,
                )
        except OSError as error:
            self._tell(Said("warn", f"{name} cannot be started: {error}"))
            return
        threading.Thread(target=self._listen, name=f"tracker-{name}", daemon=True).start()

    def leave(self) -> None:
        """Let the process send the rest and end; nothing more is heard of it."""
        if not self._heard and self._child is not None:
            text = f"{self._name} had not answered when the training ended; it gets everything "
            self._tell(Said("info", f"{text}once it does, else tracker-{self._name}.log says why"))
        with self._lock:
            self._listening = False
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()

    def _listen(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        ended_well = False
        for line in iter(lambda: self._child.stdout.readline(_LINE), b""):  # type: ignore[union-attr]
            try:
                said = msgspec.json.decode(line, type=Said)
            except msgspec.DecodeError:
                continue
            ended_well = ended_well or said.level == "warn"
            self._tell(said)
        code = self._child.wait()
        if code and not ended_well:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._tell(Said("warn", f"{self._name} ended early ({how}); the run goes on without"))

    def _tell(self, said: Said) -> None:
        with self._lock:
            self._heard = True
            if self._listening:
                level = "warn" if said.level == "warn" else "info"
                self._writer.event("tracker", said.text[:_LINE], level=level)  # type: ignore[arg-type]
