"""Sample answers during training (heavy): base and adapter, greedy, leaving no trace.

Generation runs without gradients, in eval mode, on a copy of the random state. Knows the model
and the renderer. Does not know steps or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel

from engine.data.rows import Row, Turn
from engine.render import Renderer
from engine.train.loading import assert_unpacked

_DEFAULT_PROMPTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample: `stop` is `turn end` or `length`."""

    prompt: str
    text: str
    tokens: int
    stop: str


class Prober:
    """Answers the same prompts again and again."""

    def __init__(
        self, renderer: Renderer, prompts: Sequence[Sequence[Turn]], max_tokens: int
    ) -> None:
        self._renderer = renderer
        self._max_tokens = max_tokens
        self._prompts = [turns[-1].text for turns in prompts]
        self._ids = [renderer.render(t, generation_prompt=True).ids for t in prompts]

    def __bool__(self) -> bool:
        return bool(self._ids) and self._max_tokens > 0

    def answers(self, model: PeftModel, *, base: bool = False) -> list[Answer]:
        """Greedy answers of the adapter, or of the base beneath it."""
        device = next(model.parameters()).device
        devices = [device] if device.type == "cuda" else []
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=devices):
                if base:
                    with model.disable_adapter():
                        produced = self._generate(model, device)
                else:
                    produced = self._generate(model, device)
        finally:
            model.train(training)
        assert_unpacked(model)
        pairs = zip(self._prompts, produced, strict=True)
        return [self._answer(prompt, ids) for prompt, ids in pairs]

    def _generate(self, model: PeftModel, device: torch.device) -> list[list[int]]:
        """New ids of each prompt, in one batch padded on the left."""
        pad = self._renderer.pad_id or 0
        longest = max(map(len, self._ids))
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in self._ids], device=device)
        mask = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in self._ids], device=device
        )
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=self._max_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=list(self._renderer.stop_ids) or None,
        )
        rows: list[list[int]] = out[:, longest:].tolist()
        return rows

    def _answer(self, prompt: str, ids: list[int]) -> Answer:
        stops = self._renderer.stop_ids
        end = next((i for i, token in enumerate(ids) if token in stops), None)
        kept = ids if end is None else ids[:end]
        stop = "length" if end is None else "turn end"
        return Answer(prompt, self._renderer.decode(kept), len(kept), stop)


def choose(
    probes: Sequence[str], held_out: Sequence[Row], train: Sequence[Row]
) -> list[list[Turn]]:
    """The recipe's prompts, or the opening turns of a few rows, held-out ones first."""
    if probes:
        return [[Turn("user", text)] for text in probes]
    chosen: list[list[Turn]] = []
    for row in [*held_out, *train[:_DEFAULT_PROMPTS]]:
        roles = [turn.role for turn in row.turns]
        if row.error is None and "assistant" in roles and "user" in roles:
            opening = list(row.turns[: roles.index("assistant")])
            if opening and opening[-1].role == "user":
                chosen.append(opening)
        if len(chosen) == _DEFAULT_PROMPTS:
            break
    return chosen
