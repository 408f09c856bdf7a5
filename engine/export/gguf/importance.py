"""(heavy) Which columns of a weight matter: the mean square of what is fed to them.

The statistic of llama.cpp's importance matrix, measured on the trained model itself while it reads
held-out chats. Rows of a query or key may stand in another order in the file; columns never do.
Knows PEFT's names of layers. Does not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.export.proof.samples import Sample

Importance = dict[str, NDArray[np.float32]]
"""Name of a weight -> (columns,)."""
MAX_POSITIONS = 16_384


def importance(model: torch.nn.Module, samples: Sequence[Sample], length: int) -> Importance:
    """Let the model read the samples, each cut at `length` tokens, and listen at its linear layers.

    Returns:
        one vector for each linear layer, by the name of its weight in the base.
    """
    sums: dict[str, torch.Tensor] = {}
    seen: dict[str, int] = {}

    def listen(name: str) -> Callable[[Any, Any], None]:
        def hear(_module: Any, given: tuple[torch.Tensor, ...]) -> None:
            rows = given[0].detach().float().reshape(-1, given[0].shape[-1])
            sums[name] = sums.get(name, 0) + rows.square().sum(0)
            seen[name] = seen.get(name, 0) + len(rows)

        return hear

    hooks = [
        module.register_forward_pre_hook(listen(own))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and (own := _own_name(name))
    ]
    device = next(model.parameters()).device
    read = 0
    try:
        with torch.inference_mode():
            for sample in samples:
                ids = list(sample.ids[:length])
                if ids and read < MAX_POSITIONS:
                    model(input_ids=torch.tensor([ids], device=device), use_cache=False)
                    read += len(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / seen[name]).cpu().numpy() for name, total in sums.items()}


def _own_name(name: str) -> str | None:
    """The base's name for the weight of a layer; None for a layer of the adapter's."""
    if ".lora_" in name:
        return None
    return name.removeprefix("base_model.model.").removesuffix(".base_layer") + ".weight"
