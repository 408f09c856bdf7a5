"""The part of the Data room that shows rows as training sees them.

Knows which model's template is shown and when to render again. The renderer itself is loaded and
run in worker threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual import on, work
from textual.timer import Timer
from textual.worker import get_current_worker

from screens.base import Room
from screens.data.messages import Counted, Loaded, Previewed
from screens.data.rowlist import Count, RowList
from screens.data.side import Side
from screens.data.view import warning_of
from screens.widgets.linelist import LineList
from store.errors import BadInput, WorkbenchError

if TYPE_CHECKING:
    from engine.data.document import Document
    from engine.data.rows import Row
    from engine.render.renderer import Rendered, Renderer

SETTLE_SECONDS = 0.15
"""Rest of the cursor after which tokens are counted: scrolling costs no rendering."""

SHORT = 16 * 1024
"""Bytes of a row that is rendered at once; a longer one is rendered in a worker."""


class Preview(Room):
    """A room with a document whose rows are shown through a model's renderer."""

    document: Document | None

    def __init__(self) -> None:
        super().__init__()
        self.model_ref = "starter"
        self._label = "starter"
        self.renderer: Renderer | None = None
        self.max_length = 0
        self._rendered: tuple[int, Rendered | None, str] | None = None
        self._epoch = 0
        self._settle: Timer | None = None

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
        from engine.models import refs
        from engine.render.renderer import Renderer
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
        self.max_length = event.max_length
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

    def forget_tokens(self, number: int | None = None) -> None:
        """What was counted holds no longer: of one row, or (rows moved, other model) of all."""
        self._epoch += 1
        self._rendered = None
        if number is None:
            self.rows.counts.clear()
        else:
            self.rows.counts.pop(number, None)
        self.rows.forget()

    def show_row(self) -> None:
        """Show the row under the cursor, and count those around it when the cursor has settled."""
        document = self.document
        if document is None or self.rows.count == 0:
            self.side.empty()
            return
        row = document.row(self.rows.number)
        known = self._rendered is not None and self._rendered[0] == row.number
        if not known and self.renderer is not None and len(row.raw) <= SHORT:
            self._rendered = (row.number, *render(self.renderer, row, self.max_length))
            known = True
        self._show(row)
        self._wait(known)

    @on(LineList.Scrolled)
    def _scrolled(self) -> None:
        self._wait(known=True)

    def _wait(self, known: bool) -> None:
        """Count the rows on screen once nothing has moved for a moment."""
        if self._settle is not None:
            self._settle.stop()
        if self.document is not None and (not known or self._uncounted()):
            self._settle = self.set_timer(SETTLE_SECONDS, self._settled)

    def _show(self, row: Row) -> None:
        assert self.document is not None
        rendered, reason = None, ""
        if self._rendered is not None and self._rendered[0] == row.number:
            _, rendered, reason = self._rendered
        self.side.show(row, rendered, edited=self.document.edited(row.number))
        if self.side.tokens_shown:
            self.side.show_tokens(rendered, self.max_length, self._label, reason)

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
        self, renderer: Renderer, document: Document, number: int, on_screen: Iterable[int]
    ) -> None:
        """Render the row under the cursor, then count the others on screen."""
        worker = get_current_worker()
        epoch, length = self._epoch, self.max_length
        row = document.row(number)
        if len(row.raw) > SHORT:
            self.post_message(Previewed(number, *render(renderer, row, length)))
        counts: dict[int, Count] = {}
        for other in on_screen:
            if worker.is_cancelled:
                return
            if other not in self.rows.counts:
                seen, why = render(renderer, document.row(other), length, spans=False)
                counts[other] = count(seen, why)
        self.post_message(Counted(epoch, counts))

    @on(Previewed)
    def _previewed(self, event: Previewed) -> None:
        if self.document is not None and event.number == self.rows.number:
            self._rendered = (event.number, event.rendered, event.reason)
            self._show(self.document.row(event.number))

    @on(Counted)
    def _counted(self, event: Counted) -> None:
        if event.epoch == self._epoch and event.counts:
            self.rows.counts.update(event.counts)
            self.rows.forget()


def render(
    renderer: Renderer, row: Row, max_length: int, *, spans: bool = True
) -> tuple[Rendered | None, str]:
    """A row's rendering, or None and the reason."""
    try:
        return renderer.render_row(row, max_length=max_length, spans=spans), ""
    except WorkbenchError as error:
        return None, error.message


def count(rendered: Rendered | None, reason: str) -> Count:
    """The numbers of a row for the list."""
    if rendered is None:
        return Count(0, 0, reason)
    return Count(len(rendered.ids) + rendered.cut, rendered.trained_tokens, warning_of(rendered))
