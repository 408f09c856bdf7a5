"""The part of the Chat room where a question is written: drafts, its length, prompts by name.

Knows the prompt and the settings it will be asked with. Does not know how a question is asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from engine.chat import presets
from engine.data.rows import Turn
from screens.chat.column import NAMES
from screens.chat.settings import Settings, pick_preset
from screens.chat.shared import Shared
from screens.safe import line
from screens.widgets.textpad import TextPad
from store import chats
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.chat.weighing import Weight
    from store.drafts import Drafts

REST = 0.4
"""Seconds without a key after which the draft is written and the tokens are counted."""
_DRAFT = (0, b"chat")
"""The place of the prompt among the drafts: no dataset has the number 0."""

Asks = list[tuple[int, str, tuple[Turn, ...]]]
"""What would be asked: (place of the column, reference, conversation)."""


class Weighed(Message):
    """A worker counted the tokens of a question; `send` if it is to be sent then."""

    def __init__(self, question: str, weights: Sequence[tuple[int, Weight]], *, send: bool) -> None:
        super().__init__()
        self.question = question
        self.weights = weights
        self.send = send


class Writing(Shared):
    """A prompt that is kept, weighed, and filled from the library."""

    def __init__(self) -> None:
        super().__init__()
        self._rest: Timer | None = None
        self._unkept: str | None = None
        """What is written, where the draft on disk is another."""
        self._weighing = False
        self._drawing: tuple[Settings, str] | None = None

    @property
    def drawing(self) -> str:
        """How answers are drawn, by the name of a preset where it is one."""
        if self._drawing is None or self._drawing[0] is not self.settings:
            name = presets.called(self.catalogue, self.settings.sampling)
            self._drawing = (self.settings, self.settings.words(name))
        return self._drawing[1]

    def earlier(self) -> list[str]:
        """Questions that were asked before, in any chat, oldest first."""
        return chats.asked_before(self.catalogue)

    @on(TextPad.Changed, "#prompt")
    def _written(self) -> None:
        self._unkept = self.prompt.text
        if not self._unkept:
            self.tell_weight("")
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST, self._rested)

    def _rested(self) -> None:
        self._write_draft()
        if self.prompt.text.strip() and not self.busy:
            self.weigh(send=False)

    # Drafts

    @property
    def _drafts(self) -> Drafts:
        from store.drafts import Drafts

        return Drafts(self.workspace)

    def read_draft(self) -> None:
        """Put back what was written and not sent."""
        draft = self._drafts.find(*_DRAFT)
        if draft is not None and not self.prompt.text:
            words = draft.text.decode(errors="replace")
            self.prompt.load(words, len(words))

    @work(thread=True, exclusive=True, group="draft", exit_on_error=False)
    def _write_draft(self) -> None:
        self.save_draft()

    def save_draft(self) -> None:
        """Write what was written to disk, or forget it where that is nothing."""
        from store.drafts import Draft
        from store.errors import NoSpace

        words, self._unkept = self._unkept, None
        if words is None:
            return
        if not words.strip():
            self._drafts.drop(*_DRAFT)
            return
        draft = Draft("prompt", b"", words.encode(errors="replace"), 0, time.time())
        try:
            self._drafts.keep(*_DRAFT, draft)
        except OSError as error:
            raise NoSpace(
                f"the draft of the prompt could not be written ({error.strerror})",
                "Send it while it is on screen; make room on the disk.",
            ) from error

    # How long it is

    def asks(self, question: str, settings: Settings | None = None) -> Asks:
        """The question with all before it, as every column would be asked."""
        system = (settings or self.settings).system
        first = (Turn("system", system),) if system else ()
        return [
            (column.place, column.ref, (*first, *column.turns, Turn("user", question)))
            for column in self.columns
        ]

    def weigh(self, *, send: bool) -> None:
        """Count the tokens of what is written, in a worker; then send it, if that is wanted."""
        if self._weighing and not send:
            return  # what is written by then is weighed after this
        self._weighing = True
        question = self.prompt.text
        self._weigh(question, self.asks(question.strip("\n")), send=send)

    @work(thread=True, exclusive=True, group="weigh", exit_on_error=False)
    def _weigh(self, question: str, asks: Asks, *, send: bool) -> None:
        from engine.chat.weighing import weigh

        weights: list[tuple[int, Weight]] = []
        # What is wrong is said when it is asked; while writing it would only be in the way.
        with suppress(WorkbenchError):
            with self.open_catalogue() as cat:
                found = weigh(cat, [(ref, turns) for _, ref, turns in asks], start=send)
            weights = [(ask[0], one) for ask, one in zip(asks, found, strict=True) if one]
        self.post_message(Weighed(question, weights, send=send))

    @on(Weighed)
    def _weighed(self, event: Weighed) -> None:
        self._weighing = False
        if self.busy:
            return
        if event.question != self.prompt.text:
            if self.prompt.text.strip():
                self.weigh(send=False)
            return
        self.tell_weight(_weight_words(event.weights))
        if event.send:
            from engine.chat.weighing import refuse_long

            refuse_long(one for _, one in event.weights)
            self.send_now()

    def tell_weight(self, words: Content | str) -> None:
        """Say above the prompt how long all of it is."""
        said = Content(words) if isinstance(words, str) else words
        self.prompt.border_title = Content(" ") + said + Content(" ") if said.plain else said

    def send_now(self) -> None:
        """Ask what is in the prompt."""
        raise NotImplementedError

    # Prompts and presets by name

    def action_library(self) -> None:
        """Take a prompt or a system prompt by name; keep, rename, delete them."""
        from screens.chat.shelf import Shelf, taken
        from store import library

        def chosen(value: str | None) -> None:
            if value is None:
                return
            kept = library.find(self.catalogue, *taken(value))
            if kept.kind == "prompt":
                self.prompt.insert(kept.text)
                self.focus_on(self.prompt)
            elif kept.kind == "system":
                self._set(Settings(kept.text).drawn(self.settings.sampling))
                self.say(line(f"The system prompt is '{kept.name}' from now on."))
            else:
                self._preset(kept.name)

        self.app.push_screen(Shelf(self.catalogue, self.prompt.text), self.guarded(chosen))

    def action_preset(self) -> None:
        """Draw answers in another way."""

        def chosen(name: str | None) -> None:
            if name is not None:
                self._preset(name)

        modal = pick_preset(self.catalogue, self.settings.sampling)
        self.app.push_screen(modal, self.guarded(chosen))

    def _preset(self, name: str) -> None:
        self._set(self.settings.drawn(presets.find(self.catalogue, name).values))

    def _set(self, settings: Settings) -> None:
        self.settings = settings
        self.show_status()
        if self.prompt.text.strip():
            self.weigh(send=False)

    def action_settings(self) -> None:
        from screens.chat.settings import SettingsModal

        def chosen(settings: Settings | None) -> None:
            if settings is not None:
                self._set(settings)

        self.app.push_screen(SettingsModal(self.settings, self.catalogue), chosen)

    def action_newline(self) -> None:
        self.prompt.insert("\n")

    def action_prompt(self) -> None:
        self.focus_on(self.prompt)


def _weight_words(weights: Sequence[tuple[int, Weight]]) -> Content:
    """`1,870 of 4,096 tokens`, for each column where they differ."""
    alike = len({(one.tokens, one.context) for _, one in weights}) == 1
    said = []
    for place, one in weights[:1] if alike else weights:
        name = "" if alike else f"{NAMES[place]} "
        style = "$text-muted" if one.fits else "$text-error"
        sign = "" if one.fits else "✗ too long: "
        said.append(Content.styled(f"{sign}{name}{one.words}", style))
    return Content("  ").join(said)
