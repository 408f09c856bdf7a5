"""(heavy) The trained model's weights one by one, exactly as training saw them.

Knows the base's safetensors, the NF4 round trip and the adapter; holds one tensor at a time. Does
not know what the weights are written into. It never looks at a live 4-bit model: bitsandbytes
repacks those in place on a CPU, and merging into them gives garbage without an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from engine.export import textpart
from engine.export.lora import Adapter
from engine.export.safefile import Entry, contents
from engine.export.stages import Source
from engine.models.folder import read_json
from store.errors import BadInput, Unsupported

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
BLOCKSIZE = 64
"""Weights that share one NF4 scale; what transformers asks of bitsandbytes."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_STORED = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_PIECE = 1 << 22
"""Values read at a time of a tensor whose rows stand for themselves."""
IGNORED = (".rotary_emb.inv_freq",)


def nf4_round_trip(weight: torch.Tensor, *, double_quant: bool) -> torch.Tensor:
    """What a weight is after bitsandbytes has held it in 4 bit: same shape and dtype.

    NF4 is from QLoRA (arXiv 2305.14314); `double_quant` also quantises its scales.
    """
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(
        weight.contiguous(),
        blocksize=BLOCKSIZE,
        compress_statistics=double_quant,
        quant_type="nf4",
    )
    result: torch.Tensor = dequantize_4bit(packed, state)
    return result.reshape(weight.shape)


def quantised_modules(folder: Path) -> frozenset[str]:
    """Names of the modules that transformers holds in 4 bit: told from the model's own layout."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    kept = get_keys_to_not_convert(model)
    return frozenset(
        name
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and should_convert_module(name, kept)
    )


class Weights:
    """The tensors of a model folder, read one at a time from its safetensors files."""

    def __init__(self, folder: Path) -> None:
        self.entries: dict[str, Entry] = contents(folder)

    def read(self, name: str) -> torch.Tensor:
        """One tensor as it is stored.

        Raises:
            Unsupported: it is stored in a type that a merge cannot calculate with.
        """
        return self._read(self.entries[name], 0, self.entries[name].shape)

    def rows(self, name: str, count: int) -> Iterator[torch.Tensor]:
        """One tensor as it is stored, `count` rows at a time."""
        entry = self.entries[name]
        total, *rest = entry.shape
        for first in range(0, total, count):
            yield self._read(entry, first, (min(count, total - first), *rest))

    def _read(self, entry: Entry, first: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Values from row `first` on: read, not mapped, so that memory holds no more than them."""
        dtype = _STORED.get(entry.dtype)
        if dtype is None:
            raise Unsupported(
                f"{entry.file}: tensor {entry.name}: stored as {entry.dtype}.",
                "Use the full-precision weights of this model as the base.",
            )
        raw = bytearray(prod(shape) * dtype.itemsize)
        with entry.file.open("rb", buffering=0) as file:
            file.seek(entry.start + first * prod(shape[1:]) * dtype.itemsize)
            done, view = 0, memoryview(raw)
            while part := file.readinto(view[done:]):
                done += part
        if done < len(raw):
            raise BadInput(
                f"{entry.file}: tensor {entry.name}: the file ends inside it.",
                "Copy or download the file again.",
            )
        return torch.frombuffer(raw, dtype=dtype).reshape(shape)


@dataclass(frozen=True, slots=True)
class Planned:
    """One tensor of the merged model: its name, shape, and the stored tensor it comes from."""

    name: str
    shape: tuple[int, ...]
    source: str


class Merged:
    """The trained model's weights: base, then NF4 round trip where training had one, then adapter.

    Attributes:
        tied: the output head is the embedding (or has another name), so no head is written.
        part: the base holds more than text, of which only the text part is given.
        config: the base's config.json; of a model that holds more than text, its text part's.
    """

    def __init__(self, source: Source) -> None:
        folder = Path(source.base)
        self.config = read_json(folder / "config.json")
        self._weights = Weights(folder)
        part = textpart.of(self.config)
        self.part = part is not None
        self._dtype = DTYPES[source.dtype]
        self._double_quant = source.double_quant
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._adapter = Adapter.load(Path(source.adapter)) if source.adapter else None
        nf4 = source.quantization == "nf4"
        self._quantised = quantised_modules(folder) if nf4 else frozenset()
        if part is not None:
            self.config = part.config(folder)
            self._weights.entries = part.named(self._weights.entries)
            self._quantised = frozenset(part.named(dict.fromkeys(self._quantised)))
            if self._adapter is not None:
                self._adapter = self._adapter.renamed(part.named)
        self.tied = self._is_tied(folder)
        self._check_adapter()

    def plan(self) -> list[Planned]:
        """Every tensor that `tensor` will give, in the order of the base's files."""
        listed = [
            Planned(name, entry.shape, name)
            for name, entry in self._weights.entries.items()
            if name != HEAD and not name.endswith(IGNORED)
        ]
        if not self.tied:
            origin = HEAD if self._own_head else EMBEDDING
            listed.append(Planned(HEAD, self._weights.entries[origin].shape, origin))
        return listed

    def tensor(self, planned: Planned) -> torch.Tensor:
        """One weight of the trained model, float32 on the CPU."""
        module = planned.name.removesuffix(".weight")
        weight = self._weights.read(planned.source)
        if weight.is_floating_point():
            weight = weight.to(self._device, self._dtype)
        if module in self._quantised and planned.name.endswith(".weight"):
            weight = nf4_round_trip(weight, double_quant=self._double_quant)
        weight = weight.float()
        if self._adapter is not None and planned.name.endswith(".weight"):
            weight = self._adapter.apply(module, weight)
        return weight.cpu()

    def pieces(self, planned: Planned) -> Iterator[torch.Tensor]:
        """`tensor` in pieces of some rows, where every row is its own: an embedding, a head.

        What the NF4 round trip or the adapter looks at as a whole comes in one piece.
        """
        module = planned.name.removesuffix(".weight")
        rewritten = self._adapter.rewritten if self._adapter else frozenset()
        total, *rest = planned.shape
        count = max(1, _PIECE // prod(rest))
        if not rest or total <= count or module in rewritten or module in self._quantised:
            yield self.tensor(planned)
            return
        for number, piece in enumerate(self._weights.rows(planned.source, count)):
            values = piece.to(self._dtype).float()
            if self._adapter is not None:
                values = self._adapter.apply_rows(module, values, number * count, total)
            yield values

    def finish(self) -> None:
        """Check that no part of the adapter was left out.

        Raises:
            Unsupported: the adapter changes modules that the base has no weights for.
        """
        left = self._adapter.unconsumed if self._adapter else []
        if left:
            raise _strange_modules(left)

    def _is_tied(self, folder: Path) -> bool:
        """Whether head and embedding are one, after training too.

        config.json alone cannot tell: a head trained or stored apart stays apart.
        """
        entries = self._weights.entries
        said = _says_tied(folder, self.config)
        self._own_head = HEAD in entries
        if EMBEDDING not in entries:  # another family's names: everything is copied as it is
            return not self._own_head
        if not self._own_head and not said:
            raise BadInput(
                f"{folder}: no {HEAD} in the weights, and config.json does not tie it to "
                f"{EMBEDDING}.",
                "Copy or download the model folder again.",
            )
        if said and self._own_head and entries[HEAD].shape == entries[EMBEDDING].shape:
            head, embedding = self._weights.read(HEAD), self._weights.read(EMBEDDING)
            self._own_head = not torch.equal(head, embedding)
        changed = self._adapter.rewritten if self._adapter else frozenset()
        touched = {HEAD.removesuffix(".weight"), EMBEDDING.removesuffix(".weight")} & changed
        return not self._own_head and not touched

    def _check_adapter(self) -> None:
        """Refuse before anything is written what `finish` would refuse after."""
        if self._adapter is None:
            return
        known = {planned.name.removesuffix(".weight") for planned in self.plan()}
        strange = sorted(self._adapter.modules - known)
        if strange:
            raise _strange_modules(strange)


def _says_tied(folder: Path, config: Mapping[str, object]) -> bool:
    """What config.json says of head and embedding, else what its model class takes for granted."""
    said = config.get("tie_word_embeddings")
    if said is None:
        from transformers import AutoConfig

        said = AutoConfig.from_pretrained(folder, local_files_only=True).tie_word_embeddings
    return bool(said)


def _strange_modules(names: list[str]) -> Unsupported:
    return Unsupported(
        f"the adapter changes {len(names)} modules that the base has no weights for "
        f"(first: {names[0]}).",
        "Use the base that the adapter was trained on, or --to adapter.",
    )
