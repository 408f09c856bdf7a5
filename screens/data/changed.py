"""Before and after of one row, with the words that differ marked.

Knows JSON values by their places, and words. Does not know documents.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from textual.content import Content

from screens.safe import clip, text

MOST_WORDS = 800
"""Words of a value that are compared one by one; beyond, only its beginning and end are."""
SHOWN = 8_000
"""Characters of one value shown at most."""
AROUND = 60
"""Words that are the same and are shown on either side of a change."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_GONE = "$text-error strike"
_NEW = "$text-success underline"


def difference(before: bytes | None, after: bytes | None) -> Content:
    """What a change does to a row, value by value; all of it where a row comes or goes."""
    if before is None or after is None:
        gone = after is None
        raw = before if after is None else after
        words = "- taken away" if gone else "+ added"
        blocks = [Content.styled(words, "$text-error" if gone else "$text-success")]
        blocks += [_labelled(place, text(value, limit=SHOWN)) for place, value in _values(raw)]
        return Content("\n\n").join(blocks)
    old, new = dict(_values(before)), dict(_values(after))
    blocks = []
    for place in [*old, *(place for place in new if place not in old)]:
        if old.get(place) != new.get(place):
            blocks.append(_labelled(place, _words(old.get(place), new.get(place))))
    same = sum(place in new and new[place] == value for place, value in old.items())
    if not blocks:
        words = "the values are the same; only how they are written differs"
        blocks = [Content.styled(words, "$text-muted"), _words(_text(before), _text(after))]
    elif same:
        words = f"… {same:,} other value{'s' if same > 1 else ''} unchanged"
        blocks.append(Content.styled(words, "$text-muted"))
    return Content("\n\n").join(blocks)


def _labelled(place: str, words: Content) -> Content:
    return text(place or "row", "bold", limit=200) + Content("\n") + words


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _values(raw: bytes | None) -> Iterator[tuple[str, str]]:
    """(place, text) of every value of a row; the row itself where it is not JSON."""
    raw = raw or b""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        yield "", _text(raw)
        return
    yield from _leaves(value, "", 0)


def _leaves(value: object, place: str, depth: int) -> Iterator[tuple[str, str]]:
    inside: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inside = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        inside = [(str(index), item) for index, item in enumerate(value)]
    if inside and depth < 50:
        for key, item in inside:
            yield from _leaves(item, f"{place}.{key}" if place else key, depth + 1)
    else:
        yield place, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(before: str | None, after: str | None) -> Content:
    """Both texts as one: gone words struck through, new ones underlined."""
    if before is None:
        return _marked(after or "", "+ ", _NEW)
    if after is None:
        return _marked(before, "- ", _GONE)
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    stop = 0
    while stop < min(len(old), len(new)) - start and old[-1 - stop] == new[-1 - stop]:
        stop += 1
    head, tail = old[:start], old[len(old) - stop :]
    middle_old, middle_new = old[start : len(old) - stop], new[start : len(new) - stop]
    parts = [_same(head, last=True)]
    if len(middle_old) + len(middle_new) > 2 * MOST_WORDS:
        parts += [_marked("".join(middle_old), "", _GONE), _marked("".join(middle_new), "", _NEW)]
    else:
        matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=True)
        for kind, a, b, c, d in matcher.get_opcodes():
            if kind == "equal":
                parts.append(text("".join(middle_old[a:b])))
                continue
            if b > a:
                parts.append(_marked("".join(middle_old[a:b]), "", _GONE))
            if d > c:
                parts.append(_marked("".join(middle_new[c:d]), "", _NEW))
    parts.append(_same(tail, last=False))
    return Content("").join(parts)


def _marked(words: str, sign: str, style: str) -> Content:
    shown, lost = clip(words, SHOWN)
    if os.environ.get("NO_COLOR"):
        shown = f"[-{shown}-]" if style == _GONE else f"{{+{shown}+}}"
    if not shown.strip():
        shown = shown.replace(" ", "·").replace("\n", "↵\n")
    return text(sign + shown + (f" … {lost:,} more characters" if lost else ""), style)


def _same(words: list[str], *, last: bool) -> Content:
    """Words on one side of a change: those next to it."""
    if len(words) <= 2 * AROUND:
        return text("".join(words), "$text-muted")
    near = words[-2 * AROUND :] if last else words[: 2 * AROUND]
    shown = "".join(near)
    return text(f"… {shown}" if last else f"{shown} …", "$text-muted")
