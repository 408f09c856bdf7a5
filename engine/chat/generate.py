"""(heavy) Many prompts to many answers in one loop over one key-value cache.

Knows left padding, stop tokens and rows that end at different times. Does not know turns, texts
or sockets. Rows that have ended leave the batch once they are half of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.chat.base import Base
from engine.chat.protocol import StopReason
from engine.chat.sampling import Sampler

TURN_SECONDS = 1.0
"""How long a batch goes on before others have their turn."""
ALIGNED = 64
"""Padded prompts end at a multiple of this, so that sums over keys are split at the same places."""


@dataclass(eq=False)
class Generation:
    """One row: its prompt, whose it is, and what has been generated so far.

    Attributes:
        key: whatever the caller knows the row by.
        adapter: a name of `Base.attach`, or `base.BASE`.
        limit: most ids to generate.
        logprobs: of every id, where likelihoods were asked for.
        stop: None while it runs.
        first, seconds: from the start of the batch to the first id and to the last.
    """

    key: int
    adapter: str
    prompt: list[int]
    limit: int
    sampler: Sampler
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop: StopReason | None = None
    first: float = 0.0
    seconds: float = 0.0


def generate(
    base: Base,
    rows: Sequence[Generation],
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    on_step: Callable[[Sequence[Generation]], None],
    stopped: Callable[[], bool],
    likelihoods: bool = False,
) -> Iterator[None]:
    """Generate for all rows at once, in place.

    Between two steps, whenever a turn is over, it yields: then others may use the base.

    Args:
        on_step: called after each step with the rows that got an id in it.
        stopped: asked before each step; True ends every row as it is.
    """
    with base.using([row.adapter for row in rows]), ExitStack() as stack:
        batch = Batch(base, rows, pad_id, stack)
        yield from _loop(batch, stop_ids, likelihoods, on_step, stopped)


def _loop(
    batch: Batch,
    stop_ids: frozenset[int],
    likelihoods: bool,
    on_step: Callable[[Sequence[Generation]], None],
    stopped: Callable[[], bool],
) -> Iterator[None]:
    began = turn = time.monotonic()
    live = list(batch.rows)
    while live:
        if stopped():
            for row in live:
                row.stop, row.seconds = "stopped", time.monotonic() - began
            on_step([])
            return
        chosen = _choose(batch.step(), batch.rows, likelihoods)
        now = time.monotonic() - began
        stepped = []
        for row, token in zip(batch.rows, chosen, strict=True):
            if row.stop is not None:
                continue
            stepped.append(row)
            row.ids.append(token)
            row.first = row.first or now
            if token in stop_ids:
                row.stop = "turn end"
            elif len(row.ids) >= row.limit:
                row.stop = "length"
            row.seconds = now
        on_step(stepped)
        live = [row for row in live if row.stop is None]
        batch.feed(chosen)
        if live and 2 * len(live) <= len(batch.rows):
            batch.keep(live)
        if live and time.monotonic() - turn > TURN_SECONDS:
            batch.rest()
            yield
            batch.resume()
            turn = time.monotonic()


def _choose(logits: torch.Tensor, rows: Sequence[Generation], likelihoods: bool) -> list[int]:
    if all(row.sampler.plain for row in rows):
        chosen = [int(token) for token in logits.argmax(dim=-1).tolist()]
    else:
        chosen = [
            row.sampler.pick(line) if row.stop is None else 0
            for row, line in zip(rows, logits.float().cpu().numpy(), strict=True)
        ]
    if likelihoods:
        picked = torch.tensor(chosen, device=logits.device).unsqueeze(1)
        told = logits.float().log_softmax(dim=-1).gather(1, picked)[:, 0].tolist()
        for row, one in zip(rows, told, strict=True):
            if row.stop is None:
                row.logprobs.append(one)
    return chosen


class Batch:
    """The tensors of the rows in flight: input, mask, positions and cache."""

    def __init__(
        self, base: Base, rows: Sequence[Generation], pad_id: int, stack: ExitStack
    ) -> None:
        self.rows = list(rows)
        self._base = base
        self._stack = stack
        self._cache: Any = DynamicCache(config=base.model.config)
        self._apart = base.reads_apart and all(
            type(one) is DynamicLayer for one in self._cache.layers
        )
        longest = max(len(row.prompt) for row in rows)
        if self._apart:
            longest = -(-longest // ALIGNED) * ALIGNED
        else:
            self.resume()
        padded = [[pad_id] * (longest - len(row.prompt)) + row.prompt for row in rows]
        shown = [[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
        self._input = torch.tensor(padded, device=base.device)
        self._mask = torch.tensor(shown, device=base.device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)

    def rest(self) -> None:
        """Send nothing through adapters for a while."""
        self._stack.close()

    def resume(self) -> None:
        """Send each row through its adapter from now on."""
        self._stack.close()
        self._stack.enter_context(self._base.rows([row.adapter for row in self.rows]))

    @torch.inference_mode()
    def step(self) -> torch.Tensor:
        """Logits after the input, shape (rows, vocabulary)."""
        if self._apart:
            self._apart = False
            return self._read_apart()
        output = self._base.model(
            input_ids=self._input,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _read_apart(self) -> torch.Tensor:
        """Logits after the prompts, each read by itself.

        How bfloat16 rounds depends on how many positions are multiplied at once: read together,
        a prompt would come out a little different beside other neighbours.
        """
        read = []
        for row in self.rows:
            cache = DynamicCache(config=self._base.model.config)
            with self._base.rows([row.adapter]):
                output = self._base.model(
                    input_ids=torch.tensor([row.prompt], device=self._base.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            read.append((cache.layers, output.logits[:, -1]))
        length = self._mask.shape[1]
        for number, layer in enumerate(self._cache.layers):
            held = [layers[number] for layers, _ in read]
            if held[0].is_initialized:
                layer.update(
                    torch.cat([_filled(one.keys, length) for one in held]),
                    torch.cat([_filled(one.values, length) for one in held]),
                )
        self.resume()
        return torch.cat([logits for _, logits in read])

    def feed(self, chosen: Sequence[int]) -> None:
        """Make the chosen ids, one a row, the next input."""
        self._input = torch.tensor(chosen, device=self._mask.device).unsqueeze(1)
        self._mask = torch.cat([self._mask, torch.ones_like(self._input)], dim=1)
        self._positions = self._positions[:, -1:] + 1

    def keep(self, live: Sequence[Generation]) -> None:
        """Go on with these rows alone."""
        wanted = set(map(id, live))
        chosen = [index for index, row in enumerate(self.rows) if id(row) in wanted]
        indices = torch.tensor(chosen, device=self._mask.device)
        self._cache.batch_select_indices(indices)
        self._input = self._input[indices]
        self._mask = self._mask[indices]
        self._positions = self._positions[indices]
        self.rows = [self.rows[index] for index in chosen]
        self.resume()


def _filled(states: torch.Tensor, length: int) -> torch.Tensor:
    """Keys or values with zeros in front up to `length` positions."""
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[-2], 0))
