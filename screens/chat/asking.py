"""The part of the Chat room that asks: a question goes out, answers come in and are recorded.

Knows columns, a session's events and the record of the conversation. Does not know how an answer
is made: a worker thread asks a chat session and posts what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from engine.chat.protocol import Done, Failed, Loading, Ready, Sealed, Started
from engine.data.rows import Turn
from engine.models import refs
from screens.chat.asker import Asker, Broken
from screens.chat.column import NAMES, Column, as_done
from screens.chat.reviews import Reviews
from screens.chat.settings import Settings
from screens.chat.stream import Ended, Seated, Streamed, Told
from screens.chat.writing import Writing
from store import chats
from store.errors import WorkbenchError
from store.rounds import Tree
from store.sqlite import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.chats import Turn as Kept


class Asking(Writing, Reviews):
    """Questions after `head`, the last question of the branch that the columns show."""

    def __init__(self) -> None:
        super().__init__()
        self.head: int | None = None
        self._asker = Asker(self.open_catalogue, self.post_message)
        self._stopping = False
        self._where = ""
        self._places: dict[str, str] = {}
        """Device and precision of every worker, by what it is called."""
        self._kept: dict[int, tuple[Done, Kept]] = {}
        """Answers to the last question, and what stands for each in the records."""

    @property
    def branches(self) -> Tree:
        """Every branch of the chat."""
        return Tree(chats.turns(self.catalogue, self.chat) if self.chat is not None else ())

    @property
    def models(self) -> list[str]:
        """References of the columns by their letters; empty where a letter is not taken."""
        refs_at = {column.place: column.ref for column in self.columns}
        return [refs_at.get(place, "") for place in range(max(refs_at) + 1)]

    def label(self) -> None:
        """Say at every question which version of it is shown, and its seed."""

    # Sending

    def action_send(self) -> None:
        if self.busy:
            self.say("Still answering. esc stops.")
            return
        question = self.prompt.text.strip("\n")
        if not question.strip():
            return
        if all(_surely_short(turns) for _, _, turns in self.asks(question)):
            self.send_now()
        else:
            self.weigh(send=True)

    def send_now(self) -> None:
        self.ask(self.prompt.text.strip("\n"), self.settings)
        self.prompt.take()
        self.save_draft()

    def ask(self, question: str, settings: Settings) -> None:
        """Ask every column, after what it shows."""
        asks, chat = self.asks(question, settings), self.chat
        self._asker.ask(asks, settings)  # the models begin while it is recorded and shown
        try:
            self.head = self._recorded(question, settings)
        except WorkbenchError:
            self._asker.stop()
            self.chat = chat
            raise
        self._kept.clear()
        for column, (_, _, turns) in zip(self.columns, asks, strict=True):
            column.begin(question, self.head)
            column.context = turns
        self._begun(self.columns, settings)
        self.label()

    def _recorded(self, question: str, settings: Settings) -> int:
        """The question as it stands in the records, in one go."""
        from engine.chat.record import title_of

        with write(self.catalogue.db):
            if self.chat is None:
                self.chat = chats.create(
                    self.catalogue,
                    title=title_of(question),
                    system=settings.system,
                    sampling=settings.sampling,
                ).id
            return self.new_question(question, self._shown_head(), settings.system)

    def ask_again(self, columns: Sequence[Column], settings: Settings | None = None) -> None:
        """Ask the last question again in these columns alone, of the models they have now.

        The answer is another one at the same place of the conversation; what a column said before
        is its `before`. Without settings they are those of the first time.
        """
        tree = self.branches
        if (
            self.head is not None and self.head in tree and tree.after(self.head)
        ):  # others went on from the answers there
            step = tree.round(self.head)
            letters = [NAMES[column.place] for column in columns]
            others = [one for letter, one in step.answers.items() if letter not in letters]
            question = step.question
            self.head = self.new_question(question.text, question.parent, question.system or "")
            chats.carry(self.catalogue, others, self.head)
        for column in columns:
            column.again()
        settings = settings or self.asked_with
        asks = [(column.place, column.ref, column.context) for column in columns]
        beside = [one.ref for one in self.columns if one.context and one not in columns]
        self._asker.ask(asks, settings, beside)
        self._begun(columns, settings)
        self.label()

    def new_question(self, text: str, after: int | None, system: str) -> int:
        """Record a question; its number."""
        assert self.chat is not None
        models = self.models
        return chats.ask(self.catalogue, self.chat, text, after=after, system=system,
                         models=models).id  # fmt: skip

    def _shown_head(self) -> int | None:
        """The question that is gone on from, with the answers that the columns show.

        An answer to it may have been asked for again, and then an older one be shown: these
        answers then stand under a question of their own, so that the record says what was heard.
        """
        tree = self.branches
        if self.head is None or self.head not in tree:
            return None
        step = tree.round(self.head)
        shown: dict[str, Kept | None] = {}
        for column in self.columns:
            _, shown[NAMES[column.place]] = self._kept.get(id(column.done), (None, None))
        if all(one == step.answers.get(name) for name, one in shown.items()):
            return self.head
        question = step.question
        made = self.new_question(question.text, question.parent, question.system or "")
        chats.carry(self.catalogue, [one for one in shown.values() if one], made)
        return made

    def _begun(self, columns: Sequence[Column], settings: Settings) -> None:
        """The last question of these columns is being asked."""
        self._answering = list(columns)
        self._stopping = False
        self.forget_votes()
        for column in columns:
            column.retitle("waiting for the model")
        self.asked_with = settings
        self.show_status("asking")

    # Hearing

    @on(Seated)
    def _seated(self, event: Seated) -> None:
        for column, (ref, label) in zip(self._answering, event.models, strict=True):
            column.seated(ref, label)

    @on(Streamed)
    def _streamed(self, event: Streamed) -> None:
        column = self.column_at(event.column)
        if column is not None:
            column.feed(event.text)
        if event.painted is not None:
            self.call_after_refresh(event.painted)

    @on(Told)
    def _told(self, event: Told) -> None:
        match event.event:
            case Loading(text=words):
                self.show_status(words)
                for column in self._answering:
                    column.retitle(words)
            case Ready(label=label, device=device, dtype=dtype):
                self._where = self._places[label] = f"{device} {dtype}"
                self.show_status("answering")
            case Sealed() as sealed:
                self._sealed(sealed)
            case Started(column=place, prompt_ids=ids):
                asked = self.column_at(place)
                if asked is not None:
                    asked.asked = ids
            case Done() as done:
                self._done(done)
            case Failed(column=int(place)) as failed:
                of = self.column_at(place)
                half = of.broke(failed) if of is not None else None
                if half is not None:
                    self._record(half)
            case Failed(message=message, hint=hint):
                self.shell.show_error(WorkbenchError(message, hint))
            case _:
                pass

    def _sealed(self, sealed: Sealed) -> None:
        for column in self.columns:
            if column.model == sealed.model:
                column.seal, column.alone = sealed.ok, sealed.alone
                column.retitle()
        if not sealed.ok:
            self.say(f"{sealed.model} is not what it says: {sealed.detail}", bad=True)

    def _done(self, done: Done) -> None:
        column = self.column_at(done.column)
        if column is not None and column.answering:
            if done.stop != "stopped":
                column.seen[done.model, self.asked_with] = done
            column.finish(done)
            self._record(done)

    def _record(self, done: Done) -> None:
        from engine.chat import record

        if self.head is None:
            return
        drawn = self.asked_with.sampling
        place = self._place_of(done.model)
        kept = record.answer(
            self.catalogue, self.head, done.column, done, sampling=drawn, place=place
        )
        if kept is not None:
            self._kept[id(done)] = (done, kept)

    def recalled(self, column: Column, ref: str) -> Done | None:
        """What a model is known to have answered to the last question in this column."""
        known = column.seen.get((ref, self.asked_with))
        if known is not None or self.chat is None:
            return known
        for turn in reversed(chats.turns(self.catalogue, self.chat)):
            if (
                (turn.parent, turn.column, turn.model) == (self.head, NAMES[column.place], ref)
                and turn.sampling == self.asked_with.sampling
                and turn.stop in ("turn end", "length")
            ):
                known = column.seen[ref, self.asked_with] = as_done(column.place, turn)
                self._kept[id(known)] = (known, turn)
                return known
        return None

    def _place_of(self, ref: str) -> str | None:
        """Device and precision of the worker that answers for a model."""
        if len(self._places) < 2:
            return self._where or None
        try:
            model = refs.resolve(self.catalogue, ref)
        except WorkbenchError:
            return None  # deleted while it answered
        return self._places.get(model.base_ref if model.gguf is None else model.gguf.name)

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        for column in self._answering:
            if column.answering:
                column.fail("stopped" if self._stopping else "no answer", stopped=self._stopping)
        self._answering = []
        self.answered()
        self.show_status()
        if event.error is not None:
            self.shell.show_error(event.error)

    def action_stop(self) -> None:
        self._stopping = True
        if not self._asker.stop():
            self.show_status("stopping")

    @on(Broken)
    def _broken(self, event: Broken) -> None:
        raise event.error

    def on_unmount(self) -> None:
        self._asker.close()

    async def action_new(self) -> None:
        if self.busy:
            self.say("Still answering. esc stops.")
            return
        self.chat = self.head = None
        self._kept.clear()
        self.forget_votes()
        for column in self.columns:
            await column.clear()
        self.shuffle()
        self.focus_on(self.prompt)


_SURELY = 1024
"""Tokens that every model holds."""
_TEMPLATE = 64
"""Tokens that a template may add to a turn, generously."""


def _surely_short(turns: Sequence[Turn]) -> bool:
    """Whether a conversation need not be counted: a token is a byte at least."""
    return sum(len(turn.text.encode(errors="replace")) + _TEMPLATE for turn in turns) < _SURELY
