"""Saving a trainer and taking it up again (heavy): a mixin for every trainer of ours.

Checkpoints are whole or absent, wait for room on a full disk, and hold no weights that are not
numbers. A resume takes state from the checkpoint and settings from the recipe, so that a run may
go on longer, or a fork with another rate. Knows torch's state and transformers' file names. Does
not know when to save (see `schedule`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

from engine.train import checkpoints, reserve
from engine.train.control import POLL_S
from engine.train.failures import Diverged, is_disk_full
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.train.devices.sharded import WholeState
    from engine.train.trainer import TrainingParts

_RETRY_S = 2.0
_OPTIMIZER, _SCHEDULER = "optimizer.pt", "scheduler.pt"


class Saving:
    """What saves and loads, for a class that is also a `transformers.Trainer`."""

    ours: TrainingParts
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    args: Any

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002 - the hook's signature
        """Write the checkpoint whole; of several processes the first one writes it."""
        ranks = self.ours.ranks
        if ranks is None:
            self._write_checkpoint(self._files)
            return
        whole = ranks.whole_state(self.model, self.optimizer)
        states = ranks.gathered(_random_state(of_every_gpu=True))
        if ranks.first:
            self._write_checkpoint(lambda: self._files_of_all(whole, states))
        ranks.wait()

    def _write_checkpoint(self, files: Callable[[], Iterator[tuple[str, bytes]]]) -> None:
        """Write it, waiting for room on a full disk."""
        parts, step = self.ours, self.state.global_step
        waiting = False
        parts.recorder.before_save(step)
        while True:
            try:
                checkpoints.need_room(parts.recorder.run_dir)
                saved = checkpoints.write(
                    parts.recorder.run_dir,
                    step,
                    files(),
                    parts.versions,
                    parts.recorder.eval_loss_at(step),
                )
                break
            except OSError as error:
                if not is_disk_full(error):
                    raise
                self._wait_for_room(step, announce=not waiting)
                waiting = True
        if waiting:
            with contextlib.suppress(OSError):  # Filled again meanwhile: then without.
                reserve.hold(parts.recorder.run_dir)
            parts.recorder.writer.event("disk", f"saved step {step}: there is room again", "warn")
            parts.recorder.writer.state("running", step=step)
        parts.recorder.saved(saved, parts.recipe)
        parts.recorder.mark()

    def _wait_for_room(self, step: int, *, announce: bool) -> None:
        """Say once that the disk is full, and wait; a stop ends the run without this checkpoint."""
        parts = self.ours
        if announce:
            reserve.give_back(parts.recorder.run_dir)
            reason = f"The disk is full: cannot save step {step}. Make room and training goes on."
            parts.recorder.writer.event("disk_full", reason, level="error", step=step)
            parts.recorder.writer.state("paused", step=step, reason=reason)
        parts.recorder.writer.flush()
        waited = 0.0
        while waited < _RETRY_S:
            parts.control.check()
            time.sleep(POLL_S)
            waited += POLL_S
        if parts.control.heartbeat_due():
            parts.recorder.writer.heartbeat()

    def _files_of_all(
        self, whole: WholeState | None, states: list[dict[str, Any]]
    ) -> Iterator[tuple[str, bytes]]:
        """The files of a checkpoint, and the random state of every process."""
        yield from self._files(whole)
        for rank, state in enumerate(states):
            yield f"rng_state_{rank}.pth", _saved(state)

    def _files(self, whole: WholeState | None = None) -> Iterator[tuple[str, bytes]]:
        """The files of a checkpoint, under the names that transformers resumes from.

        `training_args.bin` is left out: nothing needs it, and it can hold tokens.

        Raises:
            Diverged: a weight is not a number.
        """
        model: PeftModel = self.model
        config = model.peft_config["default"].to_dict() | {"inference_mode": True}
        weights = get_peft_model_state_dict(
            model, whole.weights if whole else None, save_embedding_layers=False
        )
        tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        self._all_numbers(tensors)
        yield "adapter_model.safetensors", safetensors.torch.save(tensors, {"format": "pt"})
        yield "adapter_config.json", _json(config)
        yield _OPTIMIZER, _saved(whole.optimizer if whole else self.optimizer.state_dict())
        yield _SCHEDULER, _saved(self.lr_scheduler.state_dict())
        yield "rng_state.pth", _saved(_random_state())
        yield "trainer_state.json", _json(dataclasses.asdict(self.state))
        if tokens := self.ours.recipe.add_tokens:
            ids = config["trainable_token_indices"]["embed_tokens"]
            yield "added_tokens.json", _json(dict(zip(tokens, ids, strict=True)))

    def _all_numbers(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, value in tensors.items():
            if not bool(torch.isfinite(value).all()):
                step = self.state.global_step
                raise Diverged(
                    f"{name} is not a number after step {step}, so that step is not saved",
                    self.ours.recorder.way_out(),
                )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Moments and position from the checkpoint, rates and decay from the recipe.

        Loading alone would bring the old settings back with the state: a longer run would take
        one step at the old schedule's last rate, and a fork would never see its own.
        """
        if checkpoint is None:
            return
        fresh = [
            {key: value for key, value in group.items() if key != "params"}
            for group in self.optimizer.param_groups
        ]
        ranks = self.ours.ranks
        if ranks is not None and ranks.sharded:
            ranks.load_optimizer(self.model, self.optimizer, Path(checkpoint) / _OPTIMIZER)
            state = torch.load(Path(checkpoint) / _SCHEDULER, weights_only=True)
            self.lr_scheduler.load_state_dict(state)
        elif (Path(checkpoint) / _OPTIMIZER).is_file():
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        else:
            state = torch.load(Path(checkpoint) / _SCHEDULER, weights_only=True)
            self.lr_scheduler.load_state_dict(state)
        schedule = self.lr_scheduler
        schedule.base_lrs = [group["initial_lr"] for group in fresh]
        rates = [
            base * factor(schedule.last_epoch)
            for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        for group, settings, rate in zip(self.optimizer.param_groups, fresh, rates, strict=True):
            group.update(settings | {"lr": rate})
        schedule._last_lr = rates

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The adapter; of a base that is spread over devices it was loaded before it was spread."""
        ranks = self.ours.ranks
        if ranks is None or not ranks.sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]

    def begin_with(self, folder: Path) -> None:
        """Take over the weights of an adapter of the same shape."""
        weights = safetensors.torch.load_file(folder / "adapter_model.safetensors")
        found = set_peft_model_state_dict(self.model, weights)
        if found.unexpected_keys:
            name = found.unexpected_keys[0]
            raise BadInput(
                f"{folder}: {name} has no place in this run's adapter", "Use its recipe."
            )


def _random_state(*, of_every_gpu: bool = False) -> dict[str, Any]:
    """As transformers reads it back: one GPU's from `rng_state.pth`, and where several processes
    train a list of every GPU's from `rng_state_N.pth`."""
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        generators = torch.cuda.random
        every = of_every_gpu
        state["cuda"] = generators.get_rng_state_all() if every else generators.get_rng_state()
    return state


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, default=_plain) + "\n").encode()


def _plain(value: object) -> object:
    """Sets, enums and the like of library configurations."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
