"""What a training process writes down: steps, evaluations, samples, checkpoints, events.

Knows the run database and the clock. Does not know torch: it is handed plain numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from engine.train import checkpoints, stopping
from engine.train.failures import Diverged
from engine.train.recipe import Recipe
from store import pins
from store.rundb import RunReader, RunWriter

_NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
}
_PREFERENCE = frozenset(
    [
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "rewards/accuracies",
        "logps/chosen",
        "logps/rejected",
        "kl",
    ]
)
"""What TRL's preference trainers measure, under its names."""


class Recorder:
    """The pen of one run. The training process is its only writer.

    Attributes:
        device_load: the share of time in which the device computes, by all who use it; None is
            unknown. On a CPU it is the processor's.
    """

    def __init__(self, writer: RunWriter, run_dir: Path) -> None:
        self.device_load: Callable[[], float | None] = _processor_load
        self.writer = writer
        self.run_dir = run_dir
        self.last_eval: tuple[int, float] | None = None
        self._process = psutil.Process()
        self._mark = self._began = time.perf_counter()
        self._tokens = 0.0
        self._tokens_before = self._seconds_before = 0.0

    def mark(self) -> None:
        """Start the clock of the next step; time before this counts for no step."""
        self._mark = time.perf_counter()

    def start(self, step: int) -> None:
        """Begin to count, on top of what was counted up to `step` by earlier processes."""
        with self.reader() as run_db:
            tokens, seconds = (
                max((v for at, v in run_db.exact(name) if at <= step and v is not None), default=0)
                for name in ("num_tokens", "train_seconds")
            )
        self._tokens, self._tokens_before = 0.0, tokens
        self._began, self._seconds_before = time.perf_counter(), seconds
        self.mark()

    def reader(self) -> RunReader:
        """The run's database, for reading."""
        return RunReader.open(self.writer.path)

    @property
    def tokens(self) -> float:
        """Tokens seen so far, prompts included, over every resume."""
        return self._tokens_before + self._tokens

    @property
    def seconds(self) -> float:
        """Seconds of training so far, evaluations and saves included, over every resume."""
        return self._seconds_before + time.perf_counter() - self._began

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
        values |= {name: float(value) for name, value in logs.items() if name in _PREFERENCE}
        values["epoch"] = epoch
        values["memory_bytes"] = float(memory or self._process.memory_info().rss)
        load = self.device_load()
        if load is not None:
            values["device_load"] = load
        tokens = float(logs.get("num_tokens", self._tokens))
        if now > self._mark and tokens > self._tokens:
            values["tokens_per_second"] = (tokens - self._tokens) / (now - self._mark)
        self._tokens = tokens
        values["num_tokens"], values["train_seconds"] = self.tokens, self.seconds
        self.writer.metrics(step, values)
        self._mark = now
        for name, what in (("loss", "loss"), ("grad_norm", "gradient")):
            if not math.isfinite(values.get(name, 0.0)):
                raise Diverged(f"the {what} is not a number at step {step}", self.way_out())

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Record an evaluation: `eval_loss`, `eval_token_accuracy`, `eval_entropy`."""
        self.last_eval = (step, values["eval_loss"])
        self.writer.metrics(step, dict(values))

    def eval_loss_at(self, step: int) -> float | None:
        """The evaluation loss, if it was measured at this very step."""
        measured = self.last_eval
        return measured[1] if measured is not None and measured[0] == step else None

    def saved(self, checkpoint: checkpoints.Checkpoint, recipe: Recipe) -> None:
        """Record a complete checkpoint, then delete what is over the limit."""
        self.listed(checkpoint)
        spared = pins.pinned(self.run_dir) | self._best(recipe.keep_best)
        for step in checkpoints.prune(self.run_dir, recipe.save_total_limit, spared):
            self.writer.drop_checkpoint(step)

    def listed(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Record a complete checkpoint."""
        self.writer.checkpoint(
            checkpoint.step,
            str(checkpoint.path),
            checkpoint.bytes,
            checkpoint.manifest_sha256,
            checkpoint.eval_loss,
        )

    def before_save(self, step: int) -> None:
        """Bring all up to `step` to the disk: no checkpoint is ahead of its curve there."""
        self.writer.state("running", step=step)

    def evaluations(self, metric: str) -> list[tuple[int, float]]:
        """Every evaluation of `eval_loss` or `suite:NAME` so far."""
        with self.reader() as run_db:
            return stopping.history(run_db, metric)

    def way_out(self) -> str:
        """What to do about a run that diverged, with the checkpoint that is still good."""
        kept = checkpoints.complete(self.run_dir)
        if not kept:
            return "Nothing was saved yet. Start anew with a lower learning_rate or more warm-up."
        step = kept[-1].step
        return (
            f"The last good checkpoint is step {step}. Go on from it with a lower rate: "
            f"workbench fork {self.run_dir.name} --step {step} --set learning_rate=…"
        )

    def _best(self, metric: str) -> set[int]:
        """The step of the best checkpoint, as far as it was measured."""
        with self.reader() as run_db:
            step = stopping.best_saved(run_db, metric, checkpoints.complete(self.run_dir))
        return {step} if step is not None else set()


def _processor_load() -> float | None:
    return psutil.cpu_percent(interval=None) / 100
