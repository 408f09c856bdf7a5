"""The Chat room: one or two models answer the same question at once.

Knows columns, settings and the record of the conversation. Does not know how an answer is made:
a worker thread asks a chat session and posts what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.worker import get_current_worker

from engine.chat import protocol, record
from engine.chat.protocol import AskRow, Done, Failed, Loading, Ready, Sealed, Started
from engine.data.rows import Turn
from engine.models import refs
from screens.actions import bindings, room_actions
from screens.chat.column import Column
from screens.chat.columns import Columns
from screens.chat.prompt import Prompt
from screens.chat.reviews import Reviews
from screens.chat.settings import Settings
from screens.chat.stream import Ended, Seated, Streamed, Told, pump
from store import chats
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.chat.client import ChatSession


class ChatRoom(Columns, Reviews):
    """Two columns over one prompt."""

    ROOM = "chat"
    TITLE_WORDS = (
        "Every column gets the same question and keeps its own conversation. While you write, "
        "keys are text; esc gives them back."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("chat"))]

    def __init__(self) -> None:
        super().__init__()
        self._session: ChatSession | None = None
        self._head: int | None = None
        self._stopping = False
        self._where = ""

    def compose_room(self) -> ComposeResult:
        with Container(id="columns"):
            yield Column(0, "starter")
        yield Prompt()

    async def on_mount(self) -> None:
        newest = next((ref for ref, _ in self.candidates() if ref.startswith("run:")), None)
        if newest is not None:
            await self.add_column(newest)
        self.focus_on(self.prompt)
        self.show_status()

    # What is on screen

    def show_status(self, doing: str = "") -> None:
        words = doing or ("blind · " if self.blind else "") + self.settings.words
        style = "$accent" if doing else "$text-muted"
        where = f" · {self._where}" if self._where and not doing else ""
        self.status = Content.styled(words + where, style)
        self.refresh_bindings()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        allowed = self.judging_allows(action)
        if allowed is not None:
            return allowed
        writing = self.writing
        if action in ("send", "newline"):
            return writing
        if action == "prompt":
            return not writing
        if action == "stop":
            return self.busy
        if action == "keys":
            return writing and not self.busy
        return True

    # Asking

    def action_send(self) -> None:
        if self.busy:
            self.say("Still answering. esc stops.")
            return
        question = self.prompt.take()
        if not question:
            return
        if self.chat is None:
            self.chat = chats.create(
                self.catalogue,
                title=question[:80],
                system=self.settings.system,
                sampling=self.settings.sampling,
            ).id
        asked = chats.ask(self.catalogue, self.chat, question, after=self._head)
        self._head = asked.id
        for column in self.columns:
            column.begin(question)
            column.context = self.conversation(column)
        self._put(self.columns, self.settings)

    def ask_again(self, columns: Sequence[Column], settings: Settings | None = None) -> None:
        """Ask the last question again in these columns alone, of the models they have now.

        The answer is another one at the same place of the conversation; what a column said before
        is its `before`. Without settings they are those of the first time.
        """
        for column in columns:
            column.again()
        self._put(columns, settings or self.asked_with)

    def _put(self, columns: Sequence[Column], settings: Settings) -> None:
        """Have the last question of these columns answered."""
        self._answering = list(columns)
        self.forget_votes()
        for column in columns:
            column.retitle("waiting for the model")
        self.asked_with = settings
        self.show_status("asking")
        self._stopping = False
        self._ask([(column.place, column.ref, column.context) for column in columns], settings)

    @work(thread=True, exclusive=True, group="ask", exit_on_error=False)
    def _ask(self, asks: list[tuple[int, str, tuple[Turn, ...]]], settings: Settings) -> None:
        """Ask a session and post all it says; its workers stay for the next question."""
        from engine.chat.client import ChatSession, Sampling

        error: WorkbenchError | None = None
        wanted = [ref for _, ref, _ in asks]
        try:
            with self.open_catalogue() as cat:
                models = [refs.resolve(cat, ref) for ref in wanted]
                self.post_message(Seated([(model.ref, model.label) for model in models]))
                with ChatSession.open(cat, wanted, keep=True, on_event=self._heard) as session:
                    self._session = session
                    rows = [
                        AskRow(place, model.ref, turns)
                        for model, (place, _, turns) in zip(session.models, asks, strict=True)
                    ]
                    pump(session.ask_rows(rows, Sampling(**settings.sampling)), self.post_message)
        except WorkbenchError as problem:
            error = problem
        finally:
            self._session = None
            self.post_message(Ended(None if self._stopping else error))

    def _heard(self, event: protocol.Message) -> None:
        """What a worker says while it gets ready; raising is how to stop waiting for it."""
        if self._stopping or get_current_worker().is_cancelled:
            raise WorkbenchError("stopped while the model was loading", "Send again to go on.")
        self.post_message(Told(event))

    @on(Seated)
    def _seated(self, event: Seated) -> None:
        for column, (ref, label) in zip(self._answering, event.models, strict=True):
            column.seated(ref, label)

    @on(Streamed)
    def _streamed(self, event: Streamed) -> None:
        column = self.column_at(event.column)
        if column is not None:
            column.feed(event.text)

    @on(Told)
    def _told(self, event: Told) -> None:
        match event.event:
            case Loading(text=words):
                self.show_status(words)
                for column in self._answering:
                    column.retitle(words)
            case Ready(device=device, dtype=dtype):
                self._where = f"{device} {dtype}"
                self.show_status("answering")
            case Sealed(model=model, ok=ok, detail=detail):
                self._sealed(model, ok, detail)
            case Started(column=place, prompt_ids=ids):
                asked = self.column_at(place)
                if asked is not None:
                    asked.asked = ids
            case Done() as done:
                self._done(done)
            case Failed(message=message, hint=hint, column=place):
                failed = self.column_at(place) if place is not None else None
                if failed is not None:
                    failed.fail(f"{message}. {hint}")
                else:
                    self.shell.show_error(WorkbenchError(message, hint))
            case _:
                pass

    def _sealed(self, model: str, ok: bool, detail: str) -> None:
        for column in self.columns:
            if column.model == model:
                column.seal = ok
                column.retitle()
        if not ok:
            self.say(f"{model} is not what it says: {detail}", bad=True)

    def _done(self, done: Done) -> None:
        column = self.column_at(done.column)
        if column is not None:
            column.finish(done)
        if self._head is not None:
            record.answer(
                self.catalogue, self._head, done.column, done, sampling=self.asked_with.sampling
            )

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

    # Keys

    def action_stop(self) -> None:
        session = self._session
        self._stopping = True
        if session is not None:
            session.stop()
        else:
            self.show_status("stopping")

    def action_keys(self) -> None:
        self.focus_on(self.active.transcript)

    def action_newline(self) -> None:
        self.prompt.insert("\n")

    def action_prompt(self) -> None:
        self.focus_on(self.prompt)

    def action_settings(self) -> None:
        from screens.chat.settings import SettingsModal

        def chosen(settings: Settings | None) -> None:
            if settings is not None:
                self.settings = settings
                self.show_status()

        self.app.push_screen(SettingsModal(self.settings), chosen)

    def action_copy(self) -> None:
        answer = self.active.answer
        if answer:
            self.copy(answer)
        else:
            self.say("Nothing to copy yet.")

    async def action_new(self) -> None:
        if self.busy:
            self.say("Still answering. esc stops.")
            return
        self.chat = self._head = None
        self.forget_votes()
        for column in self.columns:
            await column.clear()
        self.shuffle()
        self.focus_on(self.prompt)
