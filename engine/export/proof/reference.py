"""(heavy) The trained model itself in 32-bit arithmetic: what an export is measured against.

Knows transformers and PEFT. It applies the adapter by PEFT's own forward pass and never by
`lora`, so that a mistake of our merge cannot hide in the reference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from engine.export.merge import DTYPES, IGNORED, nf4_round_trip, quantised_modules
from engine.export.safefile import contents
from engine.export.stages import Source
from store.errors import Unsupported

_MARGIN = 1.2


class Reference:
    """A base, held as training held it, with its adapter if there is one.

    Raises:
        Unsupported: it does not fit into memory in 32 bit, or its tensors are not those of its
        architecture: transformers would fill what is missing at random.
    """

    def __init__(self, source: Source) -> None:
        from transformers import AutoModelForCausalLM

        folder = Path(source.base)
        self.device = _device(folder)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES[source.dtype],
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, told = loaded
        _refuse_others(folder, told["missing_keys"], told["unexpected_keys"])
        model.requires_grad_(False)
        if source.quantization == "nf4":
            _round_trip(model, folder, source.double_quant)
        model = model.float()
        self.has_adapter = source.adapter is not None
        if source.adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, source.adapter).float()
        self._model = model.to(self.device).eval()

    @property
    def model(self) -> torch.nn.Module:
        """The model itself."""
        found: torch.nn.Module = self._model
        return found

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], *, base: bool = False) -> NDArray[np.float32]:
        """Logits at every position of one sequence: float32 [len(ids), vocabulary]."""
        tokens = torch.tensor([list(ids)], device=self.device)
        if base and self.has_adapter:
            with self._model.disable_adapter():
                found = self._model(input_ids=tokens, use_cache=False).logits
        else:
            found = self._model(input_ids=tokens, use_cache=False).logits
        values: NDArray[np.float32] = found[0].float().cpu().numpy()
        return values

    @torch.inference_mode()
    def greedy(self, ids: Sequence[int], stops: Sequence[int], max_tokens: int) -> list[int]:
        """The most likely continuation, the stop token included.

        A model that keeps no keys and values, as Mamba, reads everything again for each token.
        """
        found: list[int] = []
        tokens, cache = torch.tensor([list(ids)], device=self.device), None
        while len(found) < max_tokens:
            out = self._model(input_ids=tokens, past_key_values=cache, use_cache=True)
            cache = out.get("past_key_values")
            found.append(int(out.logits[0, -1].argmax()))
            if found[-1] in stops:
                break
            new = found[-1:] if cache is not None else [*ids, *found]
            tokens = torch.tensor([new], device=self.device)
        return found


def _refuse_others(folder: Path, missing: Collection[str], unexpected: Collection[str]) -> None:
    """Refuse weights of another architecture; tied heads transformers does not name."""
    unread = [name for name in unexpected if not name.endswith(IGNORED)]
    for names, words in ((missing, "is not in the weights"), (unread, "is read by nothing")):
        if names:
            raise Unsupported(
                f"{folder}: tensor {min(names)} {words} of the architecture in config.json.",
                "Correct the keys architectures and model_type of config.json.",
            )


def _round_trip(model: Any, folder: Path, double_quant: bool) -> None:
    where = "cuda" if torch.cuda.is_available() else "cpu"
    for name in quantised_modules(folder):
        weight = model.get_submodule(name).weight
        held = nf4_round_trip(weight.data.to(where), double_quant=double_quant)
        weight.data.copy_(held.to(weight.device))


def needs(folder: Path) -> float:
    """Bytes of memory that a model takes in 32 bit."""
    return sum(entry.size for entry in contents(folder).values()) * 4 * _MARGIN


def _device(folder: Path) -> str:
    """Where the reference fits: a GPU with room, else the CPU."""
    needed = needs(folder)
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > needed:
        return "cuda"
    free = psutil.virtual_memory().available
    if free < needed:
        raise Unsupported(
            f"the trained model in 32 bit needs {needed / 1e9:.1f} GB of memory; "
            f"{free / 1e9:.1f} GB are free.",
            "Free memory, or prove the file on a larger machine with `workbench verify`.",
        )
    return "cpu"
