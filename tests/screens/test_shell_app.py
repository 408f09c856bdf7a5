"""The shell: tabs, help, palette, errors, leaving, and what it must not import."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from functools import partial
from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser
from textual.events import Key

from screens.actions import LETTERS, ROOMS
from screens.base import Room
from screens.chat.prompt import Prompt
from screens.clipboard import LIMIT, copy, sequence
from screens.widgets.help import HelpScreen
from screens.widgets.modals import ErrorModal
from store.errors import BadInput
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from workbench import app as front

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "llama_cpp", "bitsandbytes")


def test_the_interface_imports_nothing_heavy() -> None:
    rooms = ", ".join(f"screens.{room}.screen" for room, _ in ROOMS)
    script = f"import sys, workbench.app, screens.palette, {rooms}\n" + (
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_rooms_are_imported_when_they_are_visited() -> None:
    script = "import sys, workbench.app; print([m for m in sys.modules if m.endswith('.screen')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    found = [name for name in eval(done.stdout) if name.startswith("screens.")]  # noqa: S307
    assert found == []


async def test_keys_and_clicks_go_to_the_rooms(make_app: MakeApp) -> None:
    app = make_app()

    def shows(room: str) -> bool:
        return app.current_mode == room

    async with app.run_test(size=WIDE) as pilot:
        for place, (room, _) in enumerate(ROOMS, 1):
            app.screen.set_focus(None)
            await pilot.press(str(place))
            await until(pilot, partial(shows, room))
            assert isinstance(app.screen, Room)
        for (room, _), letter in zip(ROOMS, LETTERS, strict=True):
            parser = XTermParser()
            (typed,) = (*parser.feed(f"\x1b{letter}"), *parser.feed(""))  # as a terminal sends it
            assert isinstance(typed, Key)
            assert typed.key == f"alt+{letter}"
            app.post_message(typed)
            await until(pilot, partial(shows, room))
        await app.action_go("chat")
        app.screen.query_one(Prompt).focus()
        await pilot.press("1", "x")
        assert app.screen.query_one(Prompt).text == "1x"
        app.post_message(Key("alt+r", "r"))
        await until(pilot, partial(shows, "runs"))
        await app.action_go("chat")
        width = app.size.width
        await pilot.click("StatusLine", offset=(width - 4, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await pilot.click("TopLine", offset=(3, 0))
        await until(pilot, lambda: app.current_mode == "data")


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_first_screen_help_and_palette(
    make_app: MakeApp, name: str, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        check_golden(f"first-{name}", dump(app))
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        check_golden(f"help-{name}", dump(app))
        await pilot.press("escape", "ctrl+p")
        await pilot.press(*"chat new")
        await until(pilot, lambda: "Chat: new chat" in dump(app))


async def test_the_palette_goes_to_the_room_of_an_action(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+p", *"chat settings")
        await until(pilot, lambda: "Chat: settings" in dump(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and "system prompt" in dump(app))


async def test_an_error_is_one_modal_that_says_what_to_do(make_app: MakeApp) -> None:
    app = make_app(Path("/nowhere/[/x].jsonl"))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "/nowhere/[/x].jsonl" in dump(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Room)
        app.show_error(BadInput("line 3: expected a list [of] turns", "Repair line 3."))
        await pilot.pause()
        check_golden("error-narrow", dump(app))


async def test_leaving_takes_two_presses(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "AGAIN_WITHIN", 600.0)  # a busy machine takes its time between them
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("3")
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.is_running
        await pilot.press("ctrl+c")
        await until(pilot, lambda: app._exit)


def test_clipboard_reaches_through_multiplexers() -> None:
    assert sequence("hi", {}) == "\x1b]52;c;aGk=\x07"
    assert "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\" in sequence("hi", {"TMUX": "1"})
    assert sequence("hi", {"TERM": "screen-256color"}).startswith("\x1bP\x1b]52")


async def test_what_is_too_long_to_copy_is_said(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test():
        assert "Not copied" in copy(app, "x" * (LIMIT + 1))
        assert copy(app, "héllo").startswith("Copied 5 characters")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_the_terminal(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import sys; from pathlib import Path; from workbench.app import run; "
        f"sys.exit(run(Path({str(tmp_path / 'ws')!r})))"
    )
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    seen = _read_until(leader, b"No dataset is open")
    os.kill(process.pid, number)
    seen += _read_until(leader, b"\x1b[?1049l")
    assert process.wait(timeout=60) == 0
    seen += _drain(leader)
    assert seen.rfind(b"\x1b[?1049l") > seen.rfind(b"\x1b[?1049h")
    assert seen.rfind(b"\x1b[?1000l") > seen.rfind(b"\x1b[?1000h")
    assert b"Traceback" not in seen
    assert termios.tcgetattr(follower)[3] == before[3]
    os.close(leader)
    os.close(follower)


def _read_until(leader: int, wanted: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + 60
    while wanted not in seen:
        assert time.monotonic() < deadline, seen[-2000:]
        if select.select([leader], [], [], 1)[0]:
            seen += os.read(leader, 65536)
    return seen


def _drain(leader: int) -> bytes:
    seen = b""
    while select.select([leader], [], [], 0)[0]:
        seen += os.read(leader, 65536)
    return seen
