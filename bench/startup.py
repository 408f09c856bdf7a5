"""How long a person waits: for `--help`, and for the first frame that can be used.

Every figure is a whole process from `exec` on, in a terminal of its own where there is one; the
best of several alternating rounds, so that ratios hold on a busy machine.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

import assets

ROUNDS = 9
EMPTY_APP = "from textual.app import App; App().run()"
LAST_LINE = b"\x1b[40;1H"
"""Where the cursor goes to paint the last of forty lines: the frame is whole."""
MODULES = """
import sys
sys.argv = ["workbench", "--help"]
from workbench.cli import main
try:
    main()
except SystemExit:
    pass
wanted = ("textual", "torch", "transformers", "sqlite_utils", "llama_cpp")
print("|".join(name for name in wanted if name in sys.modules), file=sys.stderr)
"""


def seconds_of(command: list[str]) -> float:
    """Wall time of a command that ends by itself."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def seconds_to(words: bytes, command: list[str]) -> float:
    """Wall time from starting a full-screen program until it has written `words`."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    try:
        while words not in seen:
            if not select.select([leader], [], [], 60)[0]:
                raise TimeoutError(f"no {words!r} from {command}: {seen[-500:]!r}")
            seen += os.read(leader, 65536)
        return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def best(measures: list[Callable[[], float]]) -> list[float]:
    """The best of several rounds of each; the rounds alternate."""
    rounds = [[measure() for measure in measures] for _ in range(ROUNDS)]
    return [min(figures) for figures in zip(*rounds, strict=True)]


def main() -> None:
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        app = [python, "-m", "workbench", "--workspace", str(Path(folder) / "ws")]
        data = str(assets.path("datasets", "habit.jsonl"))
        bare, helped = best(
            [
                lambda: seconds_of([python, "-c", "pass"]),
                lambda: seconds_of([python, "-m", "workbench", "--help"]),
            ]
        )
        done = subprocess.run([python, "-c", MODULES], capture_output=True, text=True, check=True)
        imported = done.stderr.strip().splitlines()[-1:] or [""]
        empty, first, rows = best(
            [
                lambda: seconds_to(LAST_LINE, [python, "-c", EMPTY_APP]),
                lambda: seconds_to(b"No dataset is open", app),
                lambda: seconds_to(b"habit.jsonl", [*app, "--open", data]),
            ]
        )
    say("bare Python", bare, bare)
    say("workbench --help", helped, bare, "aim: under 6")
    print(f"  heavy modules imported by it: {imported[0] or 'none'}")
    say("empty Textual app, first frame", empty, empty)
    say("workbench, first usable frame", first, empty, "aim: under 3")
    say("workbench --open, rows on screen", rows, empty)


def say(what: str, seconds: float, against: float, aim: str = "") -> None:
    """One line: what, milliseconds, ratio."""
    print(f"{what:<34}{seconds * 1e3:6.0f} ms {seconds / against:6.2f}x  {aim}".rstrip())


if __name__ == "__main__":
    main()
