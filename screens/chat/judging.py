"""The part of the Chat room where answers are judged: votes, blind or not.

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
    from collections.abc import Sequence

_GOOD = Content.styled("✓ better", "$text-success")
_BEST = Content.styled("✓ best", "$text-success")
_MARKS = {
    "tie": Content.styled("= tie", "$text-warning"),
    "bad": Content.styled("✗ both bad", "$text-error"),
    "tie of all": Content.styled("= all alike", "$text-warning"),
    "bad of all": Content.styled("✗ all bad", "$text-error"),
}


class Judging(Keeping):
    """Votes, with or without names."""

    def __init__(self) -> None:
        super().__init__()
        self._item: Item | None = None
        self._judged: list[Column] = []
        """The columns whose answers the item holds, in its order."""

    def judging_allows(self, action: str) -> bool | None:
        """Whether an action means something now; None leaves it to the rest of the room."""
        if action in _VOTES:
            return not self.writing and action in self._votes_open
        if action in ("add", "edit_add"):
            return not self.writing and not self.busy and self.active.done is not None
        if action == "show_added":
            return not self.writing and self.added is not None
        if action == "tokens":
            return not self.writing and bool(self.active.asked)
        if self.blind and action in _TELLING:
            return False
        return None

    @property
    def _rivals(self) -> list[Column]:
        """The columns, where there are several and the models of all have answered the last one."""
        columns = self.columns
        given = [column.done for column in columns]
        if self.busy or len(given) < 2 or any(one is None or one.stop == "edited" for one in given):
            return []
        return columns

    @property
    def _votes_open(self) -> set[str]:
        """What can be said of the answers: sides where there are two, else letters."""
        rivals = self._rivals
        if not rivals:
            return set()
        named = {f"best_{NAMES[column.place].lower()}" for column in rivals}
        sides = {"left_better", "right_better"}
        return {*(sides if len(rivals) == 2 else named), "tie", "both_bad", "differences"}

    # Votes

    def action_left_better(self) -> None:
        self._vote("better", 0)

    def action_right_better(self) -> None:
        self._vote("better", 1)

    def action_best_a(self) -> None:
        self._best("A")

    def action_best_b(self) -> None:
        self._best("B")

    def action_best_c(self) -> None:
        self._best("C")

    def action_best_d(self) -> None:
        self._best("D")

    def _best(self, name: str) -> None:
        self._vote("better", [NAMES[column.place] for column in self._rivals].index(name))

    def action_tie(self) -> None:
        self._vote("tie")

    def action_both_bad(self) -> None:
        self._vote("bad")

    def _vote(self, verdict: Verdict, best: int | None = None) -> None:
        """Give the verdict; the same once more takes it back."""
        rivals = self._rivals
        if not rivals:
            return
        if self._item is None:
            self._item, self._judged = self._new_item(rivals), rivals
        given = self._item.vote
        if given is not None and (given.verdict, given.best) == (verdict, best):
            votes.vote(self.catalogue, self._item.id, "withdrawn")
        else:
            votes.vote(self.catalogue, self._item.id, verdict, best, blind=self.blind)
        self._item = votes.item(self.catalogue, self._item.id)
        for place, column in enumerate(rivals):
            column.mark = self._mark(place)
            column.show()

    def _new_item(self, rivals: Sequence[Column]) -> Item:
        asked = [column.context for column in rivals]
        said = [
            Answer(done.model, done.text, done.tokens, done.stop)
            for done in (column.done for column in rivals)
            if done is not None
        ]
        if any(turns != asked[0] for turns in asked):  # each went on from answers of its own
            said = [
                replace(answer, parted=tuple((turn.role, turn.text) for turn in turns))
                for answer, turns in zip(said, asked, strict=True)
            ]
        question = [(turn.role, turn.text) for turn in asked[0]]
        sampling = self.asked_with.sampling
        return votes.add_item(self.catalogue, question, said, sampling, chat_id=self.chat)

    def _mark(self, place: int) -> Content:
        vote = self._item.vote if self._item is not None else None
        if vote is None:
            return Content("")
        if vote.best is None:
            return _MARKS[vote.verdict if len(self._judged) == 2 else f"{vote.verdict} of all"]
        if vote.best != place:
            return Content("")
        return _GOOD if len(self._judged) == 2 else _BEST

    def forget_votes(self) -> None:
        """Another question is asked: the answers on screen are no longer those voted on."""
        self._item = None
        for column in self.columns:
            if column.mark:
                column.mark = Content("")
                column.show()

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
            self.app.clear_notifications()  # one may tell who was who until now
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


_VOTES = ("left_better", "right_better", "tie", "both_bad", "differences",
          *(f"best_{name.lower()}" for name in NAMES))  # fmt: skip
_TELLING = ("model", "older", "newer", "stronger", "weaker", "more", "fewer")
"""Actions that would tell who is who."""
