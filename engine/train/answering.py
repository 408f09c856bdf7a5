"""Greedy answers of the model that is being trained (heavy), leaving no trace in it.

Generation runs without gradients, in eval mode, on a copy of the random state. Knows the model and
the renderer. Does not know what is asked, steps or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from peft import PeftModel

from engine.checks.kinds import Answer
from engine.data.rows import Turn
from engine.render import Renderer
from engine.train.fit.halving import free_memory
from engine.train.fit.room import is_out_of_memory
from engine.train.loading import assert_unpacked

_AT_ONCE = 32
"""Prompts in a batch, before memory says otherwise."""

Ids = Sequence[int]


class Answering:
    """Asks the adapter, or the base beneath it."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._at_once = _AT_ONCE

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """The ids after which an answer begins."""
        return self._renderer.render(turns, generation_prompt=True).ids

    def answers(
        self,
        model: PeftModel,
        prompts: Sequence[Ids],
        max_tokens: int,
        *,
        base: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> list[tuple[Answer, int]] | None:
        """Each prompt's answer and its length in tokens, in order.

        Args:
            goes_on: asked before each batch; False ends it all, and nothing is returned.
        """
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        found: dict[int, list[int]] = {}
        device = next(model.parameters()).device
        training = model.training
        model.eval()
        try:
            with (
                torch.no_grad(),
                torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
                model.disable_adapter() if base else nullcontext(),
            ):
                while order:
                    if not goes_on():
                        return None
                    some = order[: self._at_once]
                    try:
                        ids = self._generate(model, [prompts[i] for i in some], max_tokens, device)
                    except (RuntimeError, MemoryError) as error:
                        if self._at_once == 1 or not is_out_of_memory(error):
                            raise
                    else:
                        found.update(zip(some, ids, strict=True))
                        del order[: len(some)]
                        continue
                    # Here the failed call's tensors are gone, with the traceback that held them.
                    self._at_once //= 2
                    free_memory()
        finally:
            model.train(training)
        assert_unpacked(model)
        return [self._read(found[i]) for i in range(len(prompts))]

    def _generate(
        self, model: PeftModel, prompts: Sequence[Ids], max_tokens: int, device: torch.device
    ) -> list[list[int]]:
        """New ids of each prompt, in one batch padded on the left."""
        pad = self._renderer.pad_id or 0
        longest = max(map(len, prompts))
        ids = torch.tensor([[pad] * (longest - len(p)) + [*p] for p in prompts], device=device)
        mask = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device
        )
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=list(self._renderer.stop_ids) or None,
        )
        rows: list[list[int]] = out[:, longest:].tolist()
        return rows

    def _read(self, ids: list[int]) -> tuple[Answer, int]:
        stops = self._renderer.stop_ids
        end = next((i for i, token in enumerate(ids) if token in stops), None)
        kept = ids if end is None else ids[:end]
        stop = "length" if end is None else "turn end"
        return Answer(self._renderer.decode(kept), stop, len(kept)), len(kept)
