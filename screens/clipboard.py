"""Copying to the clipboard of the terminal that the person sits at.

Over SSH only the terminal's own escape sequence (OSC 52) reaches it. tmux and screen swallow
that unless it is wrapped for passthrough, so it is sent wrapped and plain. Knows escape sequences.
Does not know whether the terminal obeyed: no terminal says so, hence the words of the toast.
"""

from __future__ import annotations

import base64
import os

from textual.app import App

LIMIT = 74_994
"""Bytes of text that every terminal known to accept OSC 52 accepts (100,000 in base64)."""


def sequence(words: str, environment: dict[str, str]) -> str:
    """The bytes to send for a text, wrapped for the multiplexer that is running, if any."""
    payload = base64.b64encode(words.encode("utf-8", "replace")).decode("ascii")
    plain = f"\x1b]52;c;{payload}\x07"
    if "TMUX" in environment:
        return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("TERM", "").startswith("screen"):
        return f"\x1bP{plain}\x1b\\"
    return plain


def copy(app: App[None], words: str) -> str:
    """Copy, and say in one line what was done."""
    size = len(words.encode("utf-8", "replace"))
    if size > LIMIT:
        return f"Too long for the terminal's clipboard: {size:,} of {LIMIT:,} bytes. Not copied."
    app._clipboard = words
    if app._driver is not None:
        app._driver.write(sequence(words, dict(os.environ)))
    through = " through tmux" if "TMUX" in os.environ else ""
    return f"Copied {len(words):,} characters with OSC 52{through}"
