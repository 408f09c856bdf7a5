"""A review in the terminal: one item on the screen, one key to judge it.

Knows keys, from a terminal or a pipe. Nothing is kept here: every key is a vote in the catalogue,
so that a review can be left at any moment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from store.visible import visible

if TYPE_CHECKING:
    from store.catalogue import Catalogue
    from store.votes import Item, Review, Verdict

_SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]")
_PAIR = "1 A better · 2 B better · 0 tie · x both bad · s later · u back · q stop"
_ALONE = "1 good · x bad · s later · u back · q stop"
_KEYS: dict[str, tuple[Verdict, int | None]] = {
    "1": ("better", 0),
    "a": ("better", 0),
    "2": ("better", 1),
    "b": ("better", 1),
    "0": ("tie", None),
    "t": ("tie", None),
    "x": ("bad", None),
}


def judge(cat: Catalogue, review: Review, out: TextIO) -> None:
    """Show what is still to be judged, item by item, until all is or the person stops."""
    from store import votes

    items = votes.items(cat, review.id)
    waiting = [item for item in items if item.answered and item.vote is None]
    blind = bool(review.settings.get("blind"))
    judged = [(item.vote.id, item) for item in items if item.vote and not item.vote.note]
    done = [item for _, item in sorted(judged, key=lambda one: one[0])]  # also of earlier sittings
    with _keys() as key:
        while waiting:
            item = waiting[0]
            _show(item, len(items) - len(waiting), len(items), out, blind=blind)
            pressed = _wanted(key, item)
            if pressed == "q":
                break
            if pressed == "s":
                waiting.append(waiting.pop(0))
            elif pressed == "u":
                if done:
                    last = done.pop()
                    votes.vote(cat, last.id, "withdrawn")
                    waiting.insert(0, last)
            else:
                verdict, best = _KEYS[pressed]
                votes.vote(cat, item.id, verdict, best, blind=blind)
                done.append(waiting.pop(0))


def _wanted(key: Iterator[str], item: Item) -> str:
    """The next key that means something here; the end of the input is `q`."""
    known = {"1", "a", "x"} if len(item.answers) == 1 else set(_KEYS)
    for pressed in key:
        if pressed in ("\x03", "\x04", "\x1b"):
            return "q"
        if pressed.lower() in known | {"q", "s", "u"}:
            return pressed.lower()
    return "q"


def _show(item: Item, place: int, total: int, out: TextIO, *, blind: bool) -> None:
    alone = len(item.answers) == 1
    _say(out, f"\n{place + 1} of {total} " + "─" * 60)
    for role, text in item.turns:
        _say(out, f"{role}: {text}")
    for side, answer in zip("AB", item.answers, strict=False):
        name = "" if blind else f" · {answer.model}"
        cut = " · cut at the length" if answer.stop == "length" else ""
        _say(out, f"\n── {'answer' if alone else side}{name}{cut} ──")
        _say(out, answer.text or "(nothing)")
    _say(out, f"\n{_ALONE if alone else _PAIR}")


def _say(out: TextIO, words: str) -> None:
    out.write(visible(words, keep_newlines=True) + "\n")
    out.flush()


@contextmanager
def _keys() -> Iterator[Iterator[str]]:
    """Keys as they are pressed; from a pipe its characters, white space left out."""
    if not sys.stdin.isatty():
        yield (sign for line in sys.stdin for sign in line if not sign.isspace())
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _pressed(sys.stdin.fileno())
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pressed(terminal: int) -> Iterator[str]:
    """One character a key; arrows and their like, which are several, are passed over."""
    while data := os.read(terminal, 64):
        yield from _SEQUENCE.sub("", data.decode("utf-8", "replace"))
