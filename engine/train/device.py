"""The GPU as a run finds it (heavy): how busy it is, and what others hold of its memory.

Locks keep one user's runs apart; other users and other programs are only seen here. Knows torch's
view of the device. Does not know what a run will need.
"""

from __future__ import annotations

import torch

from engine.machine.nvml import Meter
from engine.train.recording import Recorder

_OURS = 2 << 30
"""Bytes that this process itself may hold by now: the context of CUDA and of its libraries."""


def look(recorder: Recorder) -> None:
    """Let the recorder see the load of this process's GPU, and say if its memory is taken."""
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    recorder.device_load = Meter(f"GPU-{found.uuid}").load
    free, total = torch.cuda.mem_get_info()
    if (text := taken(found.name, free, total)) is not None:
        recorder.writer.event("warning", text, level="warn")


def taken(name: str, free: int, total: int) -> str | None:
    """What to say of a device's memory before anything of a run is in it; bytes."""
    if total - free <= _OURS:
        return None
    return (
        f"{name}: {(total - free) / 2**30:.1f} of {total / 2**30:.1f} GB are held by other "
        "programs (nvidia-smi names them); the run may run out of memory, and be slower"
    )
