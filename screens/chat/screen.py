"""The Chat room: one or two models answer the same question at once.

Knows columns, settings and the record of the conversation. Does not know how an answer is made:
a worker thread asks a chat session and posts what it says.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.css.query import NoMatches
from textual.worker import get_current_worker

from engine.chat import protocol
from engine.chat.protocol import AskRow, Done, Failed, Loading, Ready, Sealed, Started
from engine.data.rows import Turn
from engine.models import refs
from screens.actions import bindings, room_actions
from screens.base import ChatWith, Visit
from screens.chat.column import NAMES, Column
from screens.chat.prompt import Prompt
from screens.chat.reviews import Reviews
from screens.chat.settings import Settings
from screens.chat.stream import Ended, Seated, Streamed, Told, pump
from screens.widgets.modals import PickModal
from store import chats
from store.errors import WorkbenchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.chat.client import ChatSession


class ChatRoom(Reviews):
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
        self._position = 0
        self._stopping = False
        self._where = ""

    def compose_room(self) -> ComposeResult:
        with Container(id="columns"):
            yield Column(0, "starter")
        yield Prompt()

    async def on_mount(self) -> None:
        newest = next((ref for ref, _ in self.candidates() if ref.startswith("run:")), None)
        if newest is not None:
            await self._add_column(newest)
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

    async def _add_column(self, ref: str) -> None:
        column = Column(len(self.columns), ref)
        await self.query_one("#columns").mount(column)

    def receive(self, visit: Visit) -> None:
        """Put the handed-over models into the columns; other models begin a new conversation."""
        if not isinstance(visit, ChatWith) or not visit.refs:
            return
        if self.busy:
            self.say("Still answering. esc stops; then ask for the models again.")
        elif visit.refs[:2] != tuple(column.ref for column in self.columns):
            self.run_worker(self._seat(visit.refs[:2]), exclusive=True, group="seat")

    async def _seat(self, wanted: tuple[str, ...]) -> None:
        self.reveal()
        await self.action_new()
        while len(self.columns) > len(wanted):
            await self.columns[-1].remove()
        while len(self.columns) < len(wanted):
            await self._add_column(wanted[len(self.columns)])
        for column, ref in zip(self.columns, wanted, strict=True):
            self._choose(column, ref)
        self.focus_on(self.prompt)

    def _choose(self, column: Column, ref: str) -> None:
        column.set_model(ref)

    # Asking

    def action_send(self) -> None:
        if self.busy:
            self.say("Still answering. esc stops.")
            return
        question = self.prompt.take()
        if not question:
            return
        self._answering = self.columns
        if self.chat is None:
            self.chat = chats.create(
                self.catalogue,
                title=question[:80],
                system=self.settings.system,
                sampling=self.settings.sampling,
            ).id
        asked = chats.add_turn(self.catalogue, self.chat, "user", question)
        self._position = asked.position + 1
        self.forget_votes()
        for column in self._answering:
            column.begin(question)
            column.context = self.conversation(column)
            column.retitle("waiting for the model")
        asks = [(column.ref, column.context) for column in self._answering]
        self.asked_with = self.settings
        self.show_status("asking")
        self._stopping = False
        self._ask(asks, self.settings)

    @work(thread=True, exclusive=True, group="ask", exit_on_error=False)
    def _ask(self, asks: list[tuple[str, tuple[Turn, ...]]], settings: Settings) -> None:
        """Ask a session and post all it says; its workers stay for the next question."""
        from engine.chat.client import ChatSession, Sampling

        error: WorkbenchError | None = None
        wanted = [ref for ref, _ in asks]
        try:
            with self.open_catalogue() as cat:
                models = [refs.resolve(cat, ref) for ref in wanted]
                self.post_message(Seated([(model.ref, model.label) for model in models]))
                with ChatSession.open(cat, wanted, keep=True, on_event=self._heard) as session:
                    self._session = session
                    rows = [
                        AskRow(place, model.ref, asks[place][1])
                        for place, model in enumerate(session.models)
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
        column = self._column(event.column)
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
                asked = self._column(place)
                if asked is not None:
                    asked.asked = ids
            case Done() as done:
                self._done(done)
            case Failed(message=message, hint=hint, column=place):
                failed = self._column(place) if place is not None else None
                if failed is not None:
                    failed.fail(f"{message}. {hint}")
                else:
                    self.shell.show_error(WorkbenchError(message, hint))
            case _:
                pass

    def _column(self, place: int) -> Column | None:
        try:
            return self.query_one(f"#column-{NAMES[place].lower()}", Column)
        except NoMatches:
            return None

    def _sealed(self, model: str, ok: bool, detail: str) -> None:
        for column in self.columns:
            if column.model == model:
                column.seal = ok
                column.retitle()
        if not ok:
            self.say(f"{model} is not what it says: {detail}", bad=True)

    def _done(self, done: Done) -> None:
        column = self._column(done.column)
        if column is not None:
            column.finish(done)
        if self.chat is None:
            return
        chats.add_turn(
            self.catalogue,
            self.chat,
            "assistant",
            done.text,
            position=self._position,
            column=NAMES[done.column],
            model=done.model,
            tokens=done.tokens,
            seconds=done.seconds,
            first_token_seconds=done.first_token_seconds,
            stop=done.stop,
            seed=self.asked_with.seed,
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

    def action_model(self) -> None:
        column = self.active

        def chosen(ref: str | None) -> None:
            if ref is not None:
                refs.parse(ref)
                self._choose(column, ref)

        self.app.push_screen(
            PickModal(
                f"Model of column {NAMES[column.place]}",
                self.candidates(),
                current=column.ref,
                placeholder="type to narrow, or a folder, file.gguf, hub:org/name",
                free=True,
            ),
            self.guarded(chosen),
        )

    def _step(self, by: int) -> None:
        """Go along the checkpoints of the column's run, oldest first; from a base, the newest's."""
        column = self.active
        steps = [ref for ref, _ in self.candidates() if "@" in ref]
        ours = column.ref if column.ref.startswith("run:") else next(iter(steps), "")
        run = ours.partition("@")[0]
        ladder = [ref for ref in steps if ref.partition("@")[0] == run]
        if not ladder:
            self.say("There is no checkpoint yet. 2 goes to training.")
            return
        here = column.ref if "@" in column.ref else column.model
        if here not in ladder and column.ref == run:  # `run:ID` before it was asked: its best
            here = refs.resolve(self.catalogue, run).ref
        place = ladder.index(here) + by if here in ladder else -1
        if 0 <= place < len(ladder) or here not in ladder:
            self._choose(column, ladder[place])
        else:
            self.say(f"{here} is the {'newest' if by > 0 else 'oldest'} checkpoint.")

    def action_older(self) -> None:
        self._step(-1)

    def action_newer(self) -> None:
        self._step(1)

    def action_settings(self) -> None:
        from screens.chat.settings import SettingsModal

        def chosen(settings: Settings | None) -> None:
            if settings is not None:
                self.settings = settings
                self.show_status()

        self.app.push_screen(SettingsModal(self.settings), chosen)

    async def action_second(self) -> None:
        """One column or two."""
        if self.busy:
            self.say("Still answering. esc stops.")
        elif len(self.columns) == 2:
            await self.columns[-1].remove()
        else:
            runs = [ref for ref, _ in self.candidates() if ref.startswith("run:")]
            await self._add_column(runs[0] if runs else "starter")
        self.refresh_bindings()

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
        self.chat = None
        self.forget_votes()
        for column in self.columns:
            await column.clear()
        self.shuffle()
        self.focus_on(self.prompt)

    def action_left(self) -> None:
        self.focus_on(self.columns[0].transcript)

    def action_right(self) -> None:
        self.focus_on(self.columns[-1].transcript)

    def action_down(self) -> None:
        self.active.transcript.scroll_relative(y=2, animate=False)

    def action_up(self) -> None:
        self.active.transcript.scroll_relative(y=-2, animate=False)
