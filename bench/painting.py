"""From enter to the first painted token, and keys while a thousand tokens a second are painted.

The real application in a pseudo-terminal of 140 x 45. For the first token: the starter and a
random Llama of half a billion weights in bfloat16, asked again and again in new chats, against the
time that its worker says it took; once with a short question and once with a long one. For the
keys: the real Chat room with four columns, into which a thread feeds a stream as a session would;
every key is a letter that was never on screen before, and is answered when it leaves for the
terminal. Beside wall time stands what does not depend on who else uses the machine: the
application's own CPU time from enter to the paint, and keys without the time that the application
waited for a core.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import made
from bench.ab import HALF_A_BILLION
from bench.delay import Terminal, show
from engine.chat.client import ChatSession, Sampling, free_device
from engine.chat.protocol import Delta, Done, Event
from engine.data.rows import Turn
from store import chats
from store.catalogue import Catalogue
from store.workspace import Workspace

QUESTIONS = [f"What colour is the {thing}?" for thing in ("fox", *made.WORDS[:60])]
LONG, LONGER = 40, 10
LETTERS = "ЖДЛФЦЧШЩЪЫЭЮЯбвгджзийклмнптцчшщъыьэюяΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπρστφχψω"
EACH = 250
"""Tokens a second and column."""
TICK = 0.02
WORDS = ("The **island** is a quiet place, and `ferry --back` leaves at seven.\n"
         "- one *goat*, two boats\n- a lamp\n\n```sh\nls -l /harbour | wc -l\n```\n\n"
         "Everybody who lives there knows every other by name, and the baker too. ")  # fmt: skip


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(prog="python -m bench.painting")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--room", help=argparse.SUPPRESS)
    parser.add_argument("--ref", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.room:
        _room(Workspace(Path(given.room)), given.ref)
        return
    with tempfile.TemporaryDirectory(prefix="bench-painting-") as folder:
        workspace = Workspace(Path(folder)).create()
        big = made.llama(Path(folder) / "500M", HALF_A_BILLION)
        for ref, rounds, lines in (
            ("starter", given.rounds, 1), ("starter", given.rounds, LONG),
            (str(big), max(given.rounds // 3, 3), 1), (str(big), max(given.rounds // 5, 3), LONGER),
        ):  # fmt: skip
            first(workspace, ref, rounds, lines)
        free_device(workspace)  # the worker of the questions would stay for a while
        keys(workspace, given.seconds)


def first(workspace: Workspace, ref: str, rounds: int, lines: int) -> None:
    """Enter to the first painted token, beside the worker's own time."""
    question, opening = _opening(workspace, ref, lines)
    command = ["-m", "bench.painting", "--room", str(workspace.root), "--ref", ref]
    terminal = Terminal.open(workspace.root, command)
    painted = []
    try:
        terminal.until(lambda: b"sk something" in terminal.said)
        for _ in range(rounds + 1):
            _quiet(terminal, 0.3)
            terminal.press(b"\x1b[200~" + question + b"\x1b[201~")
            _quiet(terminal, 0.3)
            painted.append(_answered(terminal, b"\r", opening, 120.0))
            terminal.press(b"\x1b")  # the first token is enough
            terminal.until(lambda: b" end" in terminal.said or b"stopped" in terminal.said)
            terminal.press(b"\x0e")  # ctrl+n
    finally:
        terminal.close()
    with Catalogue.open(workspace) as cat:
        told = [
            turn.first_token_seconds or 0.0
            for chat in chats.all(cat)[: rounds + 1]
            for turn in chats.turns(cat, chat.id)
            if turn.role == "assistant"
        ][::-1]
    took, used, _ = zip(*painted[1:], strict=True)
    ratios = [ours / worker for ours, worker in zip(took, told[1:], strict=True)]
    name = "the starter" if ref == "starter" else "a random Llama of 500M"
    print(f"first token: {name}, a question of {lines} lines, {rounds} times after a first one")
    show("enter to paint", took, "")
    show("worker's own time", told[1:], "")
    added = [ours - worker for ours, worker in zip(took, told[1:], strict=True)]
    show("what the rest adds", added, "")
    show("CPU time of the application", used, "")
    print(f"  {'ratio':<30}{statistics.median(ratios):>8.2f} x median   aim: under 1.2", flush=True)


def _opening(workspace: Workspace, ref: str, lines: int) -> tuple[bytes, bytes]:
    """A question whose answer begins with letters, and these; its worker stays."""
    with (
        Catalogue.open(workspace) as cat,
        ChatSession.open(cat, [ref], keep=True) as session,
    ):
        for question in QUESTIONS:
            asked = question * lines
            for event in session.ask([Turn("user", asked)], Sampling(max_tokens=1)):
                said = event.text.strip() if isinstance(event, Done) else ""
                if len(said) > 2 and said.isascii() and said.isalpha() and said not in asked:
                    return asked.encode(), said.encode()
    raise ValueError(f"{ref}: no answer begins with a word")


def _quiet(terminal: Terminal, seconds: float) -> None:
    terminal.read(time.time() + seconds)
    while terminal.said != (before := terminal.said) or not before:
        terminal.read(time.time() + seconds)


def _answered(
    terminal: Terminal, key: bytes, sign: bytes, patience: float
) -> tuple[float, float, float]:
    """Seconds from a key to a sign on the screen; of them on a core, and waiting for one."""
    terminal.said, sent, before = b"", time.time(), _cores(terminal)
    terminal.press(key)
    while sign not in terminal.said:
        terminal.read(time.time() + 0.0005)
        if time.time() - sent > patience:
            raise TimeoutError(f"no answer: {terminal.said[-2000:]!r}")
    used, waited = (now - then for now, then in zip(_cores(terminal), before, strict=True))
    return time.time() - sent, used, waited


def _cores(terminal: Terminal) -> tuple[float, float]:
    """Seconds that the application's first thread has run, and has been ready and did not."""
    pid = terminal.process.pid
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def keys(workspace: Workspace, seconds: float) -> None:
    """Key to screen while four columns are written."""
    command = ["-m", "bench.painting", "--room", str(workspace.root)]
    terminal = Terminal.open(workspace.root, command)
    found: list[tuple[float, float, float]] = []
    try:
        terminal.until(lambda: b"sealed" in terminal.said)
        app = psutil.Process(terminal.process.pid)
        terminal.read(time.time() + 1.0)
        begun, used = time.time(), sum(app.cpu_times()[:2])
        for letter in LETTERS:
            if time.time() - begun > seconds:
                break
            sent = time.time()
            found.append(_answered(terminal, letter.encode(), letter.encode(), 10.0))
            terminal.read(sent + 0.23)
        share = (sum(app.cpu_times()[:2]) - used) / (time.time() - begun)
    finally:
        terminal.close()
    print(f"keys while {4 * EACH:,} tokens a second are painted in four columns")
    show("key to screen", [took for took, _, _ in found], "")
    show("without waiting for a core", [took - waited for took, _, waited in found],
         "aim: under 50 ms")  # fmt: skip
    show("CPU time of the application", [used for _, used, _ in found], "")
    print(f"  {'cores that painting takes':<30}{share:>8.2f}")


def _room(workspace: Workspace, ref: str | None) -> None:
    """The application with a model in its column, or with four that are written without end."""
    from workbench.app import WorkbenchApp  # isort: skip  # first, as at a real start

    from screens.chat.screen import ChatRoom
    from screens.chat.stream import pump

    class Fed(WorkbenchApp):
        async def on_ready(self) -> None:
            await self.run_action("go('chat')")
            self.call_later(self.fill)

        async def fill(self) -> None:
            room = self.screen
            if not isinstance(room, ChatRoom) or not room.is_mounted or not room.columns:
                self.call_later(self.fill)
                return
            if ref is not None:
                room.columns[0].set_model(ref)
                room.focus_on(room.prompt)
                return
            while len(room.columns) < 4:
                await room.add_column("starter")
            for column in room.columns:
                column.seal = True
                column.begin("Tell me everything about the island.")
                column.retitle()
            room.focus_on(room.prompt)
            feed = threading.Thread(target=pump, args=(_stream(), room.post_message), daemon=True)
            feed.start()

    Fed(workspace).run()


def _stream() -> Iterator[Event]:
    """Four answers at their pace; a new word is a token."""
    words = itertools.cycle(WORDS.split(" "))
    begun, said = time.monotonic(), 0
    while said < 4 * EACH * 120:
        while said < (time.monotonic() - begun) * 4 * EACH:
            word = next(words) + " "
            for column in range(4):
                yield Delta(1, column, word)
            said += 4
        time.sleep(TICK)
    for column in range(4):
        yield Done(1, column, "starter", "", [], 0, 1.0, 1.0, "length")


if __name__ == "__main__":
    main()
