"""The one choke point between untrusted text and the terminal.

Datasets, model output, templates, file names and logs are data: a byte in them may neither
colour, move, click, retitle nor crash. Two rules hold everywhere:

1. Text from outside reaches a widget only as a `Content` made by `text()` (or `visible()` inside
   an own `render_line`), never as a `str`, because Textual reads a `str` as markup.
2. `install()` patches `Strip.render`, the last step before bytes leave for the terminal, so that
   what slips past rule 1 (a text editor, a path in a toast) is still harmless.

Single characters are mapped, not sequences stripped: that is safe for streamed fragments too.
Knows characters. Does not know where a text came from or where it is shown.
"""

from __future__ import annotations

from rich.console import Console
from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip

from store.visible import visible as store_visible

LIMIT = 64 * 1024
"""Characters of one value shown at most: beyond this, wrapping a line takes a noticeable time."""

_BREAKS = {0x2028: "\ufffd", 0x2029: "\ufffd"}
"""Line separators that split a line in some widgets and not in others."""


def visible(value: str) -> str:
    """One line of text with every control character made visible (newline as `␊`)."""
    return value if value.isprintable() else store_visible(value).translate(_BREAKS)


def visible_lines(value: str) -> str:
    """Like `visible`, but newlines stay newlines and a tab is four spaces."""
    if value.isprintable():
        return value
    shown = store_visible(value.replace("\t", "    "), keep_newlines=True)
    return shown.translate(_BREAKS)


def clip(value: str, limit: int = LIMIT) -> tuple[str, int]:
    """The first `limit` characters of a value, and how many were left out."""
    return value[:limit], max(0, len(value) - limit)


def text(value: str, style: str = "", *, limit: int = LIMIT) -> Content:
    """Untrusted text as `Content`: no markup, no control characters, clipped with a note.

    Args:
        value: any text, several lines allowed.
        style: a Textual style such as `$success bold`; never taken from data.
        limit: characters shown at most.
    """
    shown, lost = clip(value, limit)
    content = (
        Content.styled(visible_lines(shown), style) if style else Content(visible_lines(shown))
    )
    if lost:
        note = f"\n… {lost:,} more characters not shown"
        content = content + Content.styled(note, "$text-warning italic")
    return content


def line(value: str, style: str = "", *, limit: int = 1024) -> Content:
    """Untrusted text as one line of `Content`."""
    shown, lost = clip(value, limit)
    shown = visible(shown) + ("…" if lost else "")
    return Content.styled(shown, style) if style else Content(shown)


def _harmless(strip: Strip) -> Strip:
    """The strip with every segment's text made visible, at its old width in cells."""
    width = strip.cell_length
    segments = [Segment(visible(part.text), part.style) for part in strip if part.control is None]
    return Strip(segments).crop(0, width)


_render = Strip.render


def _safe_render(self: Strip, console: Console) -> str:
    if all(part.text.isprintable() for part in self):
        return _render(self, console)
    return _render(_harmless(self), console)


def install() -> None:
    """Guard every frame of this process. Calling it again changes nothing."""
    Strip.render = _safe_render  # type: ignore[method-assign]
