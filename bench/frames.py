"""What a frame and a key cost in the Data room's list, against an empty Textual application's.

A frame is three lines scrolled and painted, in CPU time of the interface's own thread; a key is
`j`, by the clock until the cursor is painted where it goes. The median of each; each round is a
fresh process; the best of several. Given a path, that file is used instead of a generated one.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.strip import Strip

ROUNDS = 2
FRAMES = 60
ROWS = 30_000
SIZE = (140, 45)


def main() -> None:
    """Print milliseconds and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(sys.argv[1]) if len(sys.argv) > 1 else written(Path(folder) / "rows.jsonl")
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            for kind in ("empty", "idle", "busy"):
                command = [sys.executable, "-m", "bench.frames", "--measure", kind, str(file)]
                command.append(tempfile.mkdtemp(dir=folder))
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found.setdefault(kind, []).append(tuple(json.loads(done.stdout.splitlines()[-1])))
    best = {
        kind: [min(column) for column in zip(*rows, strict=True)] for kind, rows in found.items()
    }
    words = {"empty": "empty Textual app", "idle": "list of rows",
             "busy": "list, while an index and a search run"}  # fmt: skip
    print(f"{'':<40}{'frame':>9}{'':>8}{'key':>9}")
    for kind, (frame, key) in best.items():
        ratios = [value / base for value, base in zip((frame, key), best["empty"], strict=True)]
        print(
            f"{words[kind]:<40}{frame * 1e3:6.2f} ms {ratios[0]:5.2f}x {key * 1e3:6.2f} ms "
            f"{ratios[1]:5.2f}x  {'aim: under 2' if kind != 'empty' else ''}".rstrip()
        )


def written(path: Path) -> Path:
    """A file of chat rows."""
    words = " ".join(f"word{n % 97}" for n in range(120))
    with path.open("w") as out:
        for n in range(ROWS):
            turns = [{"role": "user", "content": f"{n} {words}"},
                     {"role": "assistant", "content": words}]  # fmt: skip
            out.write(json.dumps({"messages": turns}) + "\n")
    return path


async def measured(kind: str, file: Path, folder: Path) -> tuple[float, float]:
    """(seconds a frame, seconds a key)."""
    from textual.app import App, ComposeResult
    from textual.geometry import Size
    from textual.scroll_view import ScrollView
    from textual.strip import Strip

    class Lines(ScrollView, can_focus=True):
        """The least that scrolls."""

        BINDINGS = [("j", "next", "")]  # noqa: RUF012

        def on_mount(self) -> None:
            self.virtual_size = Size(SIZE[0], ROWS)

        def action_next(self) -> None:
            self.scroll_to(y=self.scroll_y + 1, animate=False, immediate=True)

        def render_line(self, y: int) -> Strip:
            from rich.segment import Segment

            return Strip([Segment(f"line {y + self.scroll_offset.y}".ljust(SIZE[0] - 2))])

    class Empty(App[None]):
        """An application with nothing in it but lines."""

        def compose(self) -> ComposeResult:
            yield Lines()

    if kind == "empty":
        empty = Empty()
        async with empty.run_test(size=SIZE) as pilot:
            empty.query_one(Lines).focus()
            await pilot.pause()
            lines = empty.query_one(Lines)
            return await _scrolled(pilot, lines), await _pressed(pilot, lines)
    from screens.data.screen import DataRoom
    from store.workspace import Workspace
    from workbench.app import WorkbenchApp

    app = WorkbenchApp(Workspace(folder), str(file))
    async with app.run_test(size=SIZE) as pilot:
        room = app.screen
        assert isinstance(room, DataRoom)
        until = time.monotonic() + 120
        while room.document is None or not (room.document.complete and room.rows.counts):
            await pilot.pause(0.05)
            if time.monotonic() > until:
                raise TimeoutError("the list was not filled")
        if kind == "busy":
            _keep_busy(room)
            await pilot.pause(0.2)
        return await _scrolled(pilot, room.rows), await _pressed(pilot, room.rows)


def _keep_busy(room: object) -> None:
    """An index of the file, over and over, and a search that never ends."""
    import threading

    from engine.data.background.client import Search
    from engine.data.file.index import RowIndex
    from screens.data.screen import DataRoom

    assert isinstance(room, DataRoom)
    path = room.open_document.path

    def index() -> None:
        while True:
            again = RowIndex.open(path)
            while not again.grow(seconds=0.1):
                pass
            again.close()

    def search() -> None:
        room.scan("find", Search("no such words"), lambda _: None, "searching")

    threading.Thread(target=index, daemon=True).start()
    search()
    room.set_interval(1.0, lambda: None if room.is_scanning("find") else search())


async def _scrolled(pilot: object, lines: object) -> float:
    """CPU seconds of the interface's thread to scroll by three lines and paint, the median."""
    from textual.pilot import Pilot
    from textual.scroll_view import ScrollView

    assert isinstance(pilot, Pilot) and isinstance(lines, ScrollView)
    found = []
    for place in range(FRAMES):
        painted = asyncio.Event()
        before = _thread()
        lines.scroll_to(y=place * 3, animate=False, immediate=True)
        lines.call_after_refresh(painted.set)
        await painted.wait()
        found.append(_thread() - before)
        await asyncio.sleep(0.02)
    return median(found)


async def _pressed(pilot: object, lines: object) -> float:
    """Seconds by the clock from a key to the frame that shows what it did, the median.

    By the clock: what a search or an index takes from the interface is part of it.
    """
    from textual import events
    from textual.pilot import Pilot
    from textual.scroll_view import ScrollView

    assert isinstance(pilot, Pilot) and isinstance(lines, ScrollView)
    painted = asyncio.Event()
    paint = lines.render_line

    def told(y: int) -> Strip:
        painted.set()
        return paint(y)

    lines.render_line = told  # type: ignore[method-assign]
    found = []
    for _ in range(FRAMES):
        painted.clear()
        before = time.perf_counter()
        pilot.app.post_message(events.Key("j", "j"))
        await painted.wait()
        found.append(time.perf_counter() - before)
        await asyncio.sleep(0.05)
    return median(found)


def _thread() -> float:
    """CPU seconds of the interface's thread."""
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        asked, where, space = sys.argv[2:5]
        figures = asyncio.run(measured(asked, Path(where), Path(space)))
        print(json.dumps(figures), flush=True)
        os._exit(0)
    main()
