"""How every room is built: the shell it hangs in and the conventions it keeps.

Conventions, for whoever writes a room:

* A room is `screens/<room>/screen.py` with one class `<Name>Room(Room)`, its actions in
  `screens/<room>/actions.py` (`ACTIONS`), its style in `styles.tcss`, every rule of which starts
  with the room's class name or with a widget class of its own. Rooms are Textual *modes*: made on
  first visit, kept alive afterwards, so a stream or a chart goes on while another room is shown.
* ``class DataRoom(Room): ROOM = "data"; CSS_PATH = "styles.tcss"; BINDINGS =
  bindings(room_actions("data"))``. The action `data.save` is the method `action_save`. Bindings
  are never written by hand. Show at most eight in the footer, counting `? help`; the footer drops
  keys which the focused widget would swallow, and, when narrow, the last of the table.
  `check_action` returning False hides a key that has nothing to do right now
  (call `refresh_bindings()` when that changes).
* `compose_room()` yields what lies between the top line and the status line. Panes are
  `Pane` (a titled border, see `screens/widgets/pane.py`); an empty pane shows an `EmptyState`
  that names the key which fills it. `#main`/`#side` fold by the app's classes `-narrow` (< 100
  columns) and `-wide`.
* `self.status = Content(...)` sets the left of the bottom line. Short; a sign before a colour.
* The first frame waits for what a room imports at module level: what only a key or a worker needs
  (SQLite, tokenizers, templates, modals) is imported there, and under `TYPE_CHECKING` for types.
* Slow work (anything that may take more than 10 ms) goes into
  ``@work(thread=True, exclusive=True, group="rows", exit_on_error=False)``. The worker opens its
  own catalogue (``with self.open_catalogue() as cat:``), never touches a widget, and *posts
  messages*; `@on` handlers own the state. A `WorkbenchError` that leaves a worker, a handler or
  an action becomes one modal by itself: do not catch it to show it. Callbacks of `push_screen` are
  wrapped: ``self.app.push_screen(modal, self.guarded(chosen))``.
* On the interface's thread `self.catalogue` is a cached catalogue, for cheap reads and writes.
* A room that has something for another calls `self.app.visit(...)` with one of the frozen
  `Visit` records below; that room gets it in `receive(visit)` once it is on screen.
* Text from outside goes through `screens.safe.text/line/visible`; never give a widget a `str`
  that is not a literal. `notify(..., markup=False)`, better `self.say(content)`.
* Colours: `$accent` for focus and what is alive, `$side-a`, `$side-b` for A and B,
  `$text-success ✓`, `$text-error ✗`, `$text-warning !`, `$text-muted` for what is secondary.
* No timer under one second unless something runs; stop it when it is done.

Knows no room, no engine. The application itself is `workbench.app`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from screens.clipboard import copy
from screens.inturn import InTurn
from screens.widgets.statusline import StatusLine
from screens.widgets.topline import TopLine
from store.errors import WorkbenchError
from store.workspace import Workspace

if TYPE_CHECKING:
    from store.catalogue import Catalogue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Data: show this dataset."""

    room: ClassVar[str] = "data"
    path: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class TrainOn:
    """Train: fill the form with this dataset."""

    room: ClassVar[str] = "train"
    path: str


@dataclass(frozen=True, slots=True)
class ChatWith:
    """Chat: put these model references into the columns, left first."""

    room: ClassVar[str] = "chat"
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShowRun:
    """Train: show the live panel of this run."""

    room: ClassVar[str] = "train"
    run_id: int


@dataclass(frozen=True, slots=True)
class CheckRun:
    """Checks: show the checkpoints of this run."""

    room: ClassVar[str] = "checks"
    run_id: int


@dataclass(frozen=True, slots=True)
class ReviewRun:
    """Chat: judge answers of this run's checkpoints, one key each."""

    room: ClassVar[str] = "chat"
    run_id: int


@dataclass(frozen=True, slots=True)
class ExportRef:
    """Export: fill the form with this model reference."""

    room: ClassVar[str] = "export"
    ref: str


Visit = OpenFile | TrainOn | ChatWith | ShowRun | CheckRun | ReviewRun | ExportRef


class Shell(InTurn):
    """What a room may ask of the application. `workbench.app` fills it in."""

    workspace: Workspace
    device: reactive[str] = reactive("")
    """The device in a few words, for the top line; empty until known."""
    running: reactive[Content] = reactive(Content(""))
    """What trains now, for the bottom line; empty while nothing does."""

    @property
    def place(self) -> str:
        """Workspace and device, as the top line shows them."""
        raise NotImplementedError

    @property
    def catalogue(self) -> Catalogue:
        """The interface thread's own catalogue, opened on first use."""
        raise NotImplementedError

    def visit(self, visit: Visit) -> None:
        """Go to a room and hand it something."""
        raise NotImplementedError

    def look_at_runs(self) -> None:
        """Something was started: look at what runs, and go on looking while it does."""
        raise NotImplementedError

    def show_error(self, error: WorkbenchError) -> None:
        """One modal with the message and the hint."""
        raise NotImplementedError


class Failure(Message):
    """A worker met an error that the user can do something about."""

    def __init__(self, error: WorkbenchError) -> None:
        super().__init__()
        self.error = error


class Room(Screen[None]):
    """One of the six rooms: top line, body, status line."""

    ROOM: ClassVar[str]
    """The mode's name, as in `screens.actions.ROOMS`."""
    TITLE_WORDS: ClassVar[str] = ""
    """One sentence for the head of the help screen."""

    TELLS_RUNS: ClassVar[bool] = False
    """Whether the room's own status says what runs."""

    status: reactive[Content] = reactive(Content(""), repaint=False)
    """Left part of the bottom line."""

    @property
    def shell(self) -> Shell:
        """The application."""
        return cast(Shell, self.app)

    @property
    def workspace(self) -> Workspace:
        return self.shell.workspace

    @property
    def catalogue(self) -> Catalogue:
        """For the interface's thread only."""
        return self.shell.catalogue

    def open_catalogue(self) -> Catalogue:
        """A catalogue for a worker thread; use it in a `with`."""
        from store.catalogue import Catalogue

        return Catalogue.open(self.shell.workspace)

    def compose(self) -> ComposeResult:
        yield TopLine(self.ROOM, self.shell.place)
        with Container(classes="room-body"):
            yield from self.compose_room()
        yield StatusLine()

    def compose_room(self) -> ComposeResult:
        """The widgets between top line and status line."""
        yield from ()

    def receive(self, visit: Visit) -> None:
        """Something handed over by another room, once this one is on screen."""

    def watch_status(self, status: Content) -> None:
        for line in self.query(StatusLine):
            line.status = status

    def tell_running(self) -> None:
        """Say in the bottom line what runs, unless the room's own status does."""
        for line in self.query(StatusLine):
            line.running = Content("") if self.TELLS_RUNS else self.shell.running

    def shows_run(self, _run_id: int) -> bool:
        """Whether the room shows this run, so that its end need not be announced."""
        return False

    def say(self, content: Content | str, *, bad: bool = False) -> None:
        """A toast. A `str` is shown as it is: markup is not interpreted."""
        words = content.plain if isinstance(content, Content) else content
        self.notify(words, severity="error" if bad else "information", markup=False)

    def copy(self, words: str) -> None:
        """Copy to the clipboard of the person's own terminal, and say how."""
        self.say(copy(self.app, words))

    @property
    def wide(self) -> bool:
        """Whether there is room for a side pane."""
        return self.app.size.width >= 100

    def focus_on(self, widget: Widget) -> None:
        """Focus without scrolling the room."""
        self.set_focus(widget, scroll_visible=False)

    @property
    def parting(self) -> str:
        """What to tell a person who leaves the application; empty for nothing."""
        return ""

    def guarded(self, callback: Callable[[T], None]) -> Callable[[T], None]:
        """A callback for `push_screen` whose `WorkbenchError` becomes a modal.

        Textual calls it in the dismissed screen's turn, where nothing of this room could catch it.
        """

        def call(answer: T) -> None:
            try:
                callback(answer)
            except WorkbenchError as error:
                self.shell.show_error(error)

        return call

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except WorkbenchError as error:
            self.shell.show_error(error)

    def on_failure(self, event: Failure) -> None:
        event.stop()
        self.shell.show_error(event.error)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What escapes from a worker is shown, never lost."""
        if event.state is not WorkerState.ERROR:
            return
        error = event.worker.error
        if isinstance(error, WorkbenchError):
            self.shell.show_error(error)
        elif isinstance(error, Exception):
            self.app._handle_exception(error)

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        self.refresh_bindings()
        self.tell_running()
