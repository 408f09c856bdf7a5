"""Training processes that are born with their libraries imported, for tests and benchmarks.

Importing torch, transformers, PEFT and TRL takes longer than a small run. A process that has done
so forks each worker: from there on it is the worker, in a session of its own, killed like any
other. Knows processes. Does not know what a run does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from engine.jobs import process
from store.errors import WorkerDied
from store.identity import start_of


class Nursery:
    """A process that forks workers. `spawn` takes the place of `engine.jobs.process.spawn`."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "bench.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=process.environment({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}),
            cwd=Path(__file__).parent.parent,
            text=True,
        )
        self._answer()

    def spawn(
        self, argv: Sequence[str], log_path: Path, env: Mapping[str, str] | None = None
    ) -> process.Process:
        """A worker for the run folder at the end of `argv`."""
        wanted = {"run_dir": argv[-1], "log": str(log_path), "env": dict(env or {})}
        _pipe(self._parent.stdin).write(json.dumps(wanted) + "\n")
        _pipe(self._parent.stdin).flush()
        pid = int(self._answer())
        started = start_of(pid)
        if started is None:
            raise WorkerDied(f"the worker ended at once (log: {log_path})", "Read the log.")
        return process.Process(pid, started)

    def close(self) -> None:
        """Let the parent go; its children go on."""
        _pipe(self._parent.stdin).close()
        self._parent.wait()
        _pipe(self._parent.stdout).close()

    def _answer(self) -> str:
        return _pipe(self._parent.stdout).readline().strip()


def _pipe(found: IO[str] | None) -> IO[str]:
    assert found is not None
    return found


def _child(wanted: dict[str, str], env: dict[str, str]) -> None:
    """Be the worker of one run."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(env)
    os.chdir(Path(wanted["log"]).parent)
    from engine.train import worker

    code = 1
    try:
        code = worker.main([wanted["run_dir"]])
    except BaseException:  # noqa: BLE001 - as the interpreter would at its end
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Import everything, then fork a worker for each line of standard input."""
    import engine.train.looking
    import engine.train.schedule
    import engine.train.trainer
    import engine.train.worker  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(wanted, wanted["env"])
        print(pid, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
