"""What the machine has, as far as it can be told without importing torch.

Knows processors, memory, disk, SQLite and the name of a GPU. Does not know what torch makes of
them (see `engine.machine.worker`).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from store.errors import WorkerDied

WAL_FIXED = (3, 51, 3)
"""First SQLite without the WAL-reset corruption bug (sqlite.org/changes.html, 3.51.3)."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor; memory in bytes."""

    name: str
    memory: int
    used: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that are cheap to read; memory and disk in bytes."""

    system: str
    python: str
    processor: str
    cores: int
    memory: int
    disk_free: int
    sqlite: str
    sqlite_wal_safe: bool
    gpus: tuple[Gpu, ...]

    def device(self) -> str:
        """A few words for the top line, e.g. `2 cores · 23 GB` or `H200 12/141 GB`."""
        if self.gpus:
            gpu = self.gpus[0]
            return f"{gpu.name} {gpu.used / 1e9:.0f}/{gpu.memory / 1e9:.0f} GB"
        return f"{self.cores} cores · {self.memory / 2**30:.0f} GB"

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a run's record."""
        return asdict(self)


def machine(disk: Path) -> Machine:
    """Read the facts; `disk` is a path on the file system of interest."""
    return Machine(
        system=platform.platform(terse=True),
        python=platform.python_version(),
        processor=_processor(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        disk_free=shutil.disk_usage(disk).free,
        sqlite=sqlite3.sqlite_version,
        sqlite_wal_safe=sqlite3.sqlite_version_info >= WAL_FIXED,
        gpus=_gpus(),
    )


def probe(timeout: float = 120.0) -> dict[str, object]:
    """Ask a worker what torch, bitsandbytes and llama.cpp can do here.

    Raises:
        WorkerDied: it ended without an answer.
    """
    done = subprocess.run(
        [sys.executable, "-m", "engine.machine.worker"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise WorkerDied(
            f"the probe of torch ended with code {done.returncode}: {last}",
            "Run `make run` again to complete the installation.",
        )
    answer: dict[str, object] = json.loads(lines[-1])
    return answer


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA processors by `nvidia-smi`; none where there is no such program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
    except (subprocess.SubprocessError, OSError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            found.append(Gpu(parts[0], int(parts[1]) * 2**20, int(parts[2]) * 2**20))
    return tuple(found)
