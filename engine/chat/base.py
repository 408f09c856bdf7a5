"""(heavy) One base in memory with any number of adapters on it, at any strength.

Knows transformers, PEFT's mixed batches and the NF4 round trip. Does not know turns or sockets,
nor how it is proved which row is which (see `seal`).

A base that training held in NF4 is kept here as the dense weights that NF4 stands for: on a CPU
bitsandbytes would repack 4-bit weights at the first answer, and would be slower besides.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
MOST_ADAPTERS = 16
"""More are let go, the one first that was attached longest ago: a run has many checkpoints."""
_WHOLE = {
    "use_dora": "a DoRA adapter, which turns the weights besides adding to them",
    "modules_to_save": "an adapter with whole modules of its own",
    "trainable_token_indices": "an adapter with new values of tokens",
}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Base:
    """A causal language model and its adapters.

    Args:
        quantization: `nf4` to hold the base as 4-bit training saw it.
        dtype: the precision in which training loaded the base.
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
    ) -> None:
        transformers.utils.logging.disable_progress_bar()
        facts = describe(folder)
        self.folder = folder
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
        self._files: dict[str, Path] = {}
        self._used: Counter[str] = Counter()
        self._alone: dict[str, str] = {}

    @property
    def model(self) -> Any:
        """The transformers model to call inside `rows`."""
        return self._plain

    @property
    def reads_apart(self) -> bool:
        """Whether prompts are read one by one, so that answers repeat bit for bit in any company.

        On a CPU bfloat16 products of few rows are the same however many there are, those of many
        are not. In float32 the difference is too small to matter; a GPU has it at any number.
        """
        return self.dtype == torch.bfloat16 and self.device.type == "cpu"

    def cache_bytes_per_token(self) -> int:
        """Bytes of keys and values that one position of one row takes."""
        config = self._plain.config.get_text_config()
        heads = config.num_attention_heads
        size = config.to_dict().get("head_dim") or config.hidden_size // heads
        groups = config.to_dict().get("num_key_value_heads") or heads
        return int(2 * config.num_hidden_layers * groups * size * self.dtype.itemsize)

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[None]:
        """While open, row i of every forward pass goes through adapter `names[i]`, or `BASE`.

        Raises:
            ValueError: in the forward pass, where PEFT cannot have these rows in one batch.
        """
        active = next((name for name in names if name != BASE), None)
        if self._tuned is None:
            yield
            return
        # Both walk the whole model, which a short answer of a small one would feel.
        if active is None:
            self._tuned.base_model.disable_adapter_layers()
            try:
                yield
            finally:
                self._tuned.base_model.enable_adapter_layers()
            return
        if self._tuned.active_adapter != active:
            self._tuned.set_adapter(active, inference_mode=True)
        # A batch of one kind needs no mixing, which costs a fifth; but it rounds in another way.
        if len(set(names)) == 1 and (not self.reads_apart or self.alone(active)):
            yield
            return
        # As PEFT does for every forward pass, but once for an answer, and undone whatever happens.
        named = {"adapter_names": list(names)}
        hooks = [
            layer.register_forward_pre_hook(
                lambda _, given, more: (given, {**more, **named}), with_kwargs=True
            )
            for layer in _layers(self._tuned, wrappers=True)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def attach(self, folder: Path, strength: float = 1.0) -> str:
        """Load an adapter, once for the same file and strength.

        Args:
            strength: what its change of the weights is multiplied by.
        Returns:
            its name for `rows`.
        Raises:
            NotFound, BadInput, Unsupported: the folder is no LoRA for this base.
        """
        weights = folder / "adapter_model.safetensors"
        _check_adapter(folder, weights, strength)
        if wrong := checkpoints.altered_adapter(folder):
            raise BadInput(
                f"{folder}: {wrong[0]}",
                "Choose another checkpoint; `workbench resume` writes damaged ones again.",
            )
        found = weights.stat()
        file = f"{found.st_ino}\0{found.st_size}\0{found.st_mtime_ns}"
        key = f"{folder.resolve()}\0{file}\0{strength!r}"
        name = "a" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        if name not in self._files:
            self._load(folder, name, strength)
            self._alone[name] = self._unmixed(name)
        self._files.pop(name, None)
        self._files[name] = weights
        return name

    @contextmanager
    def using(self, names: Sequence[str]) -> Iterator[None]:
        """While open, these stay."""
        self._used.update(names)
        try:
            yield
        finally:
            self._used.subtract(names)

    def holds(self, name: str) -> bool:
        """Whether rows may go through it."""
        return name == BASE or name in self._files

    def spare(self, wanted: Sequence[str]) -> None:
        """Let go of what is too much, but of nothing that is wanted or in use."""
        others = [name for name in self._files if name not in wanted and not self._used[name]]
        for name in others[: max(len(self._files) - MOST_ADAPTERS, 0)]:
            self._tuned.delete_adapter(name)
            del self._files[name], self._alone[name]

    def alone(self, name: str) -> str:
        """Why an adapter cannot share a batch, or nothing where it can."""
        return self._alone.get(name, "")

    def merged(self) -> bool:
        """Whether an adapter was added to the base's own weights."""
        return self._tuned is not None and any(layer.merged for layer in _layers(self._tuned))

    def altered(self, name: str) -> str:
        """Which tensor in memory is not what its file holds, or nothing where all are."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import load_file

        held = get_peft_model_state_dict(self._tuned, adapter_name=name)
        stored = load_file(self._files[name])
        for key in sorted(held.keys() | stored.keys()):
            if (
                key not in held
                or key not in stored
                or not torch.equal(held[key].cpu().float(), stored[key].to(held[key].dtype).float())
            ):
                return f"{key} in memory is not what {self._files[name]} holds"
        return ""

    def _unmixed(self, name: str) -> str:
        """Why PEFT cannot have an adapter in a batch with others, in its own words."""
        ids = torch.zeros((2, 1), dtype=torch.long, device=self.device)
        try:
            with torch.inference_mode(), self.rows([BASE, name]):
                self._plain(input_ids=ids, use_cache=False)
        except (ValueError, TypeError, NotImplementedError) as error:
            return str(error)
        return ""

    def _load(self, folder: Path, name: str, strength: float) -> None:
        from peft import PeftModel

        try:
            if self._tuned is None:
                self._tuned = PeftModel.from_pretrained(
                    self._plain, str(folder), adapter_name=name, is_trainable=False
                )
            else:
                self._tuned.load_adapter(str(folder), adapter_name=name, is_trainable=False)
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            trained = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
            why = " ".join(str(error).split())
            raise BadInput(
                f"{folder}: does not fit {self.folder}: it was trained on "
                f"{trained or 'a base that it does not name'} ({why[:200]})",
                "Choose the base that the adapter was trained on.",
            ) from error
        self._tuned.eval()
        for layer in _layers(self._tuned):
            layer.set_scale(name, strength)


def _layers(tuned: Any, *, wrappers: bool = False) -> list[Any]:
    """The layers that hold adapters; with `wrappers` also those that hold whole modules."""
    from peft.tuners.lora import LoraLayer
    from peft.utils import AuxiliaryTrainingWrapper

    kinds = (LoraLayer, AuxiliaryTrainingWrapper) if wrappers else LoraLayer
    return [module for module in tuned.modules() if isinstance(module, kinds)]


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


def _check_adapter(folder: Path, weights: Path, strength: float) -> None:
    if not weights.is_file():
        raise NotFound(
            f"{folder}: no adapter_model.safetensors", "Point to a checkpoint that is complete."
        )
    config = read_json(folder / "adapter_config.json")
    kind = config.get("peft_type")
    if kind != "LORA" or config.get("alora_invocation_tokens"):
        kind = kind if kind != "LORA" else "aLoRA"
        raise Unsupported(
            f"{folder}: peft_type is {kind!r}, expected 'LORA'", "Use a LoRA adapter."
        )
    for key, what in _WHOLE.items():
        if strength != 1 and config.get(key):
            raise Unsupported(
                f"{folder}: {what}: it can only be taken as a whole",
                "Leave out the *strength; a plain LoRA can have one.",
            )
