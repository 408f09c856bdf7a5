"""The part of the Chat room that takes chats out of the archive, and answers out of the room.

Knows old chats, the clipboard and files. Does not know how a question is asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.models import refs
from screens.chat.branching import Branching, settings_of
from screens.chat.column import NAMES, Column
from screens.chat.settings import Settings
from screens.clipboard import LIMIT
from screens.safe import line
from screens.widgets.modals import LineModal, PickModal
from store import chats
from store.errors import WorkbenchError
from store.rounds import Round

if TYPE_CHECKING:
    from collections.abc import Sequence

_CODE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\1|\Z)", re.M | re.S)


class Archive(Branching):
    """Chats that are reopened, copied, exported."""

    def action_chats(self) -> None:
        """All chats, found by the words in them."""
        from screens.chat.oldchats import OldChats

        def chosen(number: int | None) -> None:
            if number is not None:
                self.run_worker(self.reopen(number), exclusive=True, group="seat")

        if not self._still_busy():
            self.app.push_screen(OldChats(self.catalogue, self.chat), self.guarded(chosen))

    async def reopen(self, number: int) -> None:
        """Go on with a chat where it was left: its branch, its models, its settings."""
        chat = chats.get(self.catalogue, number)
        self.reveal()
        await self.action_new()
        self.chat = number
        tree = self.branches
        head = chat.head if chat.head in tree else tree.leaf(None)
        path = tree.path(head)
        await self._seat_letters(_models(chat.models, path))
        self.settings = Settings(chat.system).drawn(chat.sampling)
        if path:
            self.settings = settings_of(path[-1], self.settings)
        await self.view(head)
        gone = []
        for column in self.columns:
            try:
                refs.resolve(self.catalogue, column.ref)
            except WorkbenchError as error:
                gone.append(f"{NAMES[column.place]}: {error.message}")
        if gone:
            self.say(line(f"! {'; '.join(gone)}. m chooses another model."), bad=True)
        self.focus_on(self.prompt)

    async def _seat_letters(self, wanted: dict[int, str]) -> None:
        """Columns at these places with these models, and no others."""
        if not wanted:
            return
        for column in self.columns:
            if column.place in wanted:
                column.set_model(wanted[column.place])
            elif len(self.columns) > 1:
                await column.remove()
            else:  # the only one goes once another is there
                await self.add_column(wanted[min(wanted)], min(wanted))
                await column.remove()
        there = {column.place for column in self.columns}
        for place, ref in wanted.items():
            if place not in there:
                await self.add_column(ref, place)
        self.lay_out()

    # Out of the room

    def _said(self) -> tuple[Column, str]:
        """The column that keys are about, and its answer to the chosen question."""
        column = self.active
        if self.chosen is None:
            return column, column.answer
        kept = self.branches.round(self.chosen).answers.get(NAMES[column.place])
        return column, kept.text if kept is not None else ""

    def copy(self, words: str) -> None:
        """Copy to the clipboard of the person's own terminal, or say the way out."""
        if len(words.encode(errors="replace")) > LIMIT:
            self.say(f"{len(words):,} characters are too long for a terminal's clipboard: X writes "
                     "the chat to a file.", bad=True)  # fmt: skip
        else:
            super().copy(words)

    def action_copy(self) -> None:
        answer = self._said()[1]
        if answer:
            self.copy(answer)
        else:
            self.say("Nothing to copy yet.")

    def action_copy_more(self) -> None:
        """Choose what to copy: a block of code, the question, the whole conversation."""
        from engine.chat import export

        if self.chat is None:
            self.say("Nothing to copy yet.")
            return
        column, answer = self._said()
        chat, path = chats.get(self.catalogue, self.chat), self.branches.path(self.head)
        letter = NAMES[column.place]
        mine = [Round(step.question, {letter: step.answers[letter]})
                for step in path if letter in step.answers]  # fmt: skip
        found = {"the answer": answer}
        for number, code in enumerate(code_blocks(answer), 1):
            found[f"code block {number} · {' '.join(code[:60].split())}"] = code
        found[f"the conversation of column {letter}, as Markdown"] = export.markdown(chat, mine)
        found["the whole chat, every column, as Markdown"] = export.markdown(chat, path)
        items = [
            (name, f"{name}  {len(said):,} characters") for name, said in found.items() if said
        ]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.copy(found[name])

        self.app.push_screen(PickModal("Copy", items), chosen)

    def action_save_as(self) -> None:
        """Write the chat to a file."""
        from engine.chat import export

        number = self.chat
        if number is None:
            self.say("Nothing to export yet.")
            return

        def named(typed: str | None) -> None:
            if typed and typed.strip():
                path = Path(typed.strip()).expanduser()
                export.write(self.catalogue, number, path)
                self.say(line(f"This branch of the chat is in {path}."))

        start = str(Path.cwd() / f"chat-{number}.md")
        modal = LineModal("Export · .md to read, .jsonl for the Data room", value=start)
        self.app.push_screen(modal, self.guarded(named))


def code_blocks(answer: str) -> list[str]:
    """What stands between fences."""
    return [match[2].rstrip("\n") for match in _CODE.finditer(answer)]


def _models(listed: Sequence[str], path: Sequence[Round]) -> dict[int, str]:
    """The models of a chat by the places of their columns: those that answered last, exactly."""
    found = {place: ref for place, ref in enumerate(listed[: len(NAMES)]) if ref}
    for step in path:
        for letter, answer in step.answers.items():
            place = NAMES.index(letter) if letter in NAMES else -1
            if answer.model and (place in found or not any(listed)) and place >= 0:
                found[place] = answer.model
    return found
