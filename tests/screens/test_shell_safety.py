"""Text from data and models can neither colour, move, click, retitle nor crash the interface."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from engine.chat.protocol import Done
from screens import safe
from screens.actions import ROOMS
from screens.chat.screen import ChatRoom
from screens.chat.stream import Streamed, Told
from screens.data.screen import DataRoom
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, dump, strips, until

HOSTILE = {
    "closing tag": "[/foo] and [/] here",
    "action link": "[@click=app.quit]click me[/]",
    "colour tag": "[red on blue]loud[/red on blue]",
    "osc 52": "\x1b]52;c;cm0gLXJm\x07stolen",
    "osc 0 title": "\x1b]0;owned\x1b\\title",
    "clear": "\x1b[2J\x1b[Hcleared",
    "c1": "\x9b31mred\x9d0;x\x9c",
    "bidi": "safe \u202egnp.exe\u202c \u2066x\u2069",
    "nul and bell": "nul\x00bell\x07back\x08\x7f",
    "separators": "line\u2028para\u2029next\x85end\x0b\x0c",
    "wide": "日本語テキスト 👩‍👩‍👧 ﷽ é́́",
    "lone surrogate": "\ud800",
    "long line": "x" * 200_000,
}
ROOT = Path(__file__).parents[2]
SGR = re.compile(r"\x1b\[[\d;]*m")


def rendered(app: object) -> str:
    """What would be sent to the terminal, without colours."""
    console = Console(force_terminal=True, color_system="truecolor", legacy_windows=False)
    lines = [strip.render(console) for strip in strips(app)]  # type: ignore[arg-type]
    return SGR.sub("", "\n".join(lines))


def assert_harmless(sent: str) -> None:
    bad = [char for char in sent if safe.visible(char) != char and char != "\n"]
    assert not bad, f"reached the terminal: {sorted(set(map(ascii, bad)))}"


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_text_is_one_harmless_content(payload: str) -> None:
    content = safe.text(payload, "$accent")
    assert_harmless(content.plain)
    assert len(content.plain) < safe.LIMIT + 100
    assert "\n" not in safe.line(payload).plain


def test_control_characters_are_seen_as_signs() -> None:
    assert safe.visible("a\x1b[2J\n\x7f\x9b\u202e") == "a␛[2J␊␡\ufffd\ufffd"
    assert safe.visible_lines("a\tb\nc\x00") == "a    b\nc␀"
    assert safe.text("y" * (safe.LIMIT + 5)).plain.endswith("5 more characters not shown")


def test_the_last_step_before_the_terminal_is_guarded_and_keeps_the_width() -> None:
    safe.install()
    strip = Strip([Segment("ab\x1b]52;c;eA==\x07cd")])
    sent = strip.render(Console(color_system="truecolor"))
    assert_harmless(sent)
    assert len(sent) == strip.cell_length


@pytest.fixture
def hostile_file(tmp_path: Path) -> Path:
    """Every payload as role text, as the first words, as a bad row and as plain bytes."""
    lines = []
    for payload in HOSTILE.values():
        turns = [
            {"role": "system", "content": payload},
            {"role": "user", "content": payload},
            {"role": "assistant", "content": payload},
        ]
        lines.append(json.dumps({"messages": turns}).encode())
        lines.append(json.dumps({"text": payload}).encode())
        lines.append(json.dumps({"messages": [{"role": payload, "content": payload}]}).encode())
        lines.append(payload.encode("utf-8", "surrogatepass").replace(b"\n", b" "))
    path = tmp_path / "[foo] [@click=app.quit] \x1b[2J.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_hostile_dataset_is_only_text(
    make_app: MakeApp, hostile_file: Path, size: tuple[int, int]
) -> None:
    app = make_app(hostile_file)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        room = app.screen
        assert isinstance(room, DataRoom)
        await until(pilot, lambda: room.renderer is not None)
        await pilot.press("t")
        assert room.document is not None
        for _ in range(room.document.count):
            await pilot.pause()
            assert_harmless(rendered(app))
            room.rows.move(1)
        for keys in (("e",), ("escape", "o"), ("escape", "question_mark"), ("escape", "m")):
            await pilot.press(*keys)
            await pilot.pause()
            assert_harmless(rendered(app))
        assert app.is_running


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_answer_is_only_text(make_app: MakeApp, payload: str) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("3")
        await pilot.pause()
        room = app.screen
        assert isinstance(room, ChatRoom)
        column = room.columns[0]
        column.begin(payload)
        for start in range(0, min(len(payload), 400), 3):
            room.post_message(Streamed(0, payload[start : start + 3]))
        await pilot.pause()
        assert_harmless(rendered(app))
        room.post_message(Told(Done(1, 0, "starter", payload, [1], 1, 0.5, 0.1, "turn end")))
        await pilot.pause()
        assert_harmless(rendered(app))
        await pilot.click("Transcript", offset=(6, 2))
        await pilot.pause()
        assert app.is_running
        assert "Chat" in dump(app)


def test_no_widget_is_given_text_that_could_be_markup() -> None:
    """Where Textual reads markup, only literals and `Content` may go; see `screens.safe`."""
    reads_markup = {"Static", "Label", "Button", "Option", "TabPane", "Collapsible", "update"}
    found: list[str] = []
    for path in sorted(ROOT.glob("screens/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            plain = any(word.arg == "markup" for word in node.keywords)
            formatted = any(isinstance(arg, ast.JoinedStr) for arg in node.args)
            literal = all(isinstance(arg, ast.Constant) for arg in node.args)
            if (name in reads_markup and formatted and not plain) or (
                name == "notify" and not literal and not plain
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)[:80]}")
    assert found == []


@pytest.mark.parametrize("theme", ["textual-light", "nord", "ansi-dark", "dracula"])
async def test_every_room_lives_with_another_theme(make_app: MakeApp, theme: str) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.theme = theme
        for room, label in ROOMS:
            await app.action_go(room)
            await pilot.pause()
            assert label in dump(app)
