"""What a training process writes down: steps, evaluations, samples, checkpoints, events.

Knows the run database and the clock. Does not know torch: it is handed plain numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from engine.train import checkpoints
from engine.train.failures import Diverged
from store.rundb import RunWriter

_NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
}
_BAD_STEPS = 1


class Recorder:
    """The pen of one run. The training process is its only writer."""

    def __init__(self, writer: RunWriter, run_dir: Path) -> None:
        self.writer = writer
        self.run_dir = run_dir
        self.last_eval: tuple[int, float] | None = None
        self._process = psutil.Process()
        self._mark = time.perf_counter()
        self._tokens = 0.0

    def mark(self) -> None:
        """Start the clock of the next step; time before this counts for no step."""
        self._mark = time.perf_counter()

    def start_at(self, tokens: float) -> None:
        """Tell how many tokens were counted before the first step of this process."""
        self._tokens = tokens
        self.mark()

    def step(self, step: int, epoch: float, logs: Mapping[str, float], memory: int | None) -> None:
        """Record one optimizer step.

        Args:
            logs: TRL's names; `num_tokens` is a running total.
            memory: device memory in bytes; None takes this process's resident memory.
        Raises:
            Diverged: the loss is not a number.
        """
        now = time.perf_counter()
        values = {ours: float(logs[theirs]) for theirs, ours in _NAMES.items() if theirs in logs}
        values["epoch"] = epoch
        values["memory_bytes"] = float(memory or self._process.memory_info().rss)
        tokens = float(logs.get("num_tokens", self._tokens))
        if now > self._mark and tokens > self._tokens:
            values["tokens_per_second"] = (tokens - self._tokens) / (now - self._mark)
        self._tokens = tokens
        self.writer.metrics(step, values)
        self._mark = now
        if not math.isfinite(values.get("loss", 0.0)):
            self._diverged(step)

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Record an evaluation: `eval_loss`, `eval_token_accuracy`, `eval_entropy`."""
        self.last_eval = (step, values["eval_loss"])
        self.writer.metrics(step, dict(values))

    def eval_loss_at(self, step: int) -> float | None:
        """The evaluation loss, if it was measured at this very step."""
        measured = self.last_eval
        return measured[1] if measured is not None and measured[0] == step else None

    def saved(self, checkpoint: checkpoints.Checkpoint, limit: int) -> None:
        """Record a complete checkpoint, then delete what is over the limit."""
        self.writer.checkpoint(
            checkpoint.step,
            str(checkpoint.path),
            checkpoint.bytes,
            checkpoint.manifest_sha256,
            checkpoint.eval_loss,
        )
        for step in checkpoints.prune(self.run_dir, limit):
            self.writer.drop_checkpoint(step)

    def _diverged(self, step: int) -> None:
        kept = checkpoints.complete(self.run_dir)
        last = f"The last good checkpoint is step {kept[-1].step}." if kept else ""
        raise Diverged(
            f"the loss is not a number at step {step}",
            f"Lower learning_rate, or raise warmup_steps. {last}".strip(),
        )
