"""Secrets taken out of what is written down or sent on: command lines, settings, notes.

Knows what tokens, keys and passwords look like. A guess errs on the side of hiding. Does not know
where a text comes from or goes to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "•••"

_NAMED = re.compile(
    r"(?i)(?<![a-z])(api[_-]?key|access[_-]?key|private[_-]?key|token|secret|passw(?:or)?d|"
    r"passphrase|credentials?|authorization|bearer)(?![a-z])"
)
_ASSIGNED = re.compile(
    r"(?i)\b([\w.-]*(?:api[_-]?key|access[_-]?key|private[_-]?key|(?<![a-z])token|secret|"
    r"passw(?:or)?d|passphrase|credentials?|authorization))(\s*[=:]\s*)(?:bearer\s+)?(\S+)"
)
_SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{16,}"
    r"|sk-[A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[\w-]{30,}"
    r"|wandb_v\d_\w{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?i:(?<=bearer )\S+)"
)
_HEX_KEY = re.compile(r"\b[0-9a-f]{40}\b")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)")


def redacted(text: str, *, hashes: bool = False) -> str:
    """The text with everything hidden that looks like a secret.

    Args:
        hashes: keep runs of 40 hexadecimal digits: git's names look like the keys of W&B.
    """
    text = _IN_ADDRESS.sub(HIDDEN, text)
    text = _SHAPES.sub(HIDDEN, text)
    if not hashes:
        text = _HEX_KEY.sub(HIDDEN, text)
    return _ASSIGNED.sub(rf"\1\2{HIDDEN}", text)


def redacted_words(words: Iterable[str]) -> tuple[str, ...]:
    """A command line without its secrets: also the word after `--token` and the like."""
    kept: list[str] = []
    hide = False
    for word in words:
        if hide and not word.startswith("-"):
            kept.append(HIDDEN)
        else:
            kept.append(redacted(word))
        hide = word.startswith("-") and "=" not in word and is_secret_name(word.lstrip("-"))
    return tuple(kept)


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is one to hide."""
    return _NAMED.search(name.replace("_", "-")) is not None
