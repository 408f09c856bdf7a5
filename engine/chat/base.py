"""(heavy) One base in memory with any number of adapters, and the proof of which is which.

Knows transformers, PEFT's mixed batches and the NF4 round trip. Does not know turns or sockets.

A base that training held in NF4 is kept here as the dense weights that NF4 stands for: on a CPU
bitsandbytes would repack 4-bit weights at the first answer, and would be slower besides.

The seal: the base's logits on a fixed prompt are remembered before any adapter is loaded. After
an adapter is attached, a mixed batch must give those logits again in its base row, other logits
in its adapter row, and the adapter in memory must equal its file tensor by tensor.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from engine.models.folder import describe, read_json
from engine.train import checkpoints
from store.errors import BadInput, NotFound, Unsupported

# Its remark about optional kernels would be the last line of many a log.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

BASE = "__base__"
BF16_PARAMETERS = 50_000_000
"""On a CPU a smaller model answers in float32: bfloat16 makes it no faster there."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""How far the base row may be from the plain base, as a share of its largest logit."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Seal:
    """Whether a column is what it says, and the numbers behind the verdict."""

    ok: bool
    detail: str


class Base:
    """A causal language model and its adapters.

    Args:
        quantization: `nf4` to hold the base as 4-bit training saw it.
        dtype: the precision in which training loaded the base.
        probe: token ids of the prompt that seals are made on.
    Raises:
        BadInput, NotFound, Unsupported: the folder cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quantization: str | None,
        double_quantization: bool,
        dtype: str,
        device: str,
        probe: Sequence[int],
    ) -> None:
        transformers.utils.logging.disable_progress_bar()
        facts = describe(folder)
        self.device = torch.device(device)
        self.dtype = compute_dtype(facts.parameters, device, _DTYPES[dtype])
        self.context = facts.context
        # NF4 is taken of the weights in the dtype that training loaded; else nothing is lost by
        # loading what we compute in.
        load = _DTYPES[dtype] if quantization else self.dtype
        self._plain = _read(folder, load)
        if quantization == "nf4":
            _through_nf4(self._plain, double_quantization)
        self._plain.to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        self._tuned: Any = None
        self._names: set[str] = set()
        self._probe = torch.tensor([list(probe)] * 2, device=self.device)
        self._sealed = self._probe_logits()

    @property
    def model(self) -> Any:
        """The transformers model to call inside `rows`."""
        return self._plain

    def cache_bytes_per_token(self) -> int:
        """Bytes of keys and values that one position of one row takes."""
        config = self._plain.config.get_text_config()
        heads = config.num_attention_heads
        size = config.to_dict().get("head_dim") or config.hidden_size // heads
        groups = config.to_dict().get("num_key_value_heads") or heads
        return int(2 * config.num_hidden_layers * groups * size * self.dtype.itemsize)

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[None]:
        """While open, row i of every forward pass goes through adapter `names[i]`, or `BASE`."""
        if self._tuned is None or all(name == BASE for name in names):
            with self._tuned.disable_adapter() if self._tuned is not None else nullcontext():
                yield
            return
        if len(set(names)) == 1:  # a batch of one kind needs no mixing, which costs a fifth
            self._tuned.set_adapter(names[0], inference_mode=True)
            yield
            return
        # PEFT enters this for every forward pass; once for a whole answer is much cheaper.
        with self._tuned.base_model._enable_peft_forward_hooks(adapter_names=list(names)):
            yield

    def attach(self, folder: Path, strength: float = 1.0) -> tuple[str, Seal]:
        """Load an adapter, once for the same file and strength, and prove it.

        Args:
            strength: what its change of the weights is multiplied by.
        Returns:
            its name for `rows`, and the seal. A broken seal means: do not ask.
        Raises:
            NotFound, BadInput, Unsupported: the folder is no LoRA that a mixed batch can hold.
        """
        weights = folder / "adapter_model.safetensors"
        _check_adapter(folder, weights)
        if wrong := checkpoints.altered_adapter(folder):
            raise BadInput(
                f"{folder}: {wrong[0]}",
                "Choose another checkpoint; `workbench resume` writes damaged ones again.",
            )
        found = weights.stat()
        file = f"{found.st_ino}\0{found.st_size}\0{found.st_mtime_ns}"
        key = f"{folder.resolve()}\0{file}\0{strength!r}"
        name = "a" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        if name not in self._names:
            self._load(folder, name, strength)
        return name, self._seal(name, weights)

    def _load(self, folder: Path, name: str, strength: float) -> None:
        from peft import PeftModel
        from peft.tuners.lora import LoraLayer

        try:
            if self._tuned is None:
                self._tuned = PeftModel.from_pretrained(
                    self._plain, str(folder), adapter_name=name, is_trainable=False
                )
            else:
                self._tuned.load_adapter(str(folder), adapter_name=name, is_trainable=False)
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise BadInput(
                f"{folder}: PEFT cannot put this adapter on the base: {error}",
                "Choose the base that the adapter was trained on.",
            ) from error
        self._tuned.eval()
        for module in self._tuned.modules():
            if isinstance(module, LoraLayer):
                module.set_scale(name, strength)
        self._names.add(name)

    def _seal(self, name: str, weights: Path) -> Seal:
        differing = self._differing_tensors(name, weights)
        if differing:
            return Seal(False, f"{differing[0]} in memory is not what {weights} holds")
        with torch.inference_mode(), self.rows([BASE, name]):
            mixed = self._plain(input_ids=self._probe).logits.float()
        scale = float(self._sealed.abs().max())
        drift = float((mixed[0] - self._sealed[0]).abs().max())
        moved = float((mixed[1] - self._sealed[1]).abs().max())
        numbers = f"base row off by {drift:.2g}, adapter row by {moved:.2g}, of {scale:.2g}"
        if not drift <= TOLERANCE[self.dtype] * scale:
            return Seal(False, f"the base row is not the base: {numbers}")
        if not moved > drift:
            return Seal(False, f"the adapter changes nothing: {numbers}")
        return Seal(True, numbers)

    def _differing_tensors(self, name: str, weights: Path) -> list[str]:
        from peft import get_peft_model_state_dict
        from safetensors.torch import load_file

        held = get_peft_model_state_dict(self._tuned, adapter_name=name)
        stored = load_file(weights)
        return [
            key
            for key in held.keys() | stored.keys()
            if key not in held
            or key not in stored
            or not torch.equal(held[key].cpu().float(), stored[key].to(held[key].dtype).float())
        ]

    def _probe_logits(self) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self._plain(input_ids=self._probe).logits.float()
        return logits


def _read(folder: Path, dtype: torch.dtype) -> Any:
    """Every weight from the folder's files: transformers would make up those that are missing."""
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"{folder}: {error}", "Use a folder that transformers knows.") from error
    absent = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if absent:
        raise BadInput(
            f"{folder}: {len(absent)} weights are missing or of another shape, e.g. {absent[0]}",
            "Copy the weight files from the model again.",
        )
    return model


def compute_dtype(parameters: int, device: str, load: torch.dtype) -> torch.dtype:
    """What to compute answers in: half the bytes where the machine is fast with them."""
    if device == "cuda":
        return load if load != torch.float32 else torch.bfloat16
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast and parameters >= BF16_PARAMETERS else torch.float32


def _through_nf4(model: Any, double_quantization: bool) -> None:
    """Replace every weight that 4-bit training would have quantised by what NF4 makes of it."""
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    from engine.export.merge import nf4_round_trip

    kept = get_keys_to_not_convert(model)
    for name, module in model.named_modules():
        if type(module) is torch.nn.Linear and should_convert_module(name, kept):
            module.weight.data = nf4_round_trip(
                module.weight.data, double_quant=double_quantization
            )


def _check_adapter(folder: Path, weights: Path) -> None:
    if not weights.is_file():
        raise NotFound(
            f"{folder}: no adapter_model.safetensors", "Point to a checkpoint that is complete."
        )
    config = read_json(folder / "adapter_config.json")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise Unsupported(
            f"{folder}: peft_type is {kind!r}, expected 'LORA'", "Use a LoRA adapter."
        )
    if config.get("use_dora"):
        raise Unsupported(
            f"{folder}: a DoRA adapter cannot share a batch with its base",
            "Export it merged, then chat with the merged folder.",
        )
