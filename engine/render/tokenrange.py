"""From characters of a text to its tokens, without a Python object a token.

Knows the encodings of `tokenizers`. A token belongs to the character range in which it starts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from tokenizers import Encoding

_FEW = 256
"""Tokens up to which it is quicker to take all their starts at once than to ask for each."""

_NEAR = 32
"""Characters without a token (trimmed blanks) that are stepped over before looking at all."""


class Places:
    """Where tokens start in one encoded text."""

    def __init__(self, encoding: Encoding, length: int) -> None:
        self._encoding = encoding
        self._count = len(encoding)
        self._length = length
        self._starts: list[int] | None = None

    def first_from(self, position: int) -> int:
        """The first token that starts at `position` or later; the count where none does."""
        if position <= 0:
            return 0
        if position >= self._length:
            return self._count
        if self._count <= _FEW:
            return self._exact(position)
        encoding = self._encoding
        token: int | None
        for near in range(position, min(position + _NEAR, self._length)):
            token = encoding.char_to_token(near)
            if token is not None:
                break
        else:
            return self._exact(position)
        if self._start(token) < position:
            token += 1
        while token > 0 and self._start(token - 1) >= position:
            token -= 1
        return token

    def runs(self, ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Ranges of characters as ranges of tokens; those without a token are left out."""
        found: list[tuple[int, int]] = []
        for start, end in ranges:
            first, last = self.first_from(start), self.first_from(end)
            if found and found[-1][1] >= first:
                first = found.pop()[0]
            if last > first:
                found.append((first, last))
        return tuple(found)

    def straddles(self, position: int) -> bool:
        """Does a token lie on both sides of `position`?"""
        token = self._encoding.char_to_token(position) if position < self._length else None
        return token is not None and self._start(token) < position

    def _start(self, token: int) -> int:
        found = self._encoding.token_to_chars(token) if token < self._count else None
        return -1 if found is None else int(found[0])

    def _exact(self, position: int) -> int:
        if self._starts is None:
            self._starts = [start for start, _ in self._encoding.offsets]
        return bisect_left(self._starts, position)
