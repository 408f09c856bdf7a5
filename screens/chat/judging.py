"""The part of the Chat room where answers are judged and kept: votes, examples, what differs.

Knows the last answers of the columns. Rows go into a dataset as an edit of its document, through a
worker; what they look like is `engine.votes`' to say.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.message import Message

from engine.data.rows import Turn
from screens.base import OpenFile
from screens.chat.column import NAMES, Column
from screens.chat.shared import Shared
from screens.safe import line
from store import votes
from store.errors import BadInput, Unsupported
from store.votes import Answer, Item, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.votes.landing import Landed
    from engine.votes.rows import NewRow

_GOOD = Content.styled("✓ better", "$text-success")
_MARKS = {
    "tie": Content.styled("= tie", "$text-warning"),
    "bad": Content.styled("✗ both bad", "$text-error"),
}


class RowsAdded(Message):
    """A worker added rows to a dataset."""

    def __init__(self, landed: Landed) -> None:
        super().__init__()
        self.landed = landed


class Judging(Shared):
    """Votes, examples and preferences."""

    def __init__(self) -> None:
        super().__init__()
        self._item: Item | None = None
        self._examples: Path | None = None
        self._added: OpenFile | None = None
        self._differing = False

    def judging_allows(self, action: str) -> bool | None:
        """Whether an action means something now; None leaves it to the rest of the room."""
        if action in _OF_TWO:
            return not self.writing and self._both is not None
        if action in ("add", "edit_add"):
            return not self.writing and not self.busy and self.active.done is not None
        if action == "show_added":
            return not self.writing and self._added is not None
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
        asked = [self.conversation(column)[:-1] for column in both]
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
        sampling = self.settings.sampling
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

    # What was asked

    def action_tokens(self) -> None:
        """The exact tokens of the column's last question and answer."""
        column = self.active
        if column.asked:
            said = column.done.ids if column.done is not None else []
            self._spell(column.model, "?" if self.blind else column.said_name, column.asked, said)

    @work(thread=True, exclusive=True, group="spell", exit_on_error=False)
    def _spell(self, model: str, name: str, asked: Sequence[int], said: Sequence[int]) -> None:
        from engine.models import refs
        from engine.render.renderer import Renderer
        from screens.chat.asked import Asked, sections

        with self.open_catalogue() as cat:
            folder = refs.resolve(cat, model).base
        if folder is None:
            raise Unsupported(
                f"{model}: only llama.cpp knows how a GGUF file spells its tokens",
                "Look at the model it was exported from.",
            )
        found = sections(Renderer.load(folder), asked, said)
        self.app.call_from_thread(self.app.push_screen, Asked(name, found))

    # Into a dataset

    def action_add(self) -> None:
        """The conversation of the column as an example."""
        column = self.active
        self._add(column, column.answer)

    def action_edit_add(self) -> None:
        """The same, with the answer as it should have been."""
        from screens.chat.correcting import Correction

        column = self.active

        def written(answer: str | None) -> None:
            if answer is not None:
                column.corrected = answer
                self._add(column, answer)

        where = self._examples.name if self._examples is not None else "a dataset"
        pad = Correction(column.corrected or column.answer, where)
        self.app.push_screen(pad, self.guarded(written))

    def _add(self, column: Column, answer: str) -> None:
        from engine.votes.rows import example, origin

        if not answer.strip():
            raise BadInput("there is no answer to learn from", "e writes one.")
        done = column.done
        assert done is not None
        edited = ("edited",) if answer != column.answer else ()
        note = origin(f"chat {self.chat}", done.model, self.settings.sampling, *edited)
        turns = (*self.conversation(column)[:-1], Turn("assistant", answer))
        row = example(turns, note)
        if self._examples is not None:
            self._land(self._examples, [row], "add an example from a chat")
        else:
            self._choose_dataset(lambda path: self._land_first(path, row))

    def _land_first(self, path: Path, row: NewRow) -> None:
        self._examples = path
        self._land(path, [row], "add an example from a chat")

    def action_shelf(self) -> None:
        """Another dataset for examples."""

        def chosen(path: Path) -> None:
            self._examples = path
            self.say(f"Examples go to {path.name}.")

        self._choose_dataset(chosen)

    def action_pairs(self) -> None:
        """The votes of this chat as preferences."""
        items = votes.of_chat(self.catalogue, self.chat) if self.chat is not None else []
        if not any(item.vote for item in items):
            self.say("No votes in this chat yet: < and > say which answer is better.")
            return

        def chosen(path: Path) -> None:
            self._land_votes(path, items)

        self._choose_dataset(chosen, "from-votes")

    def _choose_dataset(self, chosen: Callable[[Path], None], new: str = "from-chats") -> None:
        from screens.data.opening import OpenModal, choices, locate

        mine = self.workspace.root / "datasets" / f"{new}.jsonl"
        known = [choice for choice in choices(self.catalogue) if choice[0] != str(mine)]
        items = [(str(mine), f"{mine.name:<24} {'':>8}  in the workspace"), *known]

        def picked(value: str | None) -> None:
            if value is not None:
                mine.parent.mkdir(mode=0o700, exist_ok=True)
                chosen(Path(locate(self.workspace, value)))

        modal = OpenModal(items, "Add to a dataset", "type to narrow; or the path of a .jsonl file")
        self.app.push_screen(modal, self.guarded(picked))

    def action_show_added(self) -> None:
        """Go to the rows that were added last."""
        if self._added is not None:
            self.shell.visit(self._added)

    @work(thread=True, group="land", exit_on_error=False)
    def _land(self, path: Path, new: Sequence[NewRow], label: str) -> None:
        from engine.votes.landing import land

        with self.open_catalogue() as cat:
            self.post_message(RowsAdded(land(cat, path, new, label)))

    @work(thread=True, group="land", exit_on_error=False)
    def _land_votes(self, path: Path, items: Sequence[Item]) -> None:
        from engine.votes.landing import land_votes

        with self.open_catalogue() as cat:
            self.post_message(RowsAdded(land_votes(cat, path, items)))

    @on(RowsAdded)
    def _rows_added(self, event: RowsAdded) -> None:
        landed = event.landed
        name = landed.path.name
        if landed.count == 0:
            self.say(f"Nothing to add: {name} has these votes, or none says what is better.")
            return
        self._added = OpenFile(str(landed.path), landed.first)
        self.refresh_bindings()
        last = landed.first + landed.count - 1
        which = f"Row {last:,}" if landed.count == 1 else f"Rows {landed.first:,} to {last:,}"
        self.say(line(f"{which} of {name}, not saved yet: o shows it, u there takes it back."))


_OF_TWO = ("left_better", "right_better", "tie", "both_bad", "differences")
