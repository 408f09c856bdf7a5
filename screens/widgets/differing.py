"""Which words of a text are not in another, for answers that are compared.

Knows words. Does not know who wrote them.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from textual.content import Content

from screens.safe import text

MOST_COMPARED = 4000
"""Characters: beyond them the comparison would be felt."""


def changed(old: str, new: str) -> list[tuple[str, bool]]:
    """The new text in pieces: (piece, whether its words are not in the old text there)."""
    ours, theirs = (re.findall(r"\s*\S+\s*?", words[:MOST_COMPARED]) for words in (new, old))
    keys, old_keys = ([part.strip() for part in parts] for parts in (ours, theirs))
    pieces: list[tuple[str, bool]] = []
    for kind, _, _, start, stop in SequenceMatcher(None, old_keys, keys, False).get_opcodes():
        if start < stop:
            pieces.append(("".join(ours[start:stop]), kind != "equal"))
    return pieces


def differing(old: str, new: str) -> Content:
    """The new text, what is not in the old one underlined; what is too long to compare follows."""
    parts = [
        text(piece, "$text-warning underline" if differs else "")
        for piece, differs in changed(old, new)
    ]
    return Content("").join([*parts, text(new[MOST_COMPARED:])])
