"""Our training job with a clock in it (heavy): `python -m bench.our_job RUN_DIR OUT [off]`.

Writes a JSON object: seconds of the processor and of the wall at the end of each step, and the
tokens seen by then. With `off` nothing of the run is written down.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from bench.jobs import WARM_UP
from engine.train import trainer, worker
from store.rundb import RunWriter


class Clock(TrainerCallback):  # type: ignore[misc]
    """Looks at both clocks where a step ends, and at what recording took of them."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.tokens: list[float] = []
        self.writing = 0.0
        self.counted = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The probe's tokens are no step's."""
        self.writing = self.counted = 0.0

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        del args
        # Where speed is measured from and to a GPU has to have done what it was given.
        if torch.cuda.is_available() and state.global_step in (1, WARM_UP, state.max_steps):
            torch.cuda.synchronize()
        self.cpu.append(time.process_time())
        self.wall.append(time.time())
        self.tokens.append(self.counted)

    def report(self) -> dict[str, object]:
        """For the bench."""
        return {
            "cpu": self.cpu,
            "wall": self.wall,
            "tokens": self.tokens,
            "writing": self.writing,
            "total": time.process_time(),
        }


def main(run_dir: str, out: Path, *, off: bool) -> int:
    """Carry out the run, then write down what the clock saw."""
    clock = Clock()
    build: Any = trainer.build

    def clocked(*args: Any) -> Any:
        made = build(*args)
        _count_tokens(made, clock)
        made.add_callback(clock)
        return made

    vars(trainer)["build"] = clocked
    for name in ("metrics", "sample", "event", "checkpoint", "fit", "heartbeat"):
        setattr(RunWriter, name, _silent if off else _timed(getattr(RunWriter, name), clock))
    code = worker.main([run_dir])
    out.write_text(json.dumps(clock.report()))
    return code


def _count_tokens(made: Any, clock: Clock) -> None:
    """Count what reaches a step, padding left out."""
    step = made.training_step

    def counted(model: Any, inputs: Any, *args: Any) -> Any:
        mask = inputs.get("attention_mask")
        tokens = inputs["input_ids"].numel() if mask is None else int(mask.sum())
        clock.counted += tokens
        return step(model, inputs, *args)

    made.training_step = counted


def _silent(*_: Any, **__: Any) -> None:
    return None


def _timed(method: Any, clock: Clock) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            clock.writing += time.process_time() - began

    return timed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), off="off" in sys.argv[3:]))
