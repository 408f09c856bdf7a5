"""Several processes that train one run (heavy): what they decide together.

The first one alone hears commands, counts time and tokens, and writes; what it decides at the end
of a step and of an evaluation reaches all. They agree over gloo, beside whatever the gradients go
over, so that no device is waited for.

Knows torch.distributed and the schedule. Does not know how a step is computed.
"""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from transformers import TrainerControl

from engine.train.batches import Batch, EpochLoader
from engine.train.control import Control
from engine.train.devices.loading import of_rank
from engine.train.devices.sharded import WholeState, gather, scatter
from engine.train.devices.sharing import Sharing
from engine.train.recipe import PREFERENCE, Recipe
from engine.train.schedule import Schedule
from store.rundb import Judged, RunWriter

_T = TypeVar("_T")
_PATIENCE = datetime.timedelta(days=7)
"""How long the others wait while the first one waits for room on a full disk."""


class Ranks:
    """This process among those of the run.

    Attributes:
        rank: 0 is the one that hears and writes.
        sharded: the base is spread over the devices.
    """

    def __init__(self, recipe: Recipe, sharing: Sharing, device: str, *, sharded: bool) -> None:
        PartialState(cpu=device == "cpu")  # Joins the others.
        self.rank = int(os.environ["RANK"])
        self.sharded = sharded
        self._recipe = recipe
        self._sharing = sharing
        self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def first(self) -> bool:
        """Whether this one hears and writes."""
        return self.rank == 0

    def agreed(self, decide: Callable[[], _T]) -> _T:
        """What the first process decides, in every process."""
        told: list[Any] = [decide() if self.first else None]
        dist.broadcast_object_list(told, src=0, group=self._group)
        found: _T = told[0]
        return found

    def gathered(self, value: _T) -> list[_T]:
        """The value of every process, by rank, in the first; elsewhere nothing."""
        found: list[Any] | None = [None] * self._sharing.devices if self.first else None
        dist.gather_object(value, found, dst=0, group=self._group)
        return found or []

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, of a tensor on the CPU."""
        dist.all_reduce(values, group=self._group)
        return values

    def wait(self) -> None:
        """Until everyone has come here."""
        dist.barrier(group=self._group)

    def loader(self, loader: EpochLoader) -> EpochLoader:
        """This device's part of the run's batches."""
        sequences = {"dpo": 2, "kto": 1}.get(self._recipe.method, 0)
        return of_rank(loader, self._sharing, self.rank, sequences=sequences)

    def dealt(self, batches: list[Batch]) -> list[Batch]:
        """This process's part of the held-out batches, to be `summed`."""
        return batches if self.takes_all else batches[self.rank :: self._sharing.devices]

    @property
    def takes_all(self) -> bool:
        """Whether everyone measures every held-out batch: where a forward pass needs all."""
        return self.sharded or self._recipe.method in PREFERENCE

    def schedule(self, *parts: Any) -> SharedSchedule:
        """A schedule that all processes follow."""
        made = SharedSchedule(*parts)
        made.ranks = self
        return made

    def whole_state(self, model: Any, optimizer: Any) -> WholeState | None:
        """Weights and moments put together, where each process holds a part of them."""
        return gather(model, optimizer) if self.sharded else None

    def load_optimizer(self, model: Any, optimizer: Any, path: Path) -> None:
        """Take up moments that were put together; each process keeps its part."""
        scatter(model, optimizer, torch.load(path, map_location="cpu", weights_only=True))

    def begin(self, seed: int) -> None:
        """Draw other dropout masks than the other processes do."""
        if not self.first:
            torch.manual_seed(seed + self.rank)


class SharedSchedule(Schedule):
    """A schedule whose decisions are the first process's."""

    ranks: Ranks

    def recorded(self, step: int, control: TrainerControl) -> None:
        if self.ranks.first:
            super().recorded(step, control)
        self._agree(control)

    def evaluated(self, step: int, control: TrainerControl) -> None:
        if self.ranks.first:
            super().evaluated(step, control)
        self._agree(control)

    def over(self, step: int) -> str | None:
        return self.ranks.agreed(lambda: super(SharedSchedule, self).over(step))

    def _agree(self, control: TrainerControl) -> None:
        told = self.ranks.agreed(
            lambda: (
                control.should_evaluate,
                control.should_save,
                control.should_training_stop,
                self.reason,
                self._control.ending,
            )
        )
        control.should_evaluate, control.should_save, control.should_training_stop = told[:3]
        self.reason, self._control.ending = told[3:]


class Deaf(Control):
    """The ear of the other processes: the first one tells them."""

    def listen_for_signals(self) -> None:
        """Leave signals to the first process: it must not be left alone in a step."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def poll(self) -> None:
        """Nothing."""


class Silent(RunWriter):
    """The pen of the other processes: it writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = None

    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def sample(
        self, step: int, prompt: str, model: str, text: str, tokens: int, stop: str
    ) -> None: ...

    def judged(self, step: int, suite: str, model: str, answers: Iterable[Judged]) -> None: ...

    def checkpoint(
        self,
        step: int,
        path: Path | str,
        bytes: int,
        manifest_sha256: str,
        eval_loss: float | None = None,
    ) -> None: ...

    def drop_checkpoint(self, step: int) -> None: ...

    def event(
        self,
        kind: str,
        text: str,
        level: Literal["info", "warn", "error"] = "info",
        step: int | None = None,
    ) -> None: ...

    def fit(
        self,
        kind: Literal["estimate", "probe", "measured"],
        step: int,
        peak_bytes: int,
        seconds: float | None,
        detail: Mapping[str, Any],
    ) -> None: ...

    def state(
        self,
        status: str,
        *,
        step: int | None = None,
        total_steps: int | None = None,
        reason: str | None = None,
    ) -> None: ...

    def heartbeat(self) -> None: ...

    def flush(self) -> bool:
        return True

    def close(self) -> int:
        return 0
