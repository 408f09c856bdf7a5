"""(heavy) The process in which the harness asks a model: `python -m engine.checks.harness.worker`.

What is wanted comes as JSON on standard input; what came of it goes into the file named there.
Knows how the harness is called. A task that executes what a model wrote is refused by the harness
itself unless that was confirmed.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lm_eval
import msgspec
import torch
from lm_eval.tasks import TaskManager

from engine.chat.base import BASE, Base
from engine.checks.harness.client import Metric, Told, Wanted
from engine.checks.harness.language import OurModel
from engine.render.renderer import Renderer
from store.errors import Conflict, WorkbenchError


def main() -> None:
    """Ask, and write down what came of it."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    try:
        told = _told(wanted)
    except WorkbenchError as error:
        told = Told(error=error.message, hint=error.hint)
    except (ValueError, KeyError, OSError, ImportError, RuntimeError) as error:
        # The harness speaks in Python's exceptions: an unknown task, data that is not here.
        told = Told(error=f"lm-evaluation-harness: {error}", hint=_way_out(str(error)))
    Path(wanted.out).write_bytes(msgspec.json.encode(told))


def _told(wanted: Wanted) -> Told:
    spec = wanted.spec
    torch.set_num_threads(int(spec["threads"] or 1))
    folder = Path(str(spec["base"]))
    with _device(str(spec["device_lock"])) as device:
        base = Base(
            folder,
            quantization=None if spec["quantization"] is None else str(spec["quantization"]),
            double_quantization=bool(spec["double_quantization"]),
            dtype=str(spec["dtype"]),
            device=device,
        )
        name = BASE
        if wanted.adapter is not None:
            name = base.attach(Path(wanted.adapter), wanted.strength)
            if wrong := base.altered(name):
                raise Conflict(f"{wanted.model}: {wrong}", "Choose another checkpoint.")
        renderer = Renderer.load(folder)
        found: Any = lm_eval.simple_evaluate(
            model=OurModel(base, renderer, name, wanted.model),
            tasks=list(wanted.tasks),
            task_manager=TaskManager(include_path=wanted.folder),
            limit=wanted.limit,
            apply_chat_template=wanted.chat_template and renderer.template_source is not None,
            confirm_run_unsafe_code=wanted.unsafe_code,
            bootstrap_iters=1000,
        )
    return Told(version=lm_eval.__version__, metrics=tuple(_metrics(found)))


@contextmanager
def _device(lock: str) -> Iterator[str]:
    """The GPU, held against runs while it is used, as chat workers do; else the processor."""
    with open(lock, "a") as file:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            device = "cpu"
        yield device


def _metrics(found: Mapping[str, Any]) -> Iterator[Metric]:
    """Every number of every task, with each question's outcome where that is 0 or 1."""
    for task, numbers in found["results"].items():
        better = found.get("higher_is_better", {}).get(task, {})
        for key, value in numbers.items():
            name, _, kept = key.partition(",")
            if "stderr" in name or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not kept:
                continue  # not a metric: the number of questions and the like
            error = numbers.get(f"{name}_stderr,{kept}")
            yield Metric(
                task=task,
                metric=name if kept == "none" else f"{name}, {kept}",
                value=float(value),
                stderr=float(error) if isinstance(error, int | float) else None,
                higher_is_better=bool(better.get(name, True)),
                outcomes=_outcomes(found.get("samples", {}).get(task, ()), name, kept),
            )


def _outcomes(samples: Any, name: str, kept: str) -> dict[int, int]:
    own = {
        int(one["doc_id"]): one[name]
        for one in samples
        if one.get("filter", "none") == kept and name in one
    }
    if not own or any(value not in (0, 1) for value in own.values()):
        return {}
    return {number: int(value) for number, value in own.items()}


def _way_out(said: str) -> str:
    lowered = said.lower()
    if "unsafe" in lowered:
        return (
            "It executes what the model wrote. In a sandbox of your own: add "
            "--confirm-run-unsafe-code (and HF_ALLOW_CODE_EVAL=1)."
        )
    if any(word in lowered for word in ("offline", "couldn't reach", "couldn't find", "hub")):
        return "Its data is not on this machine: --download lets the harness fetch it."
    return "`lm-eval ls tasks` lists the tasks; --tasks DIR names a folder with more."


if __name__ == "__main__":
    main()
