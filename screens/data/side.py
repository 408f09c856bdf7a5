"""The pane beside the list: one row as chat turns, and below it as tokens.

Knows widgets. Does not know documents or renderers; the room hands it what to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.data.view import tokens_content, turns_content, verdict
from screens.safe import line
from screens.widgets.pane import Pane

if TYPE_CHECKING:
    from engine.data.rows import Row
    from engine.render.renderer import Rendered


class Side(Container):
    """Turns above, tokens below; the tokens are there while `tokens_shown`."""

    def compose(self) -> ComposeResult:
        with Pane(id="turns"), VerticalScroll():
            yield Static()
        with Pane(id="tokens"):
            with VerticalScroll():
                yield Static()
            yield Static(id="verdict")

    def on_mount(self) -> None:
        self.query_one("#tokens").display = False

    @property
    def tokens_shown(self) -> bool:
        return self.query_one("#tokens").display

    @tokens_shown.setter
    def tokens_shown(self, shown: bool) -> None:
        self.query_one("#tokens").display = shown

    @property
    def scroller(self) -> VerticalScroll:
        return self.query_one("#turns VerticalScroll", VerticalScroll)

    def show(self, row: Row, rendered: Rendered | None, *, edited: bool) -> None:
        """Show a row, with what is known of its tokens so far."""
        title = Content.styled(f"row {row.number:,}", "bold")
        if rendered is not None:
            numbers = f" · {len(rendered.ids):,} tokens · {rendered.trained_tokens:,} trained"
            title += Content.styled(numbers, "$text-muted")
        if edited:
            title += Content.styled(" ✎", "$accent")
        self.query_one("#turns", Pane).title_is(title)
        self.query_one("#turns Static", Static).update(turns_content(row, rendered))

    def show_tokens(
        self, rendered: Rendered | None, max_length: int, label: str, reason: str
    ) -> None:
        """Show the tokens under a model's template, or why there are none."""
        pane = self.query_one("#tokens", Pane)
        title = Content("tokens") + Content.styled(" · ", "$text-muted")
        pane.title_is(title + line(label, "$text-muted"))
        body = self.query_one("#tokens VerticalScroll > Static", Static)
        foot = self.query_one("#verdict", Static)
        if rendered is None:
            body.update(line(reason or "reading the tokenizer …", "$text-muted"))
            foot.update(Content(""))
            return
        body.update(tokens_content(rendered))
        foot.update(verdict(rendered, max_length))

    def forget_tokens(self) -> None:
        """The tokens are of a row that is shown no longer."""
        self.query_one("#tokens VerticalScroll > Static", Static).update(Content(""))
        self.query_one("#verdict", Static).update(Content(""))

    def empty(self) -> None:
        """There is no row to show."""
        self.forget_tokens()
        self.query_one("#turns", Pane).title_is(Content(""))
        self.query_one("#turns Static", Static).update(Content(""))
