"""Asking a worker what torch, bitsandbytes and llama.cpp can do here.

Light: the worker is a process of its own (`engine.machine.worker`).
"""

from __future__ import annotations

import json
import subprocess
import sys

from store.errors import WorkerDied

TIMEOUT_S = 120.0


def probe() -> dict[str, object]:
    """What the libraries can do, as the worker found by trying.

    Raises:
        WorkerDied: it ended without an answer.
    """
    command = [sys.executable, "-m", "engine.machine.worker"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerDied(
            f"the probe of torch gave no answer in {TIMEOUT_S:.0f} s",
            "Try again when the machine is less busy.",
        ) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise WorkerDied(
            f"the probe of torch ended with code {done.returncode}: {last}",
            "Run `make run` again to complete the installation.",
        )
    answer: dict[str, object] = json.loads(lines[-1])
    return answer
