"""The part of the Chat room that keeps answers: as rows of a dataset of the person's choice.

Knows columns and datasets by name. Rows go in as an edit of the document, through a worker; what
they look like is `engine.votes`' to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message

from engine.data.rows import Turn
from screens.base import OpenFile
from screens.chat.column import Column
from screens.chat.shared import Shared
from screens.safe import line
from store import exports, votes
from store.errors import BadInput, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.votes.landing import Landed
    from engine.votes.rows import NewRow
    from store.votes import Item


class RowsAdded(Message):
    """A worker added rows to a dataset."""

    def __init__(self, landed: Landed) -> None:
        super().__init__()
        self.landed = landed


class Keeping(Shared):
    """Examples, preferences, and the tokens behind them."""

    def __init__(self) -> None:
        super().__init__()
        self._examples: Path | None = None
        self.added: OpenFile | None = None
        """The rows that were added last."""

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
        edited = ("edited",) if answer != column.answer or done.stop == "edited" else ()
        note = origin(f"chat {self.chat}", done.model, self.asked_with.sampling, *edited)
        turns = (*column.context, Turn("assistant", answer))
        row = example(turns, note)
        if self._examples is not None:
            self._land(self._examples, [row], "add an example from a chat")
        else:
            self.choose_dataset(lambda path: self._land_first(path, row))

    def _land_first(self, path: Path, row: NewRow) -> None:
        self._examples = path
        self._land(path, [row], "add an example from a chat")

    def action_shelf(self) -> None:
        """Another dataset for examples."""

        def chosen(path: Path) -> None:
            self._examples = path
            self.say(f"Examples go to {path.name}.")

        self.choose_dataset(chosen)

    def action_pairs(self) -> None:
        """The votes of this chat as preferences."""
        items = votes.of_chat(self.catalogue, self.chat) if self.chat is not None else []
        if not any(item.vote for item in items):
            self.say("No votes in this chat yet: < and > say which answer is better.")
            return

        def chosen(path: Path) -> None:
            self.land_votes(path, items)

        self.choose_dataset(chosen, "from-votes")

    def choose_dataset(self, chosen: Callable[[Path], None], new: str = "from-chats") -> None:
        """Let the person choose; a new one of that name is offered first."""
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
        if self.added is not None:
            self.shell.visit(self.added)

    @work(thread=True, group="land", exit_on_error=False)
    def _land(self, path: Path, new: Sequence[NewRow], label: str) -> None:
        from engine.votes.landing import land

        with self.open_catalogue() as cat:
            self.post_message(RowsAdded(land(cat, path, new, label)))

    @work(thread=True, group="land", exit_on_error=False)
    def land_votes(self, path: Path, items: Sequence[Item]) -> None:
        """Add the rows of votes to a dataset."""
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
        self.added = OpenFile(str(landed.path), landed.first)
        self.refresh_bindings()
        last = landed.first + landed.count - 1
        which = f"Row {last:,}" if landed.count == 1 else f"Rows {landed.first:,} to {last:,}"
        self.say(line(f"{which} of {name}, not saved yet: o shows it, u there takes it back."))

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
            made = next((one.ref for one in exports.all(cat) if one.path == model), model)
            folder = refs.resolve(cat, made).base
        if folder is None:
            raise Unsupported(
                f"{model}: only llama.cpp knows how a GGUF file spells its tokens",
                "Look at the model it was exported from.",
            )
        found = sections(Renderer.load(folder), asked, said)
        self.app.call_from_thread(self.app.push_screen, Asked(name, found))
