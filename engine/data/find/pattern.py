"""What is looked for: words or a regular expression, in linear time whatever they are.

Knows one buffer of whole lines at a time. Does not know files or row numbers. Regular expressions
are RE2's (github.com/google/re2/wiki/Syntax): no backreferences, no look-around, and no pattern
that takes exponential time. Lines are matched as they lie in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import re2

from engine.data.find import spelling
from store.errors import BadInput
from store.visible import visible

Buffer = bytes | bytearray
MANY = 2000
"""Matches that are marked in one row at most."""
_MIN_NEEDLE = 3
_MOST_NEEDLES = 4
"""A pattern of more branches is looked for at once: each text is a pass of its own."""
_OFTEN = b" etaoinshrdlcumwfgypbvkjxqz"
"""From the most to the least frequent of English; what is not there counts as more frequent."""
_MISSES = 200
"""So many lines of a buffer may have the needle and not the match, before the needle is dropped."""


class Pattern:
    """Use `Pattern.compile`. Nothing here changes: a pattern may be used by several scans."""

    def __init__(
        self, text: str, regex: bool, ignore_case: bool, wide: str, needles: tuple[str, ...]
    ) -> None:
        self.text = text
        self.regex = regex
        self.ignore_case = ignore_case
        self._match = _search(_compiled(wide, text, ignore_case, regex))
        plain = needles[0] if len(needles) == 1 else ""
        spelled = "".join(spelling.spelled(char, ignore_case=False) for char in plain)
        whole = bool(plain) and wide == spelled
        self._plain = plain.encode() if whole else None
        self._needles: list[Callable[[Buffer, int, int], tuple[int, int]]] = []
        if len(needles) > _MOST_NEEDLES:
            needles = ()
        loose = ignore_case or (regex and spelling.has_flags(text))
        folded = [_foldable(needle) if loose else "" for needle in needles]
        self.folds = bool(folded) and all(folded)
        if self.folds:
            self._needles = [
                _search(_compiled(re2.escape(part), part, False, False)) for part in folded
            ]
        elif not whole and min(map(len, needles), default=0) >= _MIN_NEEDLE:
            self._needles = [
                _search(_compiled(re2.escape(part), part, loose, False)) for part in needles
            ]

    @classmethod
    def compile(cls, text: str, regex: bool = False, case: bool | None = None) -> Pattern:
        """Make a pattern of what was typed.

        Args:
            regex: `text` is a regular expression, not words.
            case: True: as typed; False: any case; None: any case unless a capital was typed.
        Raises:
            BadInput: nothing to look for, or no regular expression; the position is named.
        """
        if not text:
            raise BadInput("search: nothing to look for", "type a word or a pattern")
        try:
            text.encode()
        except UnicodeEncodeError as wrong:
            raise BadInput(
                f"search: not valid Unicode at character {wrong.start + 1}", "type it again"
            ) from None
        capitals = spelling.has_capitals(text) if regex else any(c.isupper() for c in text)
        ignore = not capitals if case is None else not case
        widen = spelling.expression if regex else spelling.literal
        wide, needles = widen(text, ignore_case=ignore)
        if regex:
            # What was typed is checked as it was typed, so that a complaint names its own parts.
            _compiled(text, text, ignore, True)
        return cls(text, regex, ignore, wide, needles)

    def found(self, raw: Buffer) -> bool:
        """Is it in this line (without its ending)?"""
        return self._match(raw, 0, len(raw))[0] >= 0

    def within(self, buffer: Buffer, end: int) -> bool:
        """Is it anywhere in `buffer[:end]`?"""
        return self._match(buffer, 0, end)[0] >= 0

    def lines(self, buffer: Buffer, end: int) -> list[int]:
        """Where a match begins in each line of `buffer[:end]` that has one: the first, in order."""
        match, find = self._match, buffer.find
        found, at = [], 0
        while at < end:
            start, stop = match(buffer, at, end)
            if start < 0 or start == end:
                break
            found.append(start)
            at = find(b"\n", stop, end) + 1
            if not at:
                break
        return found

    def numbers(self, buffer: Buffer, end: int) -> tuple[list[int], int] | None:
        """For words that nearly every line has: the lines (from 0) and how many lines there are.

        None where `lines` serves better: the words have more than one spelling.
        """
        plain = self._plain
        if plain is None:
            return None
        find, match, any_case = buffer.find, self._match, self.ignore_case
        found: list[int] = []
        row, at, hit = 0, 0, -1
        while at < end:
            if hit < at:
                hit = find(plain, at, end)
                if hit < 0:
                    hit = end
            stop = find(b"\n", at, end)
            if stop < 0:
                stop = end
            if at <= hit < stop or (any_case and match(buffer, at, stop)[0] >= 0):
                found.append(row)
            at = stop + 1
            row += 1
        return found, row

    def raw_spans(self, raw: Buffer, limit: int = MANY) -> list[tuple[int, int]]:
        """Where it is in a line: byte offsets [start, end), at most `limit` of them."""
        return _spans(self._match, raw, limit)

    def spans(self, text: str, limit: int = MANY) -> list[tuple[int, int]]:
        """Where it is in text as people read it: character offsets [start, end)."""
        raw = text.encode("utf-8", "surrogatepass")
        found = _spans(self.in_text, raw, limit)
        if len(raw) == len(text):
            return found
        places, at, chars = [], 0, 0
        for offset in (edge for span in found for edge in span):
            chars += len(raw[at:offset].decode("utf-8", "surrogatepass"))
            at = offset
            places.append(chars)
        return list(zip(places[::2], places[1::2], strict=True))

    @cached_property
    def compiled(self) -> Any:
        """The `re2` expression over decoded text (UTF-8 bytes), with its groups."""
        wide = self.text if self.regex else re2.escape(self.text)
        return _compiled(wide, self.text, self.ignore_case, self.regex, never_newline=False)

    @cached_property
    def in_text(self) -> Callable[[Buffer, int, int], tuple[int, int]]:
        """The first match in `text[start:stop]` of decoded text as UTF-8; (-1, -1) for none."""
        return _search(self.compiled)

    def through_needle(
        self, buffer: Buffer, end: int, folded: Buffer | None = None
    ) -> list[int] | None:
        """As `lines`, looking only at lines that have one of the texts that a match must have.

        Args:
            folded: where the pattern `folds`, the buffer with bit 0x20 set in every byte: letters
                are small ones there. One case is looked for at twice the speed of any case.

        None where there is no such thing, or too many lines have it: `lines` is quicker then.
        """
        needles, match = self._needles, self._match
        if not needles or (self.folds and folded is None):
            return None
        looked = buffer if folded is None else folded
        found: list[int] = []
        nowhere = (end, end)
        hits = [(-1, -1)] * len(needles)
        at, misses = 0, 0
        while at < end:
            for i, needle in enumerate(needles):
                if hits[i][0] < at:
                    hit = needle(looked, at, end)
                    hits[i] = hit if hit[0] >= 0 else nowhere
            start, stop = min(hits)
            if start == end:
                break
            begin = buffer.rfind(b"\n", at, start) + 1 or at
            close = buffer.find(b"\n", stop, end)
            close = end if close < 0 else close
            place = match(buffer, begin, close)[0]
            if place >= 0:
                found.append(place)
            else:
                misses += 1
                if misses > _MISSES:
                    return None
            at = close + 1
        return found


def _foldable(needle: str) -> str:
    """A part of a needle that is where the needle is, in any case, when bit 0x20 is set; or "".

    k and s have relatives beyond ASCII in some case, and a star would be a newline.
    """
    parts = [part for part in re.split(r"[kKsS*]", needle) if len(part) >= _MIN_NEEDLE]
    longest = max(parts, key=len, default="").encode()
    # Lines are told apart by first and last byte: the rarer those, the fewer have to be looked at.
    ends = [
        (_OFTEN.find(longest[i] | 0x20) + _OFTEN.find(longest[j - 1] | 0x20), j - i, i)
        for i in range(len(longest))
        for j in range(i + _MIN_NEEDLE, len(longest) + 1)
    ]
    if not ends:
        return ""
    _, size, start = max(ends)
    return bytes(byte | 0x20 for byte in longest[start : start + size]).decode()


def _spans(
    match: Callable[[Buffer, int, int], tuple[int, int]], raw: Buffer, limit: int
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at, end = 0, len(raw)
    while at <= end and len(found) < limit:
        start, stop = match(raw, at, end)
        if start < 0:
            break
        if stop > start:
            found.append((start, stop))
        at = stop if stop > start else stop + 1
    return found


def _compiled(
    wide: str, text: str, ignore_case: bool, regex: bool, *, never_newline: bool = True
) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_nl = never_newline
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(f"(?m){wide}".encode(), options)
    except re2.error as error:
        raise _wrong(text, error, regex) from None


def _search(compiled: Any) -> Callable[[Buffer, int, int], tuple[int, int]]:
    # `re2.search` makes an object for each match and checks what is known here to be right.
    inner, unanchored = compiled._regexp.Match, re2._Anchor.UNANCHORED

    def search(buffer: Buffer, start: int, end: int) -> tuple[int, int]:
        first: tuple[int, int] = inner(unanchored, buffer, start, end)[0]
        return first

    return search


def _wrong(text: str, error: Exception, regex: bool) -> BadInput:
    reason = error.args[0] if error.args else "not understood"
    reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    words, _, part = reason.replace("(?m)", "", 1).partition(": ")
    if not regex:
        return BadInput(f"search: too long to look for ({words})", "look for fewer words")
    at = text.find(part) if part else -1
    if "parenthesis" in words or ")" in words:
        place = spelling.open_bracket(text)
        at = place if place is not None else at
    where = f" at character {at + 1}" if at >= 0 else ""
    shown = f": `{part[:40]}`" if part and part != text else ""
    hint = "look-around and backreferences are not there; put \\ before a sign meant as itself"
    return BadInput(visible(f"search: bad pattern{where}: {words}{shown}"), hint)


_FIRST_GROUP = re.compile(r"\$(\d+|\{\w+\}|\$)")


def template(pattern: Pattern, replacement: str) -> list[str | int]:
    """A replacement in pieces: texts as they are, and groups (`$1`, `${name}`; `$$` is a dollar).

    Words are replaced by words: there `$` means itself.

    Raises:
        BadInput: the pattern has no such group.
    """
    if not pattern.regex:
        return [replacement]
    names = {
        (name.decode() if isinstance(name, bytes) else name): index
        for name, index in pattern.compiled.groupindex.items()
    }
    pieces: list[str | int] = []
    at = 0
    for match in _FIRST_GROUP.finditer(replacement):
        pieces.append(replacement[at : match.start()])
        at = match.end()
        name = match[1].strip("{}")
        if name == "$":
            pieces.append("$")
            continue
        group = int(name) if name.isdigit() else names.get(name, -1)
        if not 0 <= group <= pattern.compiled.groups:
            raise BadInput(
                visible(
                    f"replace: character {match.start() + 1}: there is no group `{name}`; "
                    f"the pattern has {pattern.compiled.groups}"
                ),
                "put what is to be kept in ( ) and name it $1, $2…; $$ is a dollar sign",
            )
        pieces.append(group)
    pieces.append(replacement[at:])
    return [piece for piece in pieces if piece != ""]
