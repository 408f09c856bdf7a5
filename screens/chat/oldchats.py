"""Old chats on the screen: all of them, newest first, narrowed by words that were said.

Knows the list. Opening a chat is the room's to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from screens.safe import line
from screens.widgets.linelist import Cells, LineList
from screens.widgets.modals import Choice, ChoiceModal, LineModal, steady
from store import chats
from store.catalogue import Catalogue
from store.chats import Chat
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from store.chatlist import Listed

REST = 0.1
"""Seconds without a key after which the words are looked for."""
_WHEN = 12
_TITLE = 34


class Found(Message):
    """A worker looked for words."""

    def __init__(self, words: str, listed: Sequence[Listed]) -> None:
        super().__init__()
        self.words = words
        self.listed = listed


class ChatLines(LineList):
    """A line a chat: when, how many questions, its title, then its models or what was found."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: Sequence[Listed] = ()
        self.can_focus = False

    def cells(self, index: int, width: int) -> Cells:
        one = self.listed[index]
        chat = one.chat
        title = chat.title or "untitled"
        room = max(12, min(_TITLE, width - _WHEN - 24))
        more = one.passage or ", ".join(dict.fromkeys(filter(None, chat.models)))
        return (
            (f" {_when(chat.changed):<{_WHEN}}", "muted"),
            (f"{one.questions:>4} ", "muted"),
            (f"{title if len(title) <= room else title[: room - 1] + '…':<{room}}", "plain"),
            (f"  {more}", "match" if one.passage else "muted"),
        )


class OldChats(ModalScreen[int | None]):
    """Choose a chat to go on with; rename, export, delete. Answers its number."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(20)", show=False, priority=True),
        Binding("pageup", "move(-20)", show=False, priority=True),
        Binding("ctrl+r", "rename", show=False, priority=True),
        Binding("ctrl+x", "delete", show=False, priority=True),
    ]

    def __init__(self, cat: Catalogue, current: int | None) -> None:
        super().__init__()
        self.cat = cat
        self.current = current
        self.lines = ChatLines()
        self._rest: Timer | None = None
        self._words: str | None = None
        """What the lines are about; None before the first are there."""
        self._awaited = False
        """Whether the first that is found is wanted."""

    def compose(self) -> ComposeResult:
        with Container(classes="dialog -broad -tall oldchats") as frame:
            frame.border_title = "Chats"
            frame.border_subtitle = "⏎ go on with it  ctrl+r rename  ctrl+x delete  esc"
            yield steady(Input(placeholder="words that were asked or said"))
            yield self.lines
            yield Static(id="complaint")

    def on_mount(self) -> None:
        self._look("")

    @on(Input.Changed)
    def _typed(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST, self._again)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, words: str) -> None:
        from store.chatlist import listed

        worker = get_current_worker()
        try:
            with Catalogue.open(self.cat.workspace) as cat:
                found = listed(cat, words)
        except WorkbenchError as error:
            said = f"✗ {error.message}. {error.hint}"
            self.app.call_from_thread(self._say, said, "$text-error")
            return
        if not worker.is_cancelled:
            self.post_message(Found(words, found))

    @on(Found)
    def _found(self, event: Found) -> None:
        if event.words != self.query_one(Input).value:
            return
        here = self._here
        self._words, self.lines.listed = event.words, event.listed
        self.lines.count = len(event.listed)
        self.lines.forget()
        places = [n for n, one in enumerate(event.listed) if here and here.id == one.chat.id]
        self.lines.cursor = places[0] if places else 0
        none = "Nothing was asked yet." if not event.words else "No chat has all of these words."
        said = f"{len(event.listed):,} chats · asked last, questions, title, models or passage"
        self._say(said if event.listed else none)
        if self._awaited:
            self._submitted()

    def _say(self, words: str, style: str = "$text-muted") -> None:
        self.query_one("#complaint", Static).update(line(words, style))

    @property
    def _here(self) -> Chat | None:
        listed = self.lines.listed
        return listed[self.lines.cursor].chat if listed else None

    def _again(self) -> None:
        self._look(self.query_one(Input).value)

    # Keys

    def action_move(self, by: int) -> None:
        self.lines.move(by)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        """Go on with the chat under the cursor, once the words that are typed were looked for."""
        self._awaited = self._words != self.query_one(Input).value
        if self._awaited:
            self._again()
        elif self._here is not None:
            self.dismiss(self._here.id)

    @on(LineList.Chosen)
    def _chosen(self) -> None:
        self._submitted()

    def action_close(self) -> None:
        self.dismiss(None)

    def _trying(self, change: Callable[[], object]) -> None:
        """Change a chat, which somebody else may have deleted by now."""
        try:
            change()
        except WorkbenchError as error:
            self._say(f"✗ {error.message}. {error.hint}", "$text-error")
        else:
            self._again()

    def action_rename(self) -> None:
        here = self._here
        if here is None:
            return

        def named(title: str | None) -> None:
            if title is not None:
                self._trying(lambda: chats.rename(self.cat, here.id, title))

        self.app.push_screen(LineModal("Rename the chat", value=here.title), named)

    def action_delete(self) -> None:
        here = self._here
        if here is None:
            return
        if here.id == self.current:
            self._say("! This chat is open: ctrl+n in the room begins a new one first.",
                      "$text-warning")  # fmt: skip
            return

        def said(answer: str | None) -> None:
            if answer == "yes":
                self._trying(lambda: chats.delete(self.cat, here.id))

        question = line(f"Delete '{here.title}' with all its branches? Votes and examples stay.")
        yes, no = Choice("d", "delete it", "yes"), Choice("n", "leave it", "no")
        self.app.push_screen(ChoiceModal("Delete a chat", question, (yes, no)), said)


def _when(seconds: float) -> str:
    """`20:31` of today, `Nov 20` of this year, else the date."""
    then, now = time.localtime(seconds), time.localtime()
    if then[:3] == now[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%b %d" if then[0] == now[0] else "%Y-%m-%d", then)
