"""From a step to the screen, and from a key to the screen, while training has every core.

A real run of the starter in its own process on all cores, the real application in a
pseudo-terminal of 140 x 45, and this process, which notes when each step was committed (the run
database's heartbeat) and when its number left the application for the terminal. Keys are sent
meanwhile and once more after the run has stopped.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.train import client
from engine.train import recipe as recipes
from store.catalogue import Catalogue
from store.rundb import RunReader
from store.workspace import Workspace

SECONDS = 25.0
KEY_EVERY = 0.37
ROWS, COLUMNS = 45, 140
_STEP = re.compile(rb"step ([\d,]+)/")
_HEADER = re.compile(rb"loss(.{0,80}?)average", re.DOTALL)


@dataclass
class Terminal:
    """The application at the other end of a pseudo-terminal, and what it wrote when."""

    handle: int
    process: subprocess.Popen[bytes]
    shown: list[tuple[float, int]] = field(default_factory=list)
    scales: list[tuple[float, bool]] = field(default_factory=list)
    tail: bytes = b""
    said: bytes = b""

    @classmethod
    def open(cls, workspace: Path, command: Sequence[str] = ()) -> Terminal:
        """Start the application, or what Python is to run instead."""
        handle, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command = [
            sys.executable,
            *(command or ("-m", "workbench", "--workspace", str(workspace))),
        ]
        environment = {**os.environ, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        return cls(handle, process)

    def press(self, key: bytes) -> None:
        """Send a key."""
        os.write(self.handle, key)

    def read(self, until: float) -> None:
        """Take in what is written up to a moment of the monotonic clock's sibling, Unix time."""
        while (left := until - time.time()) > 0:
            ready, _, _ = select.select([self.handle], [], [], left)
            if not ready:
                return
            chunk = os.read(self.handle, 1 << 16)
            now = time.time()
            seen = self.tail + chunk
            self.said = (self.said + chunk)[-(1 << 18) :]
            for match in _STEP.finditer(seen):
                self.shown.append((now, int(match.group(1).replace(b",", b""))))
            for match in _HEADER.finditer(seen):
                self.scales.append((now, b"log" in match.group(1)))
            self.tail = chunk[-120:] if not _HEADER.search(chunk[-120:]) else b""

    def until(self, happened: Callable[[], bool]) -> None:
        """Read until something has happened."""
        end = time.time() + 60
        while not happened():
            if time.time() > end:
                raise TimeoutError(f"the application said only {self.said[-2000:]!r}")
            self.read(time.time() + 0.1)

    def close(self) -> None:
        """End the application; runs go on without it."""
        self.process.terminate()
        end = time.time() + 10
        while self.process.poll() is None and time.time() < end:
            with suppress(OSError):  # what it still writes must be taken, else it waits for us
                self.read(time.time() + 0.05)
        self.process.wait(1)
        os.close(self.handle)


def main() -> None:
    """Print delays, latencies and what watching costs."""
    with tempfile.TemporaryDirectory(prefix="bench-delay-") as folder:
        workspace = Workspace(Path(folder)).create()
        with Catalogue.open(workspace) as cat:
            run = start(cat)
            database = workspace.run_dir(run) / "run.db"
            try:
                measure(cat, run, database, workspace)
            finally:
                if client.refresh(cat, run).status in client.LIVE:
                    client.stop(cat, run)
                    wait(lambda: client.refresh(cat, run).status not in client.LIVE)


def measure(cat: Catalogue, run: int, database: Path, workspace: Workspace) -> None:
    """The whole of it, with a run that trains."""
    wait(lambda: committed(database)[0] >= 3)
    alone = rate(database, 8.0)
    terminal = Terminal.open(workspace.root)
    try:
        terminal.until(lambda: b"Train" in terminal.said)
        terminal.press(b"2")
        terminal.until(lambda: bool(terminal.shown))
        terminal.read(time.time() + 2.0)
        commits, keys = watch(terminal, database)
        client.stop(cat, run)
        wait(lambda: client.refresh(cat, run).status not in client.LIVE)
        terminal.read(time.time() + 3.0)
        idle: list[float] = []
        end = time.time() + 8.0
        while time.time() < end:
            idle.append(pressed(terminal))
    finally:
        terminal.close()
    delays = delays_of(commits, terminal.shown)
    steps = sorted(commits)
    watched = (steps[-1] - steps[0]) / (commits[steps[-1]] - commits[steps[0]])
    show("step to screen", delays, "aim: median under 300 ms")
    show("key to screen, training", [key for key in keys if key >= 0], "aim: 95 % under 50 ms")
    show("key to screen, nothing runs", [key for key in idle if key >= 0], "")
    lost = sum(key < 0 for key in keys)
    print(f"  {'keys unanswered within 2 s':<30}{lost:>8} of {len(keys)}")
    drawn = len({step for _, step in terminal.shown} & commits.keys())
    print(f"  {'steps drawn, of steps made':<30}{drawn:>8} of {len(steps)}")
    print(f"  {'steps a second, watched':<30}{watched:>8.2f}  alone {alone:.2f}  "
          f"ratio {watched / alone:.3f}")  # fmt: skip


def start(cat: Catalogue) -> int:
    """A run of the starter on every core, longer than the bench."""
    import assets

    sets = ["max_steps=20000", f"threads={os.cpu_count() or 1}", "max_length=256",
            "per_device_train_batch_size=8", "eval_steps=40", "save_steps=200"]  # fmt: skip
    recipe = recipes.with_sets(recipes.load("quick"), sets)
    data = next(iter(sorted(assets.path("datasets").glob("habit.jsonl"))))
    return client.start(cat, data, "starter", recipe).id


def committed(database: Path) -> tuple[int, float]:
    """The newest step and when it was committed."""
    with RunReader.open(database) as reader:
        state = reader.state()
    return (state.step, state.heartbeat) if state is not None else (0, 0.0)


def rate(database: Path, seconds: float) -> float:
    """Steps a second with nobody watching."""
    before, begun = committed(database)
    time.sleep(seconds)
    after, ended = committed(database)
    return (after - before) / max(ended - begun, 1e-9)


def watch(terminal: Terminal, database: Path) -> tuple[dict[int, float], list[float]]:
    """When each step was committed, and how long each key took, for a while."""
    import threading

    commits: dict[int, float] = {}
    done = threading.Event()

    def poll() -> None:
        with RunReader.open(database) as reader:
            while not done.wait(0.01):
                state = reader.state()
                if state is not None:
                    commits.setdefault(state.step, state.heartbeat)

    thread = threading.Thread(target=poll)
    thread.start()
    keys = []
    end = time.time() + SECONDS
    while time.time() < end:
        keys.append(pressed(terminal))
    done.set()
    thread.join()
    first = min(commits)
    del commits[first]  # Committed before the poll began, perhaps long before.
    return commits, keys


def pressed(terminal: Terminal) -> float:
    """Seconds from a `y` to the header that says the other scale; -1 where none came."""
    before = terminal.scales[-1][1] if terminal.scales else False
    sent = time.time()
    terminal.press(b"y")
    while time.time() - sent < 2.0:
        terminal.read(time.time() + 0.005)
        new = [when for when, scale in terminal.scales if when >= sent and scale != before]
        if new:
            terminal.read(sent + KEY_EVERY)
            return new[0] - sent
    return -1.0


def delays_of(commits: dict[int, float], shown: Sequence[tuple[float, int]]) -> list[float]:
    """For each step: from its commit until it, or a later one, was on its way to the terminal."""
    found = []
    for step, when in commits.items():
        seen = next((at for at, number in shown if number >= step and at >= when), None)
        if seen is not None:
            found.append(seen - when)
    return found


def show(what: str, seconds: Sequence[float], aim: str) -> None:
    """Median, 95th percentile and worst."""
    if len(seconds) < 3:
        print(f"  {what:<30}too few to tell ({len(seconds)})")
        return
    ordered = sorted(seconds)
    high = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
    print(f"  {what:<30}{statistics.median(ordered) * 1e3:>8.1f} ms median"
          f"{high * 1e3:>9.1f} ms at 95 %{ordered[-1] * 1e3:>9.1f} ms worst"
          f"   n {len(ordered)}   {aim}".rstrip())  # fmt: skip


def wait(happened: Callable[[], bool]) -> None:
    """Until a run has come so far."""
    end = time.time() + 120
    while not happened():
        if time.time() > end:
            raise TimeoutError("the run did not come so far")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
