"""Finding the next row that has some words, or that cannot be read.

Runs in a worker thread. Knows bytes and a document; touches no widget.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.data.document import Document
from engine.data.rows import parse_row

Fits = Callable[[bytes], bool]


def has_words(words: str) -> Fits:
    """Whether a line has these words, in any case, written plainly or as JSON escapes."""
    plain = words.casefold()
    spelled = {json.dumps(plain, ensure_ascii=escaped)[1:-1] for escaped in (True, False)}

    def fits(raw: bytes) -> bool:
        line = raw.decode("utf-8", "replace").casefold()
        return any(spelling in line for spelling in spelled)

    return fits


def is_bad(raw: bytes) -> bool:
    """Whether a line cannot be read as a training example."""
    return parse_row(1, raw).error is not None


def seek(
    document: Document, start: int, step: int, fits: Fits, stopped: Callable[[], bool]
) -> int | None:
    """The first row from `start` on that fits, going round at the end; None if there is none.

    Args:
        step: 1 forwards, -1 backwards.
        stopped: asked before every row; True gives up.
    """
    count = document.count
    for distance in range(count):
        if stopped():
            return None
        number = (start - 1 + step * distance) % count + 1
        if fits(document.raw(number)):
            return number
    return None
