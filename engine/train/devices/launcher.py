"""`accelerate launch` for a run that holds its devices: configuration, command line, waiting.

Knows accelerate's configuration file and processes. Does not know torch; the training itself is in
`engine.train.devices.worker`, once a device.

QLoRA on GPUs is sharded (FSDP2, the 4-bit weights kept in the dtype that is computed in, so that
they can be sharded with the rest); everything else is replicated (DDP). Processes on a CPU talk
over gloo. Sources: accelerate 1.15 `accelerate_configs` as shipped in TRL 1.16, and accelerate's
`fsdp2_prepare_model`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.train.spec import Spec

CONFIG = "accelerate.json"
SIGNED = "WORKBENCH_RUN_PID"
_MODULE = "engine.train.devices.worker"
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""


def sharded(spec: Spec) -> bool:
    """Whether the base is spread over the devices rather than copied to each."""
    return spec.device == "cuda" and bool(spec.settings.load_in_4bit)


def configuration(spec: Spec) -> dict[str, Any]:
    """What `accelerate launch --config_file` reads."""
    recipe = spec.settings
    found: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        # accelerate's own launcher for CPUs wants MPI; this one starts processes as on GPUs.
        "distributed_type": "FSDP" if sharded(spec) else "MULTI_GPU",
        "downcast_bf16": "no",
        "gpu_ids": "all",
        "machine_rank": 0,
        "main_process_port": 0,
        "main_training_function": "main",
        "mixed_precision": "bf16" if recipe.dtype == "bfloat16" else "no",
        "num_machines": 1,
        "num_processes": recipe.devices,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
    }
    if sharded(spec):
        found["fsdp_config"] = {
            "fsdp_activation_checkpointing": False,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_cpu_ram_efficient_loading": False,
            "fsdp_offload_params": False,
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_version": 2,
        }
    return found


def command(run_dir: Path) -> list[str]:
    """The command line."""
    python = [sys.executable, "-m", "accelerate.commands.launch"]
    return [*python, "--config_file", str(run_dir / CONFIG), "-m", _MODULE, str(run_dir)]


def run(run_dir: Path, spec: Spec) -> int:
    """Start the processes of a run and wait for them; returns accelerate's exit status.

    SIGTERM and SIGINT are passed on to the first process, which saves and ends the run.
    """
    (run_dir / CONFIG).write_text(json.dumps(configuration(spec), indent=2) + "\n")
    threads = str(threads_each(spec))
    environment = os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        SIGNED: str(os.getpid()),
    }
    child = subprocess.Popen(command(run_dir), env=environment, preexec_fn=die_with_parent)

    def pass_on(number: int, _frame: object) -> None:
        first = leader(run_dir)
        if first is not None:
            os.kill(first, number)
        else:
            child.terminate()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        (run_dir / LEADER).unlink(missing_ok=True)


LEADER = "leader.pid"
"""Holds the number of the first process while it listens."""


def leader(run_dir: Path) -> int | None:
    """The process that obeys; None before it listens."""
    try:
        return int((run_dir / LEADER).read_text())
    except (OSError, ValueError):
        return None


def threads_each(spec: Spec) -> int:
    """Threads of each process: on a CPU they share those of the run."""
    threads = spec.settings.threads
    return threads if spec.device == "cuda" else max(1, threads // spec.settings.devices)


def die_with_parent() -> None:
    """Be told to end (SIGTERM) when the process that started this one is killed (Linux)."""
    set_option: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    if set_option is not None:
        set_option(_DIE_WITH_PARENT, signal.SIGTERM)
