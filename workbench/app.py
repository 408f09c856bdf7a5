"""The application: six rooms behind one tab bar.

Knows the rooms by name and makes each when it is first visited. Knows nothing of what they do,
and no engine: leaving it ends nothing but the window.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import select
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on, work
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from screens import safe
from screens.actions import APP_ACTIONS, ROOMS, bindings, room_actions
from screens.base import OpenFile, Room, Shell, Visit
from screens.theme import SIDES, WORKBENCH, ParsedOnce, quiet
from screens.widgets.topline import TopLine, short_path
from store.errors import WorkbenchError
from store.workspace import Workspace
from workbench.sweeping import Sweeper
from workbench.workspace import find_workspace

if TYPE_CHECKING:
    from textual.command import Provider

    from screens.beat import Beat
    from store.catalogue import Catalogue

AGAIN_WITHIN = 2.0
"""Seconds within which the second ctrl+c leaves."""
PAINTED = 0.5
"""Seconds after which the first room is painted, and what is not needed for it may be read."""
SWEEP_EVERY = 5.0
"""Seconds after which the garbage collector may look through everything, if nobody types."""
THREADS = 24
"""Most worker threads: a stream a column, an index, a search and a few reads at once."""


def _palette() -> type[Provider]:
    from screens.palette import ActionCommands

    return ActionCommands


def _room(room: str) -> Callable[[], Screen[Any]]:
    """A factory that imports the room when it is first visited."""

    def make() -> Screen[Any]:
        made: Screen[Any] = getattr(
            import_module(f"screens.{room}.screen"), f"{room.capitalize()}Room"
        )()
        return made

    return make


class DeviceKnown(Message):
    """What the machine has, in a few words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class Heard(Message):
    """A worker looked at what runs."""

    def __init__(self, beat: Beat) -> None:
        super().__init__()
        self.beat = beat


class WorkbenchApp(Shell):
    """Data, Train, Chat, Runs and Export in one terminal."""

    TITLE = "Workbench"
    CSS_PATH = Path(safe.__file__).with_name("shell.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(APP_ACTIONS)]
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        room: _room(room) for room, _ in ROOMS
    }
    DEFAULT_MODE: str = "data"  # type: ignore[misc]  # Textual reads it of the instance.
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    PAUSE_GC_ON_SCROLL: ClassVar[bool] = True

    def __init__(self, workspace: Workspace, file: str | None = None) -> None:
        """Args: workspace: where everything is kept; file: a dataset to open at once."""
        safe.install()
        self.workspace = workspace
        self._file = file
        self._catalogue: Catalogue | None = None
        if file is None and self._something_runs():  # who comes back sees it at once
            self.DEFAULT_MODE = "train"
        super().__init__()
        self.stylesheet = ParsedOnce(variables=self.get_css_variables())
        self._asked_to_leave = -AGAIN_WITHIN
        self._sweeper = Sweeper()
        self._alive: tuple[int, ...] | None = None  # ids of the runs at the newest beat
        self._next_beat: Timer | None = None
        self.farewell: list[str] = []
        self.fault: Exception | None = None
        self.register_theme(WORKBENCH)
        self.theme = "workbench"

    def _something_runs(self) -> bool:
        from screens.beat import foremost
        from store import runs

        # What keeps the catalogue from being read is said by the room that needs it.
        with contextlib.suppress(WorkbenchError):
            return foremost(runs.all(self.catalogue)) is not None
        return False

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(SIDES)

    def get_css_variables(self) -> dict[str, str]:
        variables = super().get_css_variables()
        if not self.current_theme.ansi:
            variables["text-muted"] = quiet(variables)
        return variables

    @property
    def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            from store.catalogue import Catalogue

            self._catalogue = Catalogue.open(self.workspace)
        return self._catalogue

    async def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="worker"))
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)
        if not self.is_headless:
            threading.Thread(target=self._leave_with_terminal, daemon=True).start()
        if self._file is not None:
            self.visit(OpenFile(self._file))
        else:
            self.call_after_refresh(self.release_keys)
        self.call_after_refresh(self.look_at_runs)
        self.set_timer(PAINTED, self._look_at_machine)
        self._stays()
        if not self.is_headless:
            self.set_interval(SWEEP_EVERY, self._sweeper.sweep)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self._sweeper.touch()
        await super().on_event(event)

    def _leave_with_terminal(self) -> None:
        """Wait for the terminal to go: not every way of losing it sends a signal."""
        poll = select.poll()
        poll.register(0, 0)  # standard input; nothing but its end is asked for
        for _, event in poll.poll():
            if event & (select.POLLHUP | select.POLLERR):
                self.call_from_thread(self.exit)

    def _stays(self) -> None:
        """What a new room is made of will stay, once painted; a test's application goes."""
        if not self.is_headless:
            self.set_timer(PAINTED, self._sweeper.leave_out)

    @work(thread=True, group="machine", exit_on_error=False)
    def _look_at_machine(self) -> None:
        from engine.machine.facts import this_machine

        self.post_message(DeviceKnown(this_machine().words()))
        # A package before its parts, as the Data room's worker does: two threads that take the
        # import locks in unlike orders are given half a module.
        import_module("engine.render")
        for room, _ in ROOMS:  # the first visit of a room shall not wait for its imports
            import_module(f"screens.{room}.screen")
        self.call_from_thread(self._stays)

    @on(DeviceKnown)
    def _device_known(self, event: DeviceKnown) -> None:
        self.device = event.words

    def on_unmount(self) -> None:
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    def watch_device(self) -> None:
        for room in self._rooms():
            for top in room.query(TopLine):
                top.place = self.place

    # What runs

    def look_at_runs(self) -> None:
        if self._next_beat is not None:
            self._next_beat.stop()
            self._next_beat = None
        self._listen(self._alive or ())

    @work(thread=True, exclusive=True, group="beat", exit_on_error=False)
    def _listen(self, before: tuple[int, ...]) -> None:
        from screens.beat import listen

        # What keeps the catalogue from being read is said by the room that needs it.
        with contextlib.suppress(WorkbenchError):
            self.post_message(Heard(listen(self.workspace, before)))

    @on(Heard)
    def _heard(self, event: Heard) -> None:
        """Say what runs, and what has ended."""
        from screens.beat import EVERY, alive_words, end_words

        beat = event.beat
        before, self._alive = self._alive, tuple(run.id for run in beat.alive)
        self.running = alive_words(beat.alive)
        for run in beat.ended:
            said, bad = end_words(run)
            if run.id in (before or ()) and not self._shows(run.id):
                self.notify(said, severity="error" if bad else "information", markup=False)
        if beat.alive:
            if self._next_beat is not None:
                self._next_beat.stop()
            self._next_beat = self.set_timer(EVERY, self.look_at_runs)

    def _shows(self, run_id: int) -> bool:
        """Whether a run is on screen."""
        room = next(iter(self.screen_stack), None)  # None while the application closes.
        return isinstance(room, Room) and room.shows_run(run_id)

    def watch_running(self) -> None:
        for room in self._rooms():
            room.tell_running()

    @property
    def place(self) -> str:
        """Workspace and device, as the top line shows them."""
        return " · ".join(filter(None, (short_path(self.workspace.root), self.device)))

    def visit(self, visit: Visit) -> None:
        self.call_later(self._visit, visit)

    async def _visit(self, visit: Visit) -> None:
        await self.action_go(visit.room)
        room = self.screen_stack[0]
        if isinstance(room, Room):
            room.call_after_refresh(self._hand_visit, room, visit)

    def _hand_visit(self, room: Room, visit: Visit) -> None:
        try:
            room.guarded(room.receive)(visit)
        finally:
            self.release_keys()

    def show_error(self, error: WorkbenchError) -> None:
        from screens.widgets.modals import ErrorModal

        self.push_screen(ErrorModal(error))

    def _handle_exception(self, error: Exception) -> None:
        """A fault of ours ends the window in order; who ran it says so in one line."""
        if self.is_headless:
            super()._handle_exception(error)
        elif self.fault is None:
            self.fault = error
            self.exit(return_code=1)

    async def run_action(self, *arguments: Any, **named: Any) -> bool:
        try:
            return await super().run_action(*arguments, **named)
        except WorkbenchError as error:
            self.show_error(error)
            return True

    async def action_go(self, room: str) -> None:
        """Show a room; a modal over the one shown now stays there."""
        if not self._screen_stacks.get(room):
            self._stays()
        await self.switch_mode(room)
        self.look_at_runs()

    def action_help(self) -> None:
        """The keys of the room that is shown."""
        from screens.widgets.help import HelpScreen

        room = self.screen
        if isinstance(room, Room):
            label = dict(ROOMS)[room.ROOM]
            self.push_screen(HelpScreen(label, room.TITLE_WORDS, room_actions(room.ROOM)))

    def action_leave(self) -> None:
        """Leave at the second press."""
        now = time.monotonic()
        if now - self._asked_to_leave < AGAIN_WITHIN:
            self.exit()
            return
        self._asked_to_leave = now
        words = ["Press ctrl+c again to leave. Runs go on without the window.", *self._partings()]
        self.notify("\n".join(words), timeout=AGAIN_WITHIN, markup=False)

    def _partings(self) -> list[str]:
        """What the rooms have to say to a person who leaves."""
        return [room.parting for room in self._rooms() if room.parting]

    def _rooms(self) -> list[Room]:
        """The rooms that were visited."""
        bottoms = (stack[0] for stack in self._screen_stacks.values() if stack)
        return [room for room in bottoms if isinstance(room, Room)]

    def exit(self, *arguments: Any, **named: Any) -> None:
        """Leave; what is kept for the next time is said on the terminal."""
        super().exit(*arguments, **named)
        self.farewell = self._partings()


def run(workspace: Path | None = None, file: Path | None = None) -> int:
    """Show the application until it is left; the exit code.

    Args:
        workspace: folder to use instead of the one that is found.
        file: a dataset to open at once.
    Raises:
        Exception: a fault of ours ended the window; the terminal is in order again.
    """
    gc.disable()  # until the first room is painted
    app = WorkbenchApp(find_workspace(workspace), str(file) if file is not None else None)
    app.run()
    if app.fault is not None:
        raise app.fault
    for words in app.farewell:
        print(words)  # noqa: T201 - the terminal is the shell's again
    return app.return_code or 0
