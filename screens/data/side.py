"""The pane beside the list: one row as turns, below it as tokens, or the row under the pen.

Knows widgets. Does not know documents or renderers; the room hands it what to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content, Span
from textual.widgets import Static

from screens.data.rowview import RowView
from screens.data.tokens import TokenView, verdict
from screens.data.turns import row_content
from screens.safe import line, text
from screens.widgets.pane import Pane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.data.dataset import Annotation
    from engine.data.rows import Row
    from screens.data.editor import Editor
    from screens.data.seeing import Seen


class Side(Container):
    """Turns above, tokens below; the tokens are there while `tokens_shown`."""

    spans: Callable[[str], Sequence[tuple[int, int]]] | None = None
    """Where in a text the search matches."""

    def compose(self) -> ComposeResult:
        with Pane(id="turns"):
            yield RowView()
        yield Pane(id="writing")
        with Pane(id="tokens"):
            yield TokenView()
            yield Static(id="verdict")

    def on_mount(self) -> None:
        self.query_one("#tokens").display = False
        self.query_one("#writing").display = False

    def write(self, editor: Editor) -> None:
        """Put an editor in place of the row."""
        pane = self.query_one("#writing", Pane)
        pane.remove_children()
        pane.mount(editor)
        pane.display = True
        self.query_one("#turns").display = False

    def read(self) -> None:
        """Put the row back in place of the editor."""
        pane = self.query_one("#writing", Pane)
        pane.remove_children()
        pane.display = False
        self.query_one("#turns").display = True

    @property
    def tokens_shown(self) -> bool:
        return self.query_one("#tokens").display

    @tokens_shown.setter
    def tokens_shown(self, shown: bool) -> None:
        self.query_one("#tokens").display = shown

    @property
    def scroller(self) -> RowView:
        """The row as it is read."""
        return self.query_one(RowView)

    @property
    def tokens(self) -> TokenView:
        return self.query_one(TokenView)

    def show(
        self, row: Row, seen: Seen | None, *, edited: bool, noted: Annotation | None = None
    ) -> None:
        """Show a row, with what is known of its tokens so far, under its tags and note."""
        self.title_is(row, seen, edited=edited)
        sections = seen.sections if seen is not None else ()
        content = row_content(row, sections)
        if noted is not None and (noted.tags or noted.note):
            content = _noted(noted) + Content("\n\n") + content
        if self.spans is not None:
            content = _matched(content, self.spans(content.plain))
        self.scroller.show(content)

    def title_is(
        self,
        row: Row,
        seen: Seen | None,
        *,
        edited: bool,
        writing: int | None = None,
    ) -> None:
        """The words over the row: number, tokens, marks; `writing`: it is under the pen as row."""
        title = Content("") if writing is None else Content.styled("editing ", "$accent")
        title += Content.styled(f"row {writing or row.number:,}", "bold")
        if seen is not None and seen.sections:
            count = seen.count
            numbers = f" · {count.tokens:,} tokens · {count.trained:,} trained"
            title += Content.styled(numbers, "$text-muted")
        elif row.error is None and row.dialect:
            title += line(f" · {row.dialect}", "$text-muted", limit=40)
        if edited:
            title += Content.styled(" ✎", "$accent")
        pane = "#turns" if writing is None else "#writing"
        self.query_one(pane, Pane).title_is(title)

    def show_tokens(self, seen: Seen | None, max_length: int, label: str) -> None:
        """Show the tokens under a model's template, or why there are none."""
        pane = self.query_one("#tokens", Pane)
        title = Content("tokens") + line(f" · {label}", "$text-muted")
        if max_length:
            title += Content.styled(f" · max {max_length:,}", "$text-muted")
        pane.title_is(title)
        foot = self.query_one("#verdict", Static)
        if seen is None or not seen.sections:
            self.tokens.say(seen.reason if seen is not None else "reading the tokenizer …")
            foot.update(Content(""))
            return
        self.tokens.show(seen.sections)
        lines = [verdict(section, max_length) for section in seen.sections]
        lines += [
            Content.styled("! ", "$text-warning") + text(note, limit=300) for note in seen.notes
        ]
        foot.update(Content("\n").join(lines))

    def forget_tokens(self) -> None:
        """The tokens are of a row that is shown no longer."""
        self.tokens.say("")
        self.query_one("#verdict", Static).update(Content(""))

    def empty(self) -> None:
        """There is no row to show."""
        self.forget_tokens()
        self.query_one("#turns", Pane).title_is(Content(""))
        self.scroller.show(Content(""))


def _noted(noted: Annotation) -> Content:
    """Tags and note of a row."""
    parts = [line(f"# {tag}", "$accent", limit=40) for tag in noted.tags]
    if noted.note:
        parts.append(Content.styled("¶ ", "$accent") + text(noted.note, "italic", limit=1_000))
    return Content("  ").join(parts)


def _matched(content: Content, spans: Sequence[tuple[int, int]]) -> Content:
    """The content with what the search found marked."""
    marks = [Span(start, stop, "$text-warning bold underline") for start, stop in spans]
    return Content(content.plain, [*content.spans, *marks])
