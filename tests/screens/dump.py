"""Screens as text: a small dump instead of a picture, pinned in `golden/`.

`dump(app)` is what a person reads, line by line; `styled(app)` adds one letter a style, where a
test is about colour. `check_golden(name, text)` compares with `golden/<name>.txt`; run with
`UPDATE_GOLDEN=1` to write what is seen now, then read the difference before committing it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual._compositor import LayoutUpdate
from textual.app import App
from textual.pilot import Pilot
from textual.strip import Strip

GOLDEN = Path(__file__).parent / "golden"
NARROW = (80, 24)
WIDE = (140, 45)


def strips(app: App[Any]) -> list[Strip]:
    """The strips of the whole screen, modals over what lies below them."""
    rendered = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(rendered, LayoutUpdate)
    return [Strip.join(pieces) for pieces in rendered.strips]


def dump(app: App[Any]) -> str:
    """The screen as text, without trailing spaces."""
    lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips(app)]
    return "\n".join(lines).rstrip() + "\n"


def styled(app: App[Any], letter: Callable[[Any], str]) -> str:
    """One letter a cell, chosen by `letter(style)` from the segment's rich style."""
    lines = []
    for strip in strips(app):
        lines.append("".join(letter(part.style) * len(part.text) for part in strip).rstrip())
    return "\n".join(lines).rstrip() + "\n"


def check_golden(name: str, text: str) -> None:
    """Compare with the pinned dump of that name."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden {path.name}: run once with UPDATE_GOLDEN=1 and read it"
    assert text == path.read_text(encoding="utf-8"), f"{name} looks different:\n{text}"


async def until(pilot: Pilot[Any], happened: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something has happened, letting the application run; never a blind sleep."""
    async with asyncio.timeout(seconds):
        while not happened():
            await pilot.pause()
            await asyncio.sleep(0.01)
    await pilot.pause()
