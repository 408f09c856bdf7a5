"""The part of the Chat room that lays out columns: how many, where, each with which model.

Knows references and places. Does not know how a question is asked.
"""

from __future__ import annotations

from textual import events

from engine.models import refs
from screens.base import ChatWith, Visit
from screens.chat.column import NAMES, Column
from screens.chat.shared import Shared
from screens.widgets.modals import PickModal

NARROWEST = 34
"""Cells that a column needs beside others; narrower ones stand two by two."""


class Columns(Shared):
    """Columns that come, go, and take other models."""

    def __init__(self) -> None:
        super().__init__()
        self._zoomed = False

    async def add_column(self, ref: str, place: int | None = None) -> Column:
        """One more column, at this place or of the first letter that is free."""
        taken = {column.place for column in self.columns}
        if place is None:
            place = next(place for place in range(len(NAMES)) if place not in taken)
        column = Column(place, ref)
        column.look = self.look
        after = [column for column in self.columns if column.place < place]
        frame = self.query_one("#columns")
        if after or not taken:
            await frame.mount(column, after=after[-1] if after else None)
        else:
            await frame.mount(column, before=0)
        self.lay_out()
        return column

    def receive(self, visit: Visit) -> None:
        """Put the handed-over models into the columns; other models begin a new conversation."""
        if not isinstance(visit, ChatWith) or not visit.refs:
            super().receive(visit)
            return
        wanted = visit.refs[: len(NAMES)]
        if self.busy:
            self.say("Still answering. esc stops; then ask for the models again.")
        elif wanted != tuple(column.ref for column in self.columns):
            self.run_worker(self._seat(wanted), exclusive=True, group="seat")

    async def _seat(self, wanted: tuple[str, ...]) -> None:
        self.reveal()
        await self.action_new()
        while len(self.columns) > len(wanted):
            await self.columns[-1].remove()
        while len(self.columns) < len(wanted):
            await self.add_column(wanted[len(self.columns)])
        for column, ref in zip(self.columns, wanted, strict=True):
            column.set_model(ref)
        self.lay_out()
        self.focus_on(self.prompt)

    # How many, and where

    async def action_more(self) -> None:
        """A column with the newest run that is not on screen yet."""
        columns = self.columns
        if self.busy:
            self.say("Still answering. esc stops.")
        elif len(columns) == len(NAMES):
            self.say("Four columns are the most.")
        else:
            shown = {
                ref for column in columns for ref in (column.ref, column.model.partition("@")[0])
            }
            runs = [ref for ref, _ in self.candidates() if ref.startswith("run:")]
            fresh = [ref for ref in runs if ref not in shown]
            added = await self.add_column(next(iter(fresh or runs), "starter"))
            if not self.writing:
                self.focus_on(added.transcript)

    async def action_fewer(self) -> None:
        """Take the focused column away; the others keep their letters and conversations."""
        columns = self.columns
        if self.busy:
            self.say("Still answering. esc stops.")
        elif len(columns) == 1:
            self.say("One column stays. m chooses its model.")
        else:
            gone = self.active
            place = columns.index(gone)
            await gone.remove()
            self.forget_votes()
            self._go(self.columns[max(place - 1, 0)])
            self.lay_out()

    def lay_out(self) -> None:
        """Side by side where there is room, else two by two; or one large, the others folded."""
        columns = self.columns
        frame = self.query_one("#columns")
        zoomed = self._zoomed and len(columns) > 1
        narrow = (self.size.width or self.app.size.width) // max(len(columns), 1) < NARROWEST
        frame.set_class(zoomed, "-zoom")
        frame.set_class(not zoomed and narrow and len(columns) > 2, "-grid")
        for count in range(1, len(NAMES) + 1):
            frame.set_class(len(columns) == count, f"-n{count}")
        active = self.active
        for column in columns:
            column.set_class(zoomed and column is not active, "-folded")
            column.set_class(column is columns[-1], "-last")
        self.refresh_bindings()

    def on_resize(self, _event: events.Resize) -> None:
        if self.is_mounted and self.columns:
            self.lay_out()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        if self._zoomed:
            self.lay_out()

    def action_zoom(self) -> None:
        """The focused column over the whole room, the others as their titles; or all again."""
        self._zoomed = not self._zoomed
        self.lay_out()

    def action_left(self) -> None:
        self._beside(-1)

    def action_right(self) -> None:
        self._beside(1)

    def _beside(self, by: int) -> None:
        columns = self.columns
        place = columns.index(self.active) + by
        self._go(columns[min(max(place, 0), len(columns) - 1)])

    def _go(self, column: Column) -> None:
        """Make it the one that keys are about."""
        self._active = column.place
        column.remove_class("-folded")
        self.focus_on(column.transcript)

    def action_down(self) -> None:
        self.active.transcript.scroll_relative(y=2, animate=False)

    def action_up(self) -> None:
        self.active.transcript.scroll_relative(y=-2, animate=False)

    # Models

    def action_model(self) -> None:
        column = self.active

        def chosen(ref: str | None) -> None:
            if ref is not None:
                refs.parse(ref)
                column.set_model(ref)

        self.app.push_screen(
            PickModal(
                f"Model of column {NAMES[column.place]}",
                self.candidates(),
                current=column.ref,
                placeholder="type to narrow; or run:1@40*0.5, a folder, a.gguf+b.gguf, hub:a/b",
                free=True,
            ),
            self.guarded(chosen),
        )
