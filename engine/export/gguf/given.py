"""The form in which a text has to be given to llama.cpp so that its ids are the model's.

Knows what llama.cpp does not do: normalise, let added tokens swallow the spaces around them, and
put the invisible space of a SentencePiece tokenizer where that tokenizer puts it. Does not know
vocabularies.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from engine.export.gguf.pretokenizers import WAY_OUT
from store.errors import Unsupported

Space = Literal["none", "every", "missing", "start", "start only"]

# White space as the `tokenizers` library has it: Unicode's White_Space.
_WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LEADING, _TRAILING = re.compile(f"^[{_WHITE}]+"), re.compile(f"[{_WHITE}]+$")


@dataclass(frozen=True, slots=True)
class Given:
    """What has to be done to texts.

    Attributes:
        nfc: bring them to NFC.
        added: the added tokens, which are left alone.
        left, right: those of them that swallow white space before or after them.
        space: where the tokenizer puts a space. `none`: nowhere; `every`: before every stretch of
            text, as llama.cpp does; `missing`: there, unless one is there; `start`: only at the
            start, and llama.cpp is told to put none; `start only`: the same, but llama.cpp puts
            one before every stretch.
    """

    nfc: bool = False
    added: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    right: frozenset[str] = frozenset()
    space: Space = "none"

    @property
    def prefix(self) -> bool:
        """Whether llama.cpp is to put a space before every stretch of text."""
        return self.space not in ("none", "start")

    def text(self, text: str) -> str:
        """The text as llama.cpp must be given it."""
        if not self.nfc and not self.left | self.right and self.space == "none":
            return text
        parts = self._split(text)
        for i in range(0, len(parts), 2):
            part = unicodedata.normalize("NFC", parts[i]) if self.nfc else parts[i]
            if i and parts[i - 1] in self.right:
                part = _LEADING.sub("", part)
            if i + 1 < len(parts) and parts[i + 1] in self.left:
                part = _TRAILING.sub("", part)
            parts[i] = self._spaced(part, first=not i) if part else ""
        return "".join(parts)

    def mended(self) -> list[str]:
        """What is done, for callers who have to do it themselves, in sentences."""
        found = []
        if self.nfc:
            found.append("llama.cpp has to be given text in NFC.")
        if self.left or self.right:
            name = min(self.left | self.right)
            found.append(f"It has to be given text without white space beside {name}.")
        if self.space in ("missing", "start only"):
            found.append("It puts a second space before text that starts with one.")
        if self.space == "start":
            found.append("Text that starts without a special token needs a space before it.")
        return found

    def unmended(self) -> list[str]:
        """What cannot be done, in sentences."""
        if self.space == "missing":
            return ["A lone space between special tokens is read as two."]
        if self.space == "start only":
            return ["llama.cpp puts a space after every special token; training did not."]
        return []

    def _split(self, text: str) -> list[str]:
        """Texts at even places, the added tokens between them at odd ones."""
        return _either(self.added).split(text) if self.added else [text]

    def _spaced(self, part: str, *, first: bool) -> str:
        has = part.startswith((" ", "▁"))
        match self.space:
            case "start":
                return f" {part}" if first and not has else part
            case "missing" | "start only":
                return part[1:] if has else part
            case _:
                return part


@lru_cache(maxsize=4)
def _either(tokens: frozenset[str]) -> re.Pattern[str]:
    """Finds any of the tokens, the longest there is: models of speech have 28,000 of them."""
    return re.compile("(" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")")


def given_of(data: Mapping[str, Any], nfc: bool, prefix: bool) -> Given:
    """What texts need, from tokenizer.json.

    Args:
        nfc: whether the tokenizer normalises.
        prefix: whether llama.cpp puts a space before every stretch, where the tokenizer leaves it
            open which is better.
    Raises:
        Unsupported: text is brought into a form that nothing done beforehand can reach.
    """
    added = data.get("added_tokens", [])
    for item in added:
        if item.get("single_word"):
            raise Unsupported(
                f"tokenizer.json: key added_tokens: {item['content']!r} has single_word, which is "
                "not known to llama.cpp.",
                WAY_OUT,
            )
    texts = {key: [item for item in added if item.get(key)] for key in ("lstrip", "rstrip")}
    return Given(
        nfc=nfc,
        added=_contents(added),
        left=_contents(texts["lstrip"]),
        right=_contents(texts["rstrip"]),
        space=_space(data, prefix) if data["model"].get("byte_fallback") else "none",
    )


def _contents(items: list[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(item["content"]) for item in items if item["content"])


def _space(data: Mapping[str, Any], prefix: bool) -> Space:
    """The rule of a SentencePiece-like tokenizer."""
    cut, normalizer = data.get("pre_tokenizer") or {}, data.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    kinds = [step.get("type") for step in steps]
    replaced = bool(steps) and (
        steps[-1].get("pattern") == {"String": " "} and steps[-1].get("content") == "▁"
    )
    whole = not cut or (cut.get("type") == "Split" and cut.get("pattern") == {"String": " "})
    if whole and replaced and kinds in (["Replace"], ["Prepend", "Replace"]):
        prepended = kinds[0] == "Prepend"
        if not prepended or steps[0].get("prepend") == "▁":
            return "every" if prepended else "none"
    if cut.get("type") == "Metaspace" and not steps and _uncut(data, cut):
        scheme = cut.get("prepend_scheme")
        if scheme in ("always", "never"):
            return "missing" if scheme == "always" else "none"
        if scheme == "first":
            return "start only" if prefix else "start"
    raise Unsupported(
        f"tokenizer.json: keys normalizer ({kinds}) and pre_tokenizer ({cut.get('type')}): a "
        "byte-fallback BPE that cuts text in a way the GGUF converter does not know.",
        WAY_OUT,
    )


def _uncut(data: Mapping[str, Any], cut: Mapping[str, Any]) -> bool:
    """Whether Metaspace leaves text whole, or cuts it only where no token lies across."""
    across = any("▁" in text[1:] for text in data["model"].get("vocab", {}))
    return cut.get("replacement") == "▁" and not (cut.get("split", True) and across)
