"""How a tokenizer cuts text before merging, matched against what llama.cpp has built in.

Knows the `pre_tokenizer` and `normalizer` JSON of tokenizer.json. Does not know vocabularies. A
guess here corrupts every answer silently, so an unknown cut is refused, never approximated by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import Unsupported

Step = tuple[str, ...]

WAY_OUT = (
    "Use --to merged: a folder for transformers with the tokenizer as it is; or --llama-cpp DIR: "
    "the converter of a llama.cpp checkout, which may know it."
)

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}"
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_QWEN35 = _QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(
    r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s"
_PATHS = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_TEKKEN = rf"{_CASED % ('', '')}|\p{{N}}|{_PATHS}"
_GPT4O = rf"{_CASED % ((_CONTRACTIONS + '?',) * 2)}|\p{{N}}{{1,3}}|{_PATHS}"
_DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)
_CASE = "llama.cpp tells capitals from small letters in ASCII only"
_SPACE = "llama.cpp cuts otherwise at white space outside ASCII."


@dataclass(frozen=True, slots=True)
class Pre:
    """One of llama.cpp's built-in cuts.

    Attributes:
        name: the value of `tokenizer.ggml.pre`.
        steps: the same cut as tokenizer.json writes it, in canonical form.
        ignore_merges: whether a piece that is a token as a whole is taken without merging.
        loses: where llama.cpp's own cut differs from the original, in words; empty: nowhere.
    """

    name: str
    steps: tuple[Step, ...]
    ignore_merges: bool = False
    loses: str = ""


def _split(*patterns: str, digits: bool = False) -> tuple[Step, ...]:
    cuts: list[Step] = [("split", pattern) for pattern in patterns]
    return (*cuts, *([("digits", "True")] if digits else []), ("bytelevel", "False"))


TABLE = (
    Pre("gpt-2", (("bytelevel", "True"),)),
    Pre("smollm", (("digits", "True"), ("bytelevel", "True"))),
    Pre("llama-bpe", _split(_LLAMA3), ignore_merges=True),
    Pre("dbrx", _split(_LLAMA3)),
    Pre("qwen2", _split(_QWEN2)),
    Pre("qwen35", _split(_QWEN35)),
    Pre("deepseek-v3", _split(*_DEEPSEEK3)),
    Pre("deepseek-coder", _split(*_DEEPSEEK_CODER, digits=True), loses=_SPACE),
    # The cut that llama.cpp calls gpt-4o also tears combining marks off their letters: Hindi, Thai
    # or Arabic come out as other ids. This one is the same without that.
    Pre("granite-embed-multi-97m", _split(_GPT4O), loses=f"{_CASE}."),
    Pre("tekken", _split(_TEKKEN), True, loses=f"{_CASE}, and tears combining marks off letters."),
)


def match(pre_tokenizer: Mapping[str, Any] | None, ignore_merges: bool) -> Pre:
    """llama.cpp's row for a byte-level cut.

    Raises:
        Unsupported: no row of the table cuts the same way; the first unknown step is named.
    """
    steps = _canonical(pre_tokenizer)
    rows = [row for row in TABLE if row.steps == steps]
    for row in rows:
        if row.ignore_merges == ignore_merges:
            return row
    if rows:
        problem = f"key model.ignore_merges: {ignore_merges} with the cut of {rows[0].name}"
    else:
        known = max(_same(row.steps, steps) for row in TABLE)
        part = " ".join(steps[known]) if known < len(steps) else "nothing more after it"
        problem = f"key pre_tokenizer: step {known + 1} ({part!r:.160})"
    raise Unsupported(
        f"tokenizer.json: {problem} is not a cut that the GGUF converter knows "
        f"(it knows those of {', '.join(row.name for row in TABLE)}).",
        WAY_OUT,
    )


def _same(ours: tuple[Step, ...], theirs: tuple[Step, ...]) -> int:
    """How many first steps are the same."""
    pairs = list(zip(ours, theirs, strict=False))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))


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
            return (_split_step(node),)
        case other:
            return ((f"{other}",),)


def _split_step(node: Mapping[str, Any]) -> Step:
    """Matches stand alone. Two ways to write it: with patterns that leave no gap they are one."""
    pattern = node.get("pattern", {})
    pattern = str(pattern.get("Regex", pattern))
    behavior, invert = str(node.get("behavior")), bool(node.get("invert"))
    if (behavior, invert) in (("Isolated", False), ("Removed", True)):
        covers = pattern.endswith(r"\s+")
        return ("split", pattern) if covers or not invert else ("split", pattern, "Removed")
    return ("split", pattern, behavior, str(invert))


def normalizes_nfc(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether text is brought to NFC first, which llama.cpp leaves to its caller.

    Raises:
        Unsupported: any other normalisation.
    """
    if normalizer is None:
        return False
    kind = normalizer.get("type")
    if kind == "Sequence":
        found = [normalizes_nfc(step) for step in normalizer.get("normalizers", [])]
        return True in found
    if kind == "NFC":
        return True
    raise Unsupported(
        f"tokenizer.json: key normalizer: {kind} is not known to the GGUF converter, which knows "
        "NFC.",
        WAY_OUT,
    )
