"""Which process is meant: its number together with its start.

Knows how the system tells when a process started. Does not know what processes do.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_AFTER_NAME = 19
"""Fields of /proc/PID/stat between the process's name and its start time (proc(5), field 22)."""


def start_of(pid: int) -> float | None:
    """When a process started, in seconds; None where it is gone or a zombie.

    On Linux counted from the start of the machine: the wall clock's offset to it changes when the
    clock is set, and a living process must not look like another one then.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        text = ""
    if text:
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[_AFTER_NAME]) / os.sysconf("SC_CLK_TCK")
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
