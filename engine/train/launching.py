"""How a training process comes to be: the one place that starts one.

Knows the command line, the environment and the log of a worker, and that a run is started by one
program at a time. Does not know recipes' meaning, nor what the worker does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from engine.jobs import process
from engine.machine.facts import this_machine
from engine.models import refs
from engine.records import tracking
from engine.train import spec as specs
from engine.train.spec import Spec
from store import queue, runs
from store.catalogue import Catalogue
from store.errors import NotFound
from store.runs import Run

_MODULE = "engine.train.worker"
_NICENESS = 10
"""Of a run that trains on the processors that the interface needs too: on two busy cores a key was
on the screen after 56 ms at the 95th percentile with 5, after 45 with 10 and with 15. Where nothing
else wants the processors a run loses nothing."""


def launch(cat: Catalogue, run_id: int, threads: int, *, keep_place: bool = False) -> Run:
    """Put the run in the queue and start its process, which waits there by itself.

    Args:
        keep_place: a run that has a place in the queue keeps it.
    """
    run_dir = cat.workspace.run_dir(run_id)
    runs.clear_commands(cat, run_id)
    queue.enqueue(cat, run_id, keep=keep_place)
    if this_machine().device == "cuda":
        from engine.chat.client import free_device

        free_device(cat.workspace)
    trackers = runs.get(cat, run_id).recipe.get("report_to") or ()
    told = job_environment(threads, os.environ) | tracking.environment(trackers, os.environ)
    started = process.spawn(command(run_dir), run_dir / specs.LOG, told)
    if this_machine().device == "cpu":
        process.give_way(started.pid, _NICENESS)
    return runs.update(
        cat,
        run_id,
        status="queued",
        pid=started.pid,
        process_started=started.started,
        reason=None,
        finished=None,
    )


def command(run_dir: Path) -> list[str]:
    """The command line of a run's process."""
    return process.python_module(_MODULE, str(run_dir.resolve()))


def job_environment(threads: int, ours: Mapping[str, str]) -> dict[str, str]:
    """What a training process finds in its environment beyond the scrubbed one.

    Args:
        ours: this process's environment.
    """
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Threads that spin while they wait make a busy machine many times slower.
        "OMP_WAIT_POLICY": ours.get("OMP_WAIT_POLICY", "PASSIVE"),
        # Those it may choose from: the worker narrows them to the ones whose turn it holds.
        "CUDA_VISIBLE_DEVICES": ours.get("CUDA_VISIBLE_DEVICES", _every_gpu()),
        # Batches of many lengths would else leave holes that no later batch fits into.
        "PYTORCH_ALLOC_CONF": ours.get("PYTORCH_ALLOC_CONF")
        or ours.get("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def _every_gpu() -> str:
    return ",".join(str(n) for n in range(max(1, len(this_machine().gpus))))


@contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Let one program at a time look whether a run lives and start it.

    Raises:
        NotFound: the run's folder is gone.
    """
    try:
        handle = os.open(run_dir / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise NotFound(
            f"{run_dir}: the run's folder is gone", "Put it back, or start a new run."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def found_again(cat: Catalogue, run: Run, spec: Spec) -> Spec:
    """The spec with paths that are there, where the workspace or the base was moved.

    Whether the base is still the same one is for the job to see, by its hash.
    """
    root, snapshot = cat.workspace.root.resolve(), spec.snapshot
    if not Path(snapshot.path).is_dir() or Path(spec.workspace) != root:
        snapshot = replace(snapshot, path=str(root / "snapshots" / snapshot.sha256))
    base = spec.base
    if not Path(base).is_dir():
        found = None
        with contextlib.suppress(NotFound):
            found = refs.base_of(cat, run)
        if found is None:
            raise NotFound(f"{base}: the base of run {run.id} is gone", "Put the folder back.")
        base = str(found)
    moved = msgspec.structs.replace(spec, workspace=str(root), snapshot=snapshot, base=base)
    if moved != spec:
        specs.write(cat.workspace.run_dir(run.id), moved)
    return moved
