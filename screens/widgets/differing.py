"""Which words of a text are not in another, for answers that are compared.

Knows words. Does not know who wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def changed_words(old: str, parts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Of each part of a new text, where words stand that are not in the old one there."""
    words = [
        (place, found.start(), found.end(), found[0])
        for place, part in enumerate(parts)
        for found in re.finditer(r"\S+", part)
    ]
    theirs = old[:MOST_COMPARED].split()
    length = 0
    for count, (_, _, _, word) in enumerate(words):
        length += len(word) + 1
        if length > MOST_COMPARED:
            words = words[:count]
            break
    keys = [word for _, _, _, word in words]
    ranges: list[list[tuple[int, int]]] = [[] for _ in parts]
    for kind, _, _, start, stop in SequenceMatcher(None, theirs, keys, False).get_opcodes():
        for number in range(start, stop) if kind != "equal" else ():
            place, begin, end, _ = words[number]
            mine = ranges[place]
            if number > start and mine and "\n" not in parts[place][mine[-1][1] : begin]:
                mine[-1] = (mine[-1][0], end)  # the spaces between them are part of it
            else:
                mine.append((begin, end))
    return ranges


def differing(old: str, new: str) -> Content:
    """The new text, what is not in the old one underlined; what is too long to compare follows."""
    parts = [
        text(piece, "$text-warning underline" if differs else "")
        for piece, differs in changed(old, new)
    ]
    return Content("").join([*parts, text(new[MOST_COMPARED:])])
