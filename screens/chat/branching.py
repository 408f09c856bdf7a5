"""The part of the Chat room that goes about in the tree of a conversation.

A question is chosen, edited and sent again, asked again with the same seed or another one, or gone
on from; what was there before stays, one key away. Knows rounds as they were recorded.
"""

from __future__ import annotations

from textual.content import Content

from screens.chat.asking import Asking
from screens.chat.column import NAMES
from screens.chat.question import Question
from screens.chat.settings import Settings
from screens.chat.transcript import SHOWN
from store import chats
from store.chats import Turn
from store.rounds import Round, Tree


class Branching(Asking):
    """Branches of the chat, one of them in view."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen: int | None = None
        """The question that keys are about; None: the last one."""
        self._editing: tuple[int | None, str] | None = None
        """While a question is edited: the head and the prompt to come back to."""

    def branching_allows(self, action: str) -> bool | None:
        """Whether an action means something now; None leaves it to the rest of the room."""
        if action in _OF_QUESTION:
            return not self.writing and self.head is not None
        return None

    # What is in view

    async def view(
        self, head: int | None, shown: int = SHOWN, *, follow: bool = True, passing: bool = False
    ) -> None:
        """Show the branch that ends with a question, in every column; so many rounds of it.

        Args:
            passing: another branch follows at once, or this one was only looked at.
        """
        if self.chat is None:
            return
        tree = self.branches
        path = tree.path(head)
        self.head = head if head in tree else None
        if not passing:
            chats.look_at(self.catalogue, self.chat, self.head)
        self.chosen = None
        self._kept.clear()
        self.forget_votes()
        with self.app.batch_update():
            for column in self.columns:
                letter = NAMES[column.place]
                said = [(step.question, step.answers.get(letter)) for step in path]
                await column.replay(said, shown, follow=follow)
                if column.done is not None:
                    self._kept[id(column.done)] = (column.done, path[-1].answers[letter])
        if path:
            self.asked_with = settings_of(path[-1], self.settings)
        self.label()
        self.answered()
        self.show_status()

    def label(self) -> None:
        """Say at every question which version of it is shown, its seed, and what is chosen."""
        tree = self.branches
        notes = {step.question.id: self._note(tree, step) for step in tree.path(self.head)}
        for asked in self.query(Question):
            if asked.turn in notes:
                asked.tell(note=notes[asked.turn], chosen=asked.turn == self.chosen)

    def _note(self, tree: Tree, step: Round) -> str:
        """`‹2/3› seed 4`."""
        versions = tree.versions(step.question.id)
        said = []
        if len(versions) > 1:
            said.append(f"‹{versions.index(step.question.id) + 1}/{len(versions)}›")
        drawn = settings_of(step, self.asked_with)
        if drawn.temperature:
            said.append(f"seed {drawn.seed}")
        return " ".join(said)

    # Choosing

    def _chosen_or_last(self) -> int | None:
        return self.chosen if self.chosen is not None else self.head

    async def action_question_before(self) -> None:
        await self._choose(-1)

    async def action_question_after(self) -> None:
        await self._choose(1)

    async def _choose(self, by: int) -> None:
        """The question before or after; after the last one none is chosen."""
        path = [step.question.id for step in self.branches.path(self.head)]
        if not path:
            return
        place = path.index(self.chosen) if self.chosen in path else len(path)
        place = max(0, place + by)
        wanted = path[place] if place < len(path) else None
        there = {asked.turn for asked in self.active.query(Question)}
        if wanted is not None and wanted not in there and not self.busy:
            await self.view(self.head, len(path) - place + SHOWN, follow=False)
        self.chosen = wanted
        for asked in self.query(Question):
            asked.tell(chosen=asked.turn == self.chosen)
            if asked.turn == self.chosen:
                asked.call_after_refresh(asked.scroll_visible, animate=False, top=True)
        if self.chosen is None:
            for column in self.columns:
                column.transcript.scroll_end(animate=False)
        self.show_status()

    # Versions

    async def action_version_before(self) -> None:
        await self._version(-1)

    async def action_version_after(self) -> None:
        await self._version(1)

    async def _version(self, by: int) -> None:
        """Another version of the chosen question, else of the last that has some."""
        if self._still_busy():
            return
        tree = self.branches
        path = [step.question.id for step in tree.path(self.head)]
        if self.chosen is None and by > 0 and tree.after(self.head):
            await self.view(tree.leaf(self.head))  # what came after what is gone on from here
            return
        several = [number for number in path if len(tree.versions(number)) > 1]
        here = self.chosen if self.chosen is not None else next(iter(several[::-1]), None)
        other = tree.beside(here, by) if here is not None else None
        if other is None:
            has = here is not None and len(tree.versions(here)) > 1
            self.say("There is no other version that way." if has else
                     "This has one version: c edits a question, r asks it again.")  # fmt: skip
            return
        chosen = self.chosen
        await self.view(tree.leaf(other))
        if chosen is not None:
            self.chosen = other
            self.label()

    # Going on from elsewhere

    async def action_branch(self) -> None:
        """Go on after the chosen question; what came after it stays another branch."""
        if self._still_busy():
            return
        if self.chosen is None or self.chosen == self.head:
            self.say("This is the end. ↑ chooses an earlier question to go on from.")
            return
        await self.view(self.chosen)
        self.say("What you ask now comes after this. ) brings back what came before.")
        self.focus_on(self.prompt)

    async def action_edit(self) -> None:
        """Write the chosen question anew; it is asked as another version."""
        question = self._chosen_or_last()
        if question is None or self._still_busy():
            return
        step = self.branches.round(question)
        self._editing = (self.head, self.prompt.text)
        await self.view(step.question.parent, passing=True)
        words = step.question.text
        self.prompt.load(words, len(words))
        self.focus_on(self.prompt)
        self.show_status()

    @property
    def editing(self) -> bool:
        """Whether the prompt holds a question that was asked before."""
        return self._editing is not None

    async def action_keys(self) -> None:
        """Leave the prompt; a question that was being edited is as it was."""
        if self._editing is not None:
            head, words = self._editing
            self._editing = None
            self.prompt.load(words, len(words))
            await self.view(head)
        self.focus_on(self.active.transcript)

    def ask(self, question: str, settings: Settings) -> None:
        """Ask every column, after what it shows."""
        self._editing, self.chosen = None, None
        super().ask(question, settings)

    def send_now(self) -> None:
        """Ask what is in the prompt; what was put aside for editing comes back."""
        aside = self._editing[1] if self._editing is not None else ""
        super().send_now()
        if aside:
            self.prompt.load(aside, len(aside))

    def action_rewrite(self) -> None:
        """Write the column's answer to the chosen or last question anew, and go on from that."""
        from screens.chat.correcting import Correction

        question = self._chosen_or_last()
        if question is None or self._still_busy():
            return
        letter = NAMES[self.active.place]
        step = self.branches.round(question)
        kept = step.answers.get(letter)
        if kept is None:
            self.say(f"Column {letter} has no answer there.")
            return

        def written(words: str | None) -> None:
            if words is not None and words != kept.text:
                self.run_worker(self._rewritten(step, kept, words), exclusive=True, group="seat")

        self.app.push_screen(Correction(kept.text, "the conversation"), self.guarded(written))

    async def _rewritten(self, step: Round, old: Turn, words: str) -> None:
        """The question once more, with these words in place of an answer."""
        asked, column = step.question, old.column or "A"
        made = self.new_question(asked.text, asked.parent, asked.system or "")
        others = [one for letter, one in step.answers.items() if letter != column]
        chats.carry(self.catalogue, others, made)
        chats.answer(self.catalogue, made, words, column=column, model=old.model or "",
                     stop=chats.EDITED)  # fmt: skip
        await self.view(made)
        self.focus_on(self.prompt)

    # Asking again

    async def action_again(self) -> None:
        """Ask the chosen question again with a seed that it has not had."""
        question = self._chosen_or_last()
        if question is None or self._still_busy():
            return
        tree = self.branches
        seeds = [
            one.seed
            for version in tree.versions(question)
            for one in tree.round(version).answers.values()
            if one.seed is not None
        ]
        seed = max(seeds, default=self.settings.seed - 1) + 1
        if not self.settings.temperature:
            self.say("Greedy says the same again; g chooses how answers are drawn.")
        await self._once_more(tree.round(question), self.settings.drawn({"seed": seed}))

    async def action_same(self) -> None:
        """Ask the chosen question again exactly as it was: system prompt, sampling and seed."""
        question = self._chosen_or_last()
        if question is None or self._still_busy():
            return
        step = self.branches.round(question)
        await self._once_more(step, settings_of(step, self.asked_with))

    async def _once_more(self, step: Round, settings: Settings) -> None:
        await self.view(step.question.parent, passing=True)
        self.ask(step.question.text, settings)

    def _still_busy(self) -> bool:
        if self.busy:
            self.say("Still answering. esc stops.")
        return self.busy

    async def action_new(self) -> None:
        if not self.busy:
            self.chosen = self._editing = None
        await super().action_new()

    @property
    def about(self) -> Content:
        """What the keys are about, where that is not the last question."""
        if self._editing is not None:
            return Content.styled("editing a question · esc leaves it as it was", "$accent")
        if self.chosen is not None:
            return Content.styled("▸ a question is chosen", "$accent")
        return Content("")


def settings_of(step: Round, otherwise: Settings) -> Settings:
    """How a question was asked, as far as its answers say."""
    for answer in step.answers.values():
        if answer.sampling is not None:
            return Settings(step.question.system or "").drawn(answer.sampling)
    return otherwise


_OF_QUESTION = ("edit", "rewrite", "again", "same", "branch", "question_before", "question_after",
                "version_before", "version_after")  # fmt: skip
