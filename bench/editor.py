"""What a key costs while a row is edited, against a key in the text area of an empty application.

CPU time a key, frame included, in a fresh process each. Keys come one by one at a typist's pace,
so that nothing coalesces. Prints ratios; asserts nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import TextArea

KEYS = 150
PACE = 0.03
"""Seconds between keys: longer than a frame."""
_WORDS = "the model answers in one short sentence and then it stops "
CASES = {
    "empty": "empty Textual app, TextArea",
    "turn": "a turn of a short row",
    "tokens": "the same, tokens shown live",
    "line": "a turn of 1 MB in one line",
    "lines": "a turn of 1 MB in 20,000 lines",
    "json": "a row of 100 kB as JSON",
}
AIM = "aim: under 2"


class Empty(App[None]):
    """Nothing but a text area."""

    def compose(self) -> ComposeResult:
        area = TextArea(_WORDS)
        area.cursor_blink = False
        yield area


async def keys(app: App[None]) -> float:
    """CPU seconds of one key, over many."""
    text = "hello world, this is typed by hand. " * (KEYS // 36 + 1)

    async def press(character: str) -> None:
        name = {" ": "space", ",": "comma", ".": "full_stop"}.get(character, character)
        app.post_message(events.Key(name, character))
        await asyncio.sleep(PACE)

    for character in text[:20]:
        await press(character)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for character in text[:KEYS]:
        await press(character)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return used / KEYS


async def settled(ready: Callable[[], bool]) -> None:
    """Wait until something is on screen."""
    async with asyncio.timeout(60):
        while not ready():
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)


async def measure_empty() -> float:
    app = Empty()
    async with app.run_test(size=(140, 45)):
        app.query_one(TextArea).focus()
        await settled(lambda: True)
        return await keys(app)


async def measure_room(case: str, folder: Path) -> float:
    from screens.data.screen import DataRoom
    from store.workspace import Workspace
    from workbench.app import WorkbenchApp

    answer = {"line": _WORDS * 17_500, "lines": (_WORDS[:49] + "\n") * 20_000}
    turns = [
        {"role": "user", "content": "Say it."},
        {"role": "assistant", "content": answer.get(case, _WORDS)},
    ]
    row = {"messages": turns * (700 if case == "json" else 1)}
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    app = WorkbenchApp(Workspace(folder / "ws").create(), str(file))
    async with app.run_test(size=(140, 45)):

        def room() -> DataRoom | None:
            return app.screen if isinstance(app.screen, DataRoom) else None

        await settled(lambda: (r := room()) is not None and r.renderer is not None)
        found = room()
        assert found is not None
        if case == "tokens":
            found.action_tokens()
        if case == "json":
            found.action_edit_json()
        else:
            found.action_edit()
        await settled(lambda: found.seen_under_pen is not None)  # what came first is rendered
        return await keys(app)


def measure(case: str) -> float:
    """One case, in this process."""
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    if case == "empty":
        return asyncio.run(measure_empty())
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure_room(case, Path(folder)))


def main() -> None:
    found: dict[str, float] = {}
    for case, words in CASES.items():
        command = [sys.executable, "-m", "bench.editor", "--measure", case]
        home = Path(__file__).parents[1]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home)
        found[case] = float(done.stdout.split()[-1])
        ratio = found[case] / found["empty"]
        aim = "" if case == "empty" else AIM
        print(f"{words:<34}{found[case] * 1e3:7.2f} ms a key {ratio:6.2f}x  {aim}".rstrip())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(measure(sys.argv[2]))
    else:
        main()
