"""How a tokenizer cuts text before merging, matched against what llama.cpp has built in.

Knows the `pre_tokenizer` and `normalizer` JSON of tokenizer.json. Does not know vocabularies. A
guess here corrupts every answer silently, so an unknown cut is refused, never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import Unsupported

Step = tuple[str, ...]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}"
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


@dataclass(frozen=True, slots=True)
class Pre:
    """One of llama.cpp's built-in cuts.

    Attributes:
        name: the value of `tokenizer.ggml.pre`.
        steps: the same cut as tokenizer.json writes it, in canonical form.
        ignore_merges: whether a piece that is a token as a whole is taken without merging.
    """

    name: str
    steps: tuple[Step, ...]
    ignore_merges: bool = False


def _split(pattern: str) -> tuple[Step, ...]:
    return (("split", pattern, "Isolated", "False"), ("bytelevel", "False"))


# Mistral's "tekken" is left out: llama.cpp's own cut differs on scripts with combining marks.
TABLE = (
    Pre("gpt-2", (("bytelevel", "True"),)),
    Pre("smollm", (("digits", "True"), ("bytelevel", "True"))),
    Pre("llama-bpe", _split(_LLAMA3), ignore_merges=True),
    Pre("dbrx", _split(_LLAMA3)),
    Pre("qwen2", _split(_QWEN2)),
)


def match(pre_tokenizer: Mapping[str, Any] | None, ignore_merges: bool) -> str:
    """llama.cpp's name for a byte-level cut.

    Raises:
        Unsupported: no row of the table cuts the same way.
    """
    steps = _canonical(pre_tokenizer)
    for row in TABLE:
        if row.steps == steps and row.ignore_merges == ignore_merges:
            return row.name
    raise Unsupported(
        "tokenizer.json: key pre_tokenizer: this cut is not one the GGUF converter knows "
        f"({', '.join(row.name for row in TABLE)}).",
        "Use --to merged, or a model with one of these tokenizers.",
    )


def _canonical(node: Mapping[str, Any] | None) -> tuple[Step, ...]:
    """The steps of a pre-tokenizer with everything that does not change ids left out."""
    if node is None:
        return ()
    match node.get("type"):
        case "Sequence":
            inner = node.get("pretokenizers", [])
            return tuple(step for child in inner for step in _canonical(child))
        case "ByteLevel" if not node.get("add_prefix_space", True):
            return (("bytelevel", str(bool(node.get("use_regex", True)))),)
        case "Digits":
            return (("digits", str(bool(node.get("individual_digits", False)))),)
        case "Split":
            pattern = node.get("pattern", {})
            behavior = str(node.get("behavior"))
            return (("split", str(pattern.get("Regex")), behavior, str(bool(node.get("invert")))),)
        case other:
            return ((f"unknown {other}",),)


def normalizes_nfc(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether text is brought to NFC first, which llama.cpp leaves to its caller.

    Raises:
        Unsupported: any other normalisation.
    """
    if normalizer is None:
        return False
    kind = normalizer.get("type")
    if kind == "Sequence" and not normalizer.get("normalizers"):
        return False
    if kind == "NFC":
        return True
    raise Unsupported(
        f"tokenizer.json: key normalizer: {kind} is not known to the GGUF converter.",
        "Use --to merged, or a model whose tokenizer does not rewrite text.",
    )
