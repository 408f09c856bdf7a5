"""The words around a match, for a list of hits.

Knows one line of a file. Does not know how it was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.data.find.pattern import Pattern

AROUND = 40
"""Characters on either side of the match."""
_MOST = 200
"""Characters of a match that are shown."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """The first match of a line, and what stands beside it, as it is spelled in the file."""

    before: str
    match: str
    after: str
    matches: int

    def marked(self) -> str:
        """One line with the match between marks."""
        return f"{self.before}⟦{self.match}⟧{self.after}"


def snippet(raw: bytes, pattern: Pattern, around: int = AROUND) -> Snippet | None:
    """What stands around the first match; None where only an empty place matches.

    `matches` is how often it is in the line, as far as they are counted.
    """
    spans = pattern.raw_spans(raw)
    if not spans:
        return None
    start, end = spans[0]
    # A character takes four bytes at most; cut in the middle of one, its rest is left out.
    left = raw[max(0, start - 4 * around) : start].decode("utf-8", "ignore")[-around:]
    right = raw[end : end + 4 * around].decode("utf-8", "ignore")[:around]
    match = raw[start:end].decode("utf-8", "replace")
    if len(match) > _MOST:
        match = match[:_MOST] + "…"
    before = "…" + left if start > len(left.encode()) else left
    after = right + "…" if end + len(right.encode()) < len(raw) else right
    return Snippet(before, match, after, len(spans))
