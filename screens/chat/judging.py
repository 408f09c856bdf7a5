"""The part of the Chat room where answers are judged: votes, blind or not, and what differs.

Knows the last answers of the columns. Does not know what votes come to (see `engine.votes`).
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.content import Content

from screens.chat.column import NAMES, Column
from screens.chat.keeping import Keeping
from store import votes
from store.votes import Answer, Item, Verdict

if TYPE_CHECKING:
    pass

_GOOD = Content.styled("✓ better", "$text-success")
_MARKS = {
    "tie": Content.styled("= tie", "$text-warning"),
    "bad": Content.styled("✗ both bad", "$text-error"),
}


class Judging(Keeping):
    """Votes, with or without names."""

    def __init__(self) -> None:
        super().__init__()
        self._item: Item | None = None
        self._differing = False

    def judging_allows(self, action: str) -> bool | None:
        """Whether an action means something now; None leaves it to the rest of the room."""
        if action in _OF_TWO:
            return not self.writing and self._both is not None
        if action in ("add", "edit_add"):
            return not self.writing and not self.busy and self.active.done is not None
        if action == "show_added":
            return not self.writing and self.added is not None
        if action == "tokens":
            return not self.writing and bool(self.active.asked)
        if self.blind and action in ("model", "older", "newer", "second"):
            return False
        return None

    @property
    def _both(self) -> tuple[Column, Column] | None:
        """The columns, where both have answered the last question."""
        columns = self.columns
        if len(columns) != 2 or self.busy or any(column.done is None for column in columns):
            return None
        return columns[0], columns[1]

    # Votes

    def action_left_better(self) -> None:
        self._vote("better", 0)

    def action_right_better(self) -> None:
        self._vote("better", 1)

    def action_tie(self) -> None:
        self._vote("tie")

    def action_both_bad(self) -> None:
        self._vote("bad")

    def _vote(self, verdict: Verdict, best: int | None = None) -> None:
        """Give the verdict; the same once more takes it back."""
        both = self._both
        if both is None:
            return
        if self._item is None:
            self._item = self._new_item(both)
        given = self._item.vote
        if given is not None and (given.verdict, given.best) == (verdict, best):
            votes.vote(self.catalogue, self._item.id, "withdrawn")
        else:
            votes.vote(self.catalogue, self._item.id, verdict, best, blind=self.blind)
        self._item = votes.item(self.catalogue, self._item.id)
        for column in both:
            column.mark = self._mark(column)
            column.show()

    def _new_item(self, both: tuple[Column, Column]) -> Item:
        asked = [column.context for column in both]
        said = [
            Answer(done.model, done.text, done.tokens, done.stop)
            for done in (column.done for column in both)
            if done is not None
        ]
        if asked[0] != asked[1]:  # each went on from answers of its own
            said = [
                replace(answer, parted=tuple((turn.role, turn.text) for turn in turns))
                for answer, turns in zip(said, asked, strict=True)
            ]
        question = [(turn.role, turn.text) for turn in asked[0]]
        sampling = self.asked_with.sampling
        return votes.add_item(self.catalogue, question, said, sampling, chat_id=self.chat)

    def _mark(self, column: Column) -> Content:
        vote = self._item.vote if self._item is not None else None
        if vote is None:
            return Content("")
        if vote.best is None:
            return _MARKS[vote.verdict]
        return _GOOD if vote.best == column.place else Content("")

    def forget_votes(self) -> None:
        """Another question is asked: the answers on screen are no longer those voted on."""
        self._item = None

    def answered(self) -> None:
        """Every column has said what it will."""
        if self._differing:
            self._compare()

    # Blind

    async def action_blind(self) -> None:
        """Hide the names and begin anew, sides by chance; or tell who was who."""
        if self.busy:
            self.say("Still answering. esc stops.")
        elif self.blind:
            self.reveal()
            self.say(self._who_was_who())
        elif len({column.ref for column in self.columns}) < 2:
            self.say("Blind takes two different models. b adds a column, m chooses its model.")
        else:
            self.blind = True
            await self.action_new()
            self.show_status()

    def shuffle(self) -> None:
        """Where names are hidden: put the models on sides by chance."""
        if not self.blind:
            return
        wanted = random.sample([column.ref for column in self.columns], len(self.columns))
        for column, ref in zip(self.columns, wanted, strict=True):
            column.hidden = True
            column.set_model(ref)

    def reveal(self) -> None:
        """Show names again."""
        self.blind = False
        for column in self.columns:
            column.hidden = False
            column.retitle()
            column.show()
        self.show_status()

    def _who_was_who(self) -> str:
        """Names, and what the votes of this chat say."""
        from engine.votes.tally import tally

        names = ", ".join(f"{NAMES[column.place]} is {column.model}" for column in self.columns)
        items = votes.of_chat(self.catalogue, self.chat) if self.chat is not None else []
        said = [
            f"{pair.model} {pair.wins} : {pair.losses} {pair.against}, p = {pair.p:.2g}"
            for pair in tally(items).pairs
        ]
        return ". ".join([names, *said])

    # What differs

    def action_differences(self) -> None:
        self._differing = not self._differing
        self._compare()

    def _compare(self) -> None:
        both = self._both
        if both is None:
            return
        for column, other in (both, both[::-1]):
            column.compared = other.answer if self._differing else None
            column.show()


_OF_TWO = ("left_better", "right_better", "tie", "both_bad", "differences")
