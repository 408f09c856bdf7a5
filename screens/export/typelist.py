"""The types of a kind as a list with a tick each: what is written, what runs it, what is lost.

Knows ticks and columns. Does not know where the figures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from screens.export.choices import lost_words
from screens.export.looking import Offer
from screens.widgets import words
from screens.widgets.linelist import Cells, LineList

_TYPE, _SIZE, _RUN, _LOSS = 9, 9, 12, 26


class TypeList(LineList):
    """Offers with a cursor; space ticks. What is recommended is ticked until a person ticks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "tick", "tick", show=True),
        Binding("up", "leave(-1)", show=False),
        Binding("down", "leave(1)", show=False),
    ]

    class Ticked(Message):
        """Another set of types is wanted."""

    def __init__(self) -> None:
        super().__init__(widget_id="type-list")
        self.offers: Sequence[Offer] = ()
        self.best = ""
        self._ticked: frozenset[str] | None = None

    @property
    def advised(self) -> bool:
        """Whether the choice is left to the advice."""
        return self._ticked is None

    @property
    def ticked(self) -> tuple[str, ...]:
        """What carries a tick, in the order of the list: a person's choice, or the advice."""
        chosen = {self.best} if self._ticked is None else self._ticked
        return tuple(o.type.name for o in self.offers if o.type.name in chosen)

    @property
    def current(self) -> Offer | None:
        """The offer under the cursor."""
        return self.offers[self.cursor] if self.cursor < len(self.offers) else None

    def show(self, offers: Sequence[Offer], best: str) -> None:
        """Take over new offers; the cursor goes to a ticked one where types are others."""
        names = [offer.type.name for offer in offers]
        fresh = names != [offer.type.name for offer in self.offers]
        self.offers, self.best = offers, best
        self.count = len(offers)
        if not self.ticked and fresh:
            self._ticked = None
        if fresh and self.ticked:
            self.cursor = names.index(self.ticked[0])
        self.forget()

    def untick(self) -> None:
        """Leave the choice to the advice again."""
        self._ticked = None
        self.forget()

    def action_tick(self) -> None:
        if self.current is None:
            return
        self._ticked = frozenset(self.ticked) ^ {self.current.type.name}
        self.forget()
        self.post_message(self.Ticked())

    def action_leave(self, by: int) -> None:
        """Move, and at either end go to the field before or after."""
        if 0 <= self.cursor + by < self.count:
            self.move(by)
        elif by < 0:
            self.screen.focus_previous()
        else:
            self.screen.focus_next()

    def heading(self, context: int) -> str:
        """Names of the columns."""
        run = "to run" if context else ""
        return (
            f"     {'type'.ljust(_TYPE)}{'file'.rjust(_SIZE)}{run.rjust(_RUN)}   "
            f"{'KL to expect' if context else ''}"
        )

    def cells(self, index: int, width: int) -> Cells:
        del width  # narrow windows are wide enough
        offer = self.offers[index]
        name = offer.type.name
        ticked, best = name in self.ticked, name == self.best and self.count > 1
        memory = "" if offer.memory is None else words.size(offer.memory)
        fits = {None: ("  ", "muted"), True: (" ✓", "good"), False: (" ✗", "bad")}[offer.fits]
        lost, tone = lost_words(offer)
        return [
            (" [✓] " if ticked else " [ ] ", "accent" if ticked else "muted"),
            (name.ljust(_TYPE), "accent" if best else "plain"),
            (words.size(offer.bytes).rjust(_SIZE), "plain"),
            (memory.rjust(_RUN), "muted" if offer.fits is False else "plain"),
            fits,
            (f" {lost.ljust(_LOSS)}", tone),
            ("★ recommended" if best else "", "accent"),
        ]
