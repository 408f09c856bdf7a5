"""The types an export can be written in, their sizes, and how far each may stray.

Knows names, bits and thresholds, and where each comes from. Does not know how a tensor is packed
(see `convert`). Thresholds are mean KL divergence in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from store.errors import BadInput
from store.exports import Kind


class Limits(NamedTuple):
    """Mean KL (nats) above which a proof warns or fails, top-1 agreement below which it does."""

    kl_warn: float
    kl_fail: float
    top1_warn: float
    top1_fail: float


@dataclass(frozen=True, slots=True)
class ExportType:
    """A tensor type an export can be written in.

    Attributes:
        name: what the user writes.
        file_type: what a GGUF file of this type calls itself (llama.cpp's `llama_ftype`).
        bits: bits per weight in the file.
        kl_warn, kl_fail: mean KL divergence (nats) above which the proof warns or fails.
        top1_warn, top1_fail: top-1 agreement (0 to 1) below which the proof warns or fails.
        usual: mean KL that llama.cpp's own tables give for Llama-3-8B (IQ4_XS: with an importance
            matrix); None where they have none.
        fitted: it cannot be made without an importance matrix.
    """

    name: str
    file_type: int
    bits: float
    kl_warn: float
    kl_fail: float
    top1_warn: float
    top1_fail: float
    usual: float | None = None
    fitted: bool = False

    @property
    def limits(self) -> Limits:
        """How far it may stray."""
        return Limits(self.kl_warn, self.kl_fail, self.top1_warn, self.top1_fail)

    @property
    def quantised(self) -> bool:
        """Whether llama.cpp's quantiser makes it of a file in 16 bits; the others we write."""
        return self.name not in ("f32", "f16", "bf16", "q8_0")


_F32 = ExportType("f32", 0, 32, 1e-4, 1e-3, 0.99, 0.98, 0.0)
_F16 = ExportType("f16", 1, 16, 1e-4, 1e-3, 0.99, 0.98, 0.0)
_BF16 = ExportType("bf16", 32, 16, 5e-4, 1e-3, 0.99, 0.98, 0.0)
_Q4_K_M = ExportType("q4_k_m", 15, 4.9, 0.07, 0.15, 0.88, 0.8, 0.0313)
_GGUF = (
    _F32,
    _F16,
    _BF16,
    ExportType("q8_0", 7, 8.5, 3e-3, 1e-2, 0.95, 0.9, 1.4e-3),
    ExportType("q6_k", 18, 6.6, 0.012, 0.03, 0.94, 0.88, 5.5e-3),
    ExportType("q5_k_m", 17, 5.7, 0.025, 0.06, 0.92, 0.85, 0.0108),
    ExportType("q5_k_s", 16, 5.6, 0.025, 0.06, 0.92, 0.85),
    _Q4_K_M,
    ExportType("q4_k_s", 14, 4.6, 0.09, 0.2, 0.87, 0.78, 0.043),
    ExportType("q4_0", 2, 4.6, 0.15, 0.35, 0.85, 0.75, 0.072),
    ExportType("iq4_xs", 30, 4.5, 0.08, 0.18, 0.87, 0.79, 0.036),
    ExportType("q3_k_m", 12, 4.0, 0.2, 0.5, 0.85, 0.75, 0.102),
    ExportType("iq3_m", 27, 3.7, 0.15, 0.4, 0.85, 0.75, fitted=True),
    ExportType("iq3_xxs", 23, 3.3, 0.35, 0.8, 0.78, 0.65, fitted=True),
    ExportType("q2_k", 10, 3.2, 0.9, 2.0, 0.65, 0.5, 0.445),
    ExportType("iq2_m", 29, 2.9, 0.9, 2.0, 0.65, 0.5, fitted=True),
    ExportType("iq2_xxs", 19, 2.4, 1.4, 3.0, 0.5, 0.35, fitted=True),
)
"""From the largest to the smallest. Where the limits come from:

- In 16 and 32 bits: a right conversion of thirteen families measured 1e-9 to 5e-8, in BF16 2e-5 to
  4e-5; a lost permutation or rope factor costs 1e-2 and more. The limits lie between.
- `usual` and top-1: Llama-3-8B in llama.cpp's tools/perplexity/README.md (97.7 % for Q8_0, 96.0 %
  Q6_K, 91.9 % Q4_K_M). A file warns at about twice as much and fails at about five times.
- Q5_K_S and the fitted ones: nobody publishes any, so a run on the starter sets them apart from
  their neighbours: there Q5_K_S lost as much as Q5_K_M, IQ3_M 0.8 and IQ3_XXS 1.9 times as much as
  Q3_K_M, IQ2_M 1.1 and IQ2_XXS 2.5 times as much as Q2_K.

That run, in nats over 1,141 held-out positions: F32 1e-12, F16 3e-7, BF16 2e-5, Q8_0 3e-4,
Q6_K 0.0017, Q5_K_M 0.0042, Q5_K_S 0.0043, Q4_K_M 0.020, Q4_K_S 0.017, Q4_0 0.021, IQ4_XS 0.020,
Q3_K_M 0.048, IQ3_M 0.037, IQ3_XXS 0.090, Q2_K 0.12, IQ2_M 0.13, IQ2_XXS 0.30: all pass.
"""

TYPES: dict[str, dict[str, ExportType]] = {
    "gguf": {type.name: type for type in _GGUF},
    "merged": {"f32": _F32, "f16": _F16, "bf16": _BF16},
    "adapter": {"f32": _F32},
    "adapter-gguf": {"f32": _F32},
    "ollama": {type.name: type for type in _GGUF},
}
_BY_FILE_TYPE = {type.file_type: type for type in _GGUF}


def kind(name: str) -> Kind:
    """The kind of export called `name`.

    Raises:
        BadInput: there is none.
    """
    match name.lower():
        case "gguf" | "ollama" | "merged" | "adapter" | "adapter-gguf" as found:
            return found
    raise BadInput(
        f"--to {name}: expected one of {', '.join(TYPES)}.",
        "Choose gguf for llama.cpp, ollama for a folder with a Modelfile, merged for transformers, "
        "adapter for PEFT, adapter-gguf for llama.cpp's --lora.",
    )


def of_gguf(file_type: int | None) -> ExportType:
    """The limits for a foreign GGUF by its `general.file_type`; Q4_K_M's where it is unknown."""
    known = _BY_FILE_TYPE.get(file_type if file_type is not None else -1)
    return known or _Q4_K_M


def usual(to: str) -> ExportType:
    """The type of an export of kind `to` for which none is named."""
    return _F16 if "f16" in TYPES[kind(to)] else _F32


def choose(to: str, name: str) -> ExportType:
    """The type called `name` (any case) for an export of kind `to`.

    Raises:
        BadInput: `to` or `name` is not one of the known names.
    """
    kind_name = kind(to)
    known = TYPES[kind_name]
    found = known.get(name.lower())
    if found is not None:
        return found
    if known.keys() == {_F32.name}:
        said = f"--type {name}: an adapter is written in f32, as it was trained."
        raise BadInput(said, f"Leave --type out for --to {kind_name}.")
    names = ", ".join(known)
    raise BadInput(
        f"--type {name}: expected one of {names}.", f"Use one of them for --to {kind_name}."
    )
