"""A text of a row under the pen.

Knows a text and its bounds. Does not know where the text goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from screens.safe import LIMIT, line
from store.errors import Unsupported


class EditModal(ModalScreen[str | None]):
    """A text area over the room; `ctrl+s` keeps what was written, `esc` does not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("ctrl+s", "keep", show=False, priority=True),
    ]

    def __init__(
        self, title: Content, text: str, check: Callable[[str], str | None] | None = None
    ) -> None:
        """Args: check: says why a text cannot be kept, or None.

        Raises:
            Unsupported: the text is too long to edit here, or would not come back as it is.
        """
        super().__init__()
        if len(text) > LIMIT:
            raise Unsupported(
                f"this text has {len(text):,} characters; the editor takes {LIMIT:,}",
                "Use `workbench data set FILE --row N --set key=TEXT`, or edit the file outside.",
            )
        self.title_words = title
        self.text = text
        self.check = check
        self._area = TextArea(text, soft_wrap=True, compact=True)
        self._area.cursor_blink = False
        if self._area.text != text:
            raise Unsupported(
                "this text mixes line endings, which the editor would make all the same",
                "Use `workbench data set FILE --row N --set key=TEXT`.",
            )

    def compose(self) -> ComposeResult:
        with Container(classes="dialog -broad editor") as frame:
            frame.border_title = self.title_words
            frame.border_subtitle = Content("ctrl+s keep  esc cancel")
            yield self._area
            yield Static(id="complaint")

    def on_mount(self) -> None:
        self._area.move_cursor(self._area.document.end)
        self._area.focus()

    def action_keep(self) -> None:
        complaint = self.check(self._area.text) if self.check else None
        if complaint is None:
            self.dismiss(self._area.text)
            return
        said = Content.styled("✗ ", "$text-error") + line(complaint)
        self.query_one("#complaint", Static).update(said)

    def action_close(self) -> None:
        self.dismiss(None)
