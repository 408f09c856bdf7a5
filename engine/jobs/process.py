"""A process that outlives the window that started it.

Knows sessions, log files, a scrubbed environment, and that a process is its pid together with its
start time. Does not know what the process does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import engine
from store.errors import NoSpace, WorkerDied
from store.identity import start_of

# Only these travel to a worker: secrets in the environment (HF_TOKEN, cloud keys) never do.
_KEPT = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TZ",
        "TMPDIR",
        "TERM",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONHASHSEED",
        "PYTHONWARNINGS",
        "SYSTEMROOT",
        "HF_HOME",
        "HF_HUB_CACHE",
        "CC",
        "CUDA_DEVICE_ORDER",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_VISIBLE_DEVICES",
        "CUBLAS_WORKSPACE_CONFIG",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "WORKBENCH_HOME",
    ]
)
_KEPT_PREFIXES = ("LC_", "XDG_", "NVIDIA_", "NCCL_", "GLOO_", "KMP_", "PYTORCH_", "TRITON_", "BNB_")
_START_TOLERANCE_S = 0.05

# Children of this process, kept so that a finished one can be reaped and told from a living one.
_children: dict[int, subprocess.Popen[bytes]] = {}
_exit_codes: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number.

    Attributes:
        pid: process id.
        started: start time in seconds, as `store.identity` counts.
    """

    pid: int
    started: float


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules with this Python."""
    return [sys.executable, "-m", module, *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a worker may see of our environment, with `extra` laid over it."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}
    root = str(Path(engine.__file__).resolve().parent.parent)
    paths = [root, *(p for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p and p != root)]
    kept["PYTHONPATH"] = os.pathsep.join(paths)
    kept["TOKENIZERS_PARALLELISM"] = "false"
    return {**kept, **(extra or {})}


def spawn(argv: Sequence[str], log_path: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start `argv` in its own session, deaf to this terminal, writing to `log_path` (appended).

    Args:
        env: laid over the scrubbed environment.
    Raises:
        NoSpace: the log cannot be opened.
        WorkerDied: it ended before it could be looked at.
    """
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise NoSpace(f"{log_path}: {error.strerror}", "Make room, then try again.") from error
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(env),
            cwd=log_path.parent,
            start_new_session=True,
        )
    finally:
        os.close(log)
    _children[child.pid] = child
    _exit_codes.pop(child.pid, None)
    started = start_of(child.pid)
    if started is None:
        raise WorkerDied(f"the worker ended at once (log: {log_path})", "Read the log.")
    return Process(child.pid, started)


def give_way(pid: int, by: int) -> None:
    """Let others have the processor first: a process that has just been started, and its session.

    Where Linux shares the processor out by sessions, a process's own niceness counts only within
    its session.

    Args:
        by: niceness, 0 to 19.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, by)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(by))


def this_process() -> Process:
    """The identity of the running process."""
    started = start_of(os.getpid())
    assert started is not None
    return Process(os.getpid(), started)


def alive(pid: int | None, started: float | None) -> bool:
    """Whether the process with this number and this start time still runs."""
    if pid is None or started is None:
        return False
    child = _children.get(pid)
    if child is not None and (code := child.poll()) is not None:
        _exit_codes[pid] = code
        del _children[pid]
        return False
    now = start_of(pid)
    return now is not None and abs(now - started) < _START_TOLERANCE_S


def exit_code(pid: int | None) -> int | None:
    """How a child of this program ended, negative for a signal; None where that is unknown."""
    return None if pid is None else _exit_codes.get(pid)


def terminate(pid: int | None, started: float | None) -> bool:
    """Ask the process to save and end (SIGTERM). False if it is gone already."""
    if pid is None or not alive(pid, started):
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True
