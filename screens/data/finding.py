"""The part of the Data room that finds rows: by words, or the next one that cannot be read.

Knows what is looked for. The looking itself is done in a worker thread (see `seek`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.widgets import Input
from textual.worker import get_current_worker

from screens.data.messages import Sought
from screens.data.shared import Shared
from screens.safe import line, visible

if TYPE_CHECKING:
    from engine.data.document import Document
    from screens.data.seek import Fits


class Finding(Shared):
    """A room with a list of rows in which something can be looked for."""

    def __init__(self) -> None:
        super().__init__()
        self._fits: tuple[str, Fits] | None = None

    def action_find(self) -> None:
        self.add_class("-finding")
        self.focus_on(self.query_one("#find", Input))

    @on(Input.Submitted, "#find")
    def _find(self, event: Input.Submitted) -> None:
        self.remove_class("-finding")
        self.focus_on(self.rows)
        from screens.data.seek import has_words

        if event.value:
            self._fits = (event.value, has_words(event.value))
            self._start_seek(*self._fits, 1)

    def action_find_next(self) -> None:
        if self._fits is not None:
            self._start_seek(*self._fits, 1)

    def action_find_previous(self) -> None:
        if self._fits is not None:
            self._start_seek(*self._fits, -1)

    def action_next_bad(self) -> None:
        from screens.data.seek import is_bad

        self._start_seek("a row that cannot be read", is_bad, 1)

    def _start_seek(self, what: str, fits: Fits, step: int) -> None:
        self.status = Content.styled("looking … esc stops", "$accent")
        self._seek(self.open_document, self.rows.number + step, step, what, fits)

    @work(thread=True, exclusive=True, group="seek", exit_on_error=False)
    def _seek(self, document: Document, start: int, step: int, what: str, fits: Fits) -> None:
        from screens.data.seek import seek

        worker = get_current_worker()
        number = seek(document, start, step, fits, lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.post_message(Sought(what, number))

    @on(Sought)
    def _sought(self, event: Sought) -> None:
        self.tell()
        if event.number is None:
            self.say(f"Nowhere: {visible(event.what)}")
            return
        self.status = Content.styled("/ ", "$accent") + line(event.what, limit=30)
        self.status += Content.styled(" · n next · N before", "$text-muted")
        self.jump(event.number)
        self.rows.forget()
