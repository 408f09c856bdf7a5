"""The part of the Chat room that lays out columns: how many, each with which model.

Knows references and places. Does not know how a question is asked.
"""

from __future__ import annotations

from engine.models import refs
from screens.base import ChatWith, Visit
from screens.chat.column import NAMES, Column
from screens.chat.shared import Shared
from screens.widgets.modals import PickModal


class Columns(Shared):
    """Columns that come, go, and take other models."""

    async def add_column(self, ref: str) -> None:
        """One more column, the last."""
        column = Column(len(self.columns), ref)
        await self.query_one("#columns").mount(column)

    def receive(self, visit: Visit) -> None:
        """Put the handed-over models into the columns; other models begin a new conversation."""
        if not isinstance(visit, ChatWith) or not visit.refs:
            return
        if self.busy:
            self.say("Still answering. esc stops; then ask for the models again.")
        elif visit.refs[:2] != tuple(column.ref for column in self.columns):
            self.run_worker(self._seat(visit.refs[:2]), exclusive=True, group="seat")

    async def _seat(self, wanted: tuple[str, ...]) -> None:
        self.reveal()
        await self.action_new()
        while len(self.columns) > len(wanted):
            await self.columns[-1].remove()
        while len(self.columns) < len(wanted):
            await self.add_column(wanted[len(self.columns)])
        for column, ref in zip(self.columns, wanted, strict=True):
            self._choose(column, ref)
        self.focus_on(self.prompt)

    def _choose(self, column: Column, ref: str) -> None:
        column.set_model(ref)

    # Models

    def action_model(self) -> None:
        column = self.active

        def chosen(ref: str | None) -> None:
            if ref is not None:
                refs.parse(ref)
                self._choose(column, ref)

        self.app.push_screen(
            PickModal(
                f"Model of column {NAMES[column.place]}",
                self.candidates(),
                current=column.ref,
                placeholder="type to narrow, or a folder, file.gguf, hub:org/name",
                free=True,
            ),
            self.guarded(chosen),
        )

    def _step(self, by: int) -> None:
        """Go along the checkpoints of the column's run, oldest first; from a base, the newest's."""
        column = self.active
        steps = [ref for ref, _ in self.candidates() if "@" in ref]
        ours = column.ref if column.ref.startswith("run:") else next(iter(steps), "")
        run = ours.partition("@")[0]
        ladder = [ref for ref in steps if ref.partition("@")[0] == run]
        if not ladder:
            self.say("There is no checkpoint yet. 2 goes to training.")
            return
        here = column.ref if "@" in column.ref else column.model
        if here not in ladder and column.ref == run:  # `run:ID` before it was asked: its best
            here = refs.resolve(self.catalogue, run).ref
        place = ladder.index(here) + by if here in ladder else -1
        if 0 <= place < len(ladder) or here not in ladder:
            self._choose(column, ladder[place])
        else:
            self.say(f"{here} is the {'newest' if by > 0 else 'oldest'} checkpoint.")

    def action_older(self) -> None:
        self._step(-1)

    def action_newer(self) -> None:
        self._step(1)

    # Places

    async def action_second(self) -> None:
        """One column or two."""
        if self.busy:
            self.say("Still answering. esc stops.")
        elif len(self.columns) == 2:
            await self.columns[-1].remove()
        else:
            runs = [ref for ref, _ in self.candidates() if ref.startswith("run:")]
            await self.add_column(runs[0] if runs else "starter")
        self.refresh_bindings()

    def action_left(self) -> None:
        self.focus_on(self.columns[0].transcript)

    def action_right(self) -> None:
        self.focus_on(self.columns[-1].transcript)

    def action_down(self) -> None:
        self.active.transcript.scroll_relative(y=2, animate=False)

    def action_up(self) -> None:
        self.active.transcript.scroll_relative(y=-2, animate=False)
