"""The part of the Data room that shows rows as training sees them.

Knows which model's template is shown and when to render again. The renderer itself is loaded and
run in worker threads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from screens.base import Room
from screens.data.messages import Counted, Loaded
from screens.data.rowlist import Count, RowList
from screens.data.side import Side
from screens.widgets.linelist import LineList
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.data.rows import Row
    from engine.render.renderer import Renderer
    from screens.data.editor import Editor
    from screens.data.seeing import Seen

SETTLE_SECONDS = 0.15
"""Rest of the cursor after which tokens are counted: scrolling costs no rendering."""

REST_SECONDS = 0.06
"""Rest of the cursor after which the row under it is shown.

Longer than a held key's pause (30 to 40 ms): few rows are shown beside a list that runs."""
LATEST_SECONDS = 0.15
"""How long a cursor that never rests may leave an older row on screen."""

SHORT = 4 * 1024
"""Bytes of a row that is rendered at once; a longer one is rendered in a worker."""

MOST_LENGTH = 10_000_000
"""Largest `max_length` that can be asked for."""


class Previewed(Message):
    """One row as training sees it."""

    def __init__(self, number: int, seen: Seen) -> None:
        super().__init__()
        self.number = number
        self.seen = seen


class Preview(Room):
    """A room with a document whose rows are shown through a model's renderer."""

    document: Dataset | None

    def __init__(self) -> None:
        super().__init__()
        self.model_ref = "starter"
        self._label = "starter"
        self.renderer: Renderer | None = None
        self.max_length = 0
        self._seen: tuple[int, Seen] | None = None
        self._asked_length: int | None = None
        self._marks = bool(os.environ.get("NO_COLOR"))
        self._epoch = 0
        self._settle: Timer | None = None
        self._rest: Timer | None = None
        self._first_moved = self._last_moved = 0.0
        self._must_show = False
        self.under_pen: Editor | None = None
        self.seen_under_pen: Seen | None = None

    @property
    def rows(self) -> RowList:
        raise NotImplementedError

    @property
    def side(self) -> Side:
        raise NotImplementedError

    def load_renderer(self) -> None:
        """Read tokenizer and template of the chosen model, unless they are here."""
        if self.renderer is None:
            self._load(self.model_ref)

    @work(thread=True, exclusive=True, group="renderer", exit_on_error=False)
    def _load(self, ref: str) -> None:
        # The package first: see where the application imports ahead.
        from engine.render import Renderer  # isort: skip
        from engine.models import refs
        from engine.train import recipe

        with self.open_catalogue() as cat:
            model = refs.resolve(cat, ref)
        folder = model.renderer_folder
        if folder is None:
            raise BadInput(
                f"model '{ref}': a GGUF file has no tokenizer that can be shown",
                "Choose the model it was made from.",
            )
        renderer = Renderer.load(folder)
        length = recipe.load("default").max_length
        self.post_message(Loaded(ref, model.label, renderer, length))

    @on(Loaded)
    def _loaded(self, event: Loaded) -> None:
        self.model_ref = event.ref
        self._label = event.label
        self.renderer = event.renderer
        self.max_length = self._asked_length or event.max_length
        self.forget_tokens()
        self.show_row()

    def action_model(self) -> None:
        from engine.models import refs
        from screens.widgets.modals import PickModal

        def chosen(ref: str | None) -> None:
            if ref is not None:
                refs.parse(ref)
                self._load(ref)

        self.app.push_screen(
            PickModal(
                "Tokens of which model",
                refs.candidates(self.catalogue),
                current=self.model_ref,
                placeholder="type to narrow, or a folder, hub:org/name",
                free=True,
            ),
            self.guarded(chosen),
        )

    def action_tokens(self) -> None:
        """Show or hide the tokens; on a narrow screen with the row that they are of."""
        if not self.wide and not self.has_class("-reading"):
            self.add_class("-reading")
            self.side.tokens_shown = True
        else:
            self.side.tokens_shown = not self.side.tokens_shown
        self.show_row()

    def action_ids(self) -> None:
        """Show or hide the id under each token."""
        self._with_tokens()
        self.side.tokens.set_modes(ids=not self.side.tokens.ids, marks=self._marks)

    def action_mask(self) -> None:
        """Write the loss mask as text, or show it by colour alone."""
        self._with_tokens()
        self._marks = not self._marks
        self.side.tokens.set_modes(ids=self.side.tokens.ids, marks=self._marks)

    def _with_tokens(self) -> None:
        if not self.side.tokens_shown or not (self.wide or self.has_class("-reading")):
            self.side.tokens_shown = False
            self.action_tokens()

    def action_length(self) -> None:
        """Ask for the length at which training would cut."""
        from screens.widgets.modals import LineModal

        def check(value: str) -> str | None:
            number = value.strip().replace(",", "").replace("_", "")
            if number.isdecimal() and 1 <= int(number) <= MOST_LENGTH:
                return None
            return f"expected a number of tokens from 1 to {MOST_LENGTH:,}"

        def chosen(value: str | None) -> None:
            if value is not None:
                length = int(value.strip().replace(",", "").replace("_", ""))
                self._asked_length = self.max_length = length
                self.forget_tokens()
                self.show_row()

        modal = LineModal("Cut rows at how many tokens (max_length)", value=str(self.max_length),
                          check=check)  # fmt: skip
        self.app.push_screen(modal, self.guarded(chosen))

    def forget_tokens(self, number: int | None = None) -> None:
        """What was counted holds no longer: of one row, or (rows moved, other model) of all."""
        self._epoch += 1
        self._seen = None
        if number is None:
            self.rows.counts.clear()
        else:
            self.rows.counts.pop(number, None)
        self.rows.forget()

    def show_row(self) -> None:
        """Show the row under the cursor, and count those around it when the cursor has settled."""
        self._must_show = False
        document = self.document
        if self.under_pen is not None:
            return
        if document is None or self.rows.count == 0:
            self.side.empty()
            return
        row = document.row(self.rows.number)
        known = self._seen is not None and self._seen[0] == row.number
        if not known and self.renderer is not None and len(row.raw) <= SHORT:
            from screens.data.seeing import see

            self._seen = (row.number, see(self.renderer, row, self.max_length))
            known = True
        self._show(row)
        self._wait(known)

    @on(LineList.Moved)
    def _cursor_moved(self) -> None:
        self._must_show = True
        self._look_soon()

    @on(LineList.Scrolled)
    def _scrolled(self) -> None:
        self._look_soon()

    def _look_soon(self) -> None:
        """Show what the list is at once it rests; one timer runs however many keys come."""
        self._last_moved = time.monotonic()
        if self._rest is None:
            self._first_moved = self._last_moved
            self._rest = self.set_timer(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        now = time.monotonic()
        left = REST_SECONDS - (now - self._last_moved)
        if left > REST_SECONDS / 10 and now - self._first_moved < LATEST_SECONDS - left:
            self._rest = self.set_timer(left, self._rested)
            return
        self._rest = None
        if self._must_show:
            self.show_row()
        else:
            self._wait(known=True)

    def _wait(self, known: bool) -> None:
        """Count the rows on screen once nothing has moved for a moment."""
        if self._settle is not None:
            self._settle.stop()
        if self.document is not None and (not known or self._uncounted()):
            self._settle = self.set_timer(SETTLE_SECONDS, self._settled)

    def _show(self, row: Row) -> None:
        assert self.document is not None
        if self.under_pen is not None:
            return
        seen = None
        if self._seen is not None and self._seen[0] == row.number:
            seen = self._seen[1]
        noted = self.document.annotations(row.number) if self.rows.tags is not None else None
        self.side.show(row, seen, edited=self.document.edited(row.number), noted=noted)
        if self.side.tokens_shown:
            self.show_tokens(seen)

    def show_tokens(self, seen: Seen | None) -> None:
        """Show these tokens in the pane for them."""
        self.side.tokens.set_modes(ids=self.side.tokens.ids, marks=self._marks)
        self.side.show_tokens(seen, self.max_length, self._label)

    def _on_screen(self) -> list[int]:
        return self.rows.numbers_on_screen()

    def _uncounted(self) -> bool:
        counts = self.rows.counts
        return any(number not in counts for number in self._on_screen())

    def _settled(self) -> None:
        if self.renderer is not None and self.document is not None:
            self._render_rows(self.renderer, self.document, self.rows.number, self._on_screen())

    @work(thread=True, exclusive=True, group="render", exit_on_error=False)
    def _render_rows(
        self, renderer: Renderer, document: Dataset, number: int, on_screen: Iterable[int]
    ) -> None:
        """Render the row under the cursor, then count the others on screen."""
        from screens.data.seeing import see

        worker = get_current_worker()
        epoch, length = self._epoch, self.max_length
        row = document.row(number)
        if len(row.raw) > SHORT:
            self.post_message(Previewed(number, see(renderer, row, length)))
        counts: dict[int, Count] = {}
        for other in on_screen:
            if worker.is_cancelled:
                return
            if other not in self.rows.counts:
                counts[other] = see(renderer, document.row(other), length, spans=False).count
        self.post_message(Counted(epoch, counts))

    @on(Previewed)
    def _previewed(self, event: Previewed) -> None:
        if self.document is not None and event.number == self.rows.number:
            self._seen = (event.number, event.seen)
            self._show(self.document.row(event.number))

    @on(Counted)
    def _counted(self, event: Counted) -> None:
        if event.epoch == self._epoch and event.counts:
            self.rows.counts.update(event.counts)
            self.rows.forget()
