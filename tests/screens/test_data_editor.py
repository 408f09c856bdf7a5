"""A row under the pen: turns, JSON, another editor, drafts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from screens.data.editor import Editor, TurnEditor
from screens.data.jsoneditor import JsonEditor
from screens.data.outside import command
from screens.data.screen import DataRoom
from screens.widgets.modals import ChoiceModal, ErrorModal, PickModal
from store.drafts import Drafts
from store.errors import BadInput
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.test_data_room import bytes_model  # noqa: F401 - a fixture
from workbench.app import WorkbenchApp

CHAT = (
    b'{"messages":[{"role":"user","content":"Why is the sky  blue?"},'
    b'{"role": "assistant","content":"Caf\\u00e9 light.","weight":1}], "id": 12.50}'
)
SHAREGPT = b'{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"Hello."}]}'
PAIR = b'{"prompt":"Say hi","chosen":"Hello there!","rejected":"go away"}'
TEXT = b'{"text": "once \\u202eupon\\u202c a \\u001b[31mtime"}'
BROKEN = b'{"messages": [{"role": "user" "content": "x"}]}'
NOT_UTF8 = b'{"messages": [{"role": "user", "content": "caf\xe9"}]}'
ROWS = (CHAT, SHAREGPT, PAIR, TEXT, BROKEN, NOT_UTF8)


def rows_of_every_kind(folder: Path) -> Path:
    path = folder / "mixed.jsonl"
    path.write_bytes(b"\n".join(ROWS) + b"\n")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return rows_of_every_kind(tmp_path)


async def opened(pilot: Pilot[None]) -> DataRoom:
    await until(pilot, lambda: isinstance(pilot.app.screen, DataRoom))
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    await until(pilot, lambda: room.document is not None and room.renderer is not None)
    return room


async def begun(pilot: Pilot[None], number: int, key: str = "e") -> tuple[DataRoom, Editor]:
    """The room, and the editor of a row that has the focus."""
    room = await opened(pilot)
    room.jump(number)
    await pilot.press(key)
    await until(pilot, lambda: room.under_pen is not None and room.under_pen.pad.has_focus)
    assert room.under_pen is not None
    return room, room.under_pen


async def under_bytes(pilot: Pilot[None], path: Path, model: Path) -> DataRoom:
    """The room with a file and a model whose tokens are bytes, once its rows are counted."""
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    room.model_ref = str(model)
    room.open_file(path)
    await until(pilot, lambda: len(room.rows.counts) == len(ROWS))
    return room


def beside(app: WorkbenchApp) -> str:
    """The pane beside the list, of a wide screen."""
    return "\n".join(line[83:].rstrip() for line in dump(app).splitlines()[1:-1]) + "\n"


async def drawn(pilot: Pilot[None], words: str) -> None:
    """Wait until these words were rendered."""
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    await until(
        pilot,
        lambda: (
            room.seen_under_pen is not None
            and bool(room.seen_under_pen.sections)
            and words in room.seen_under_pen.sections[0].whole.text
        ),
    )


def raw(room: DataRoom, number: int) -> bytes:
    assert room.document is not None
    return room.document.raw(number)


async def test_turns_change_in_place_and_all_of_it_is_one_step(
    make_app: MakeApp,
    mixed: Path,
    bytes_model: Path,  # noqa: F811
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await under_bytes(pilot, mixed, bytes_model)
        room, editor = await begun(pilot, 1)
        assert isinstance(editor, TurnEditor)
        room.action_pen_tokens()
        await pilot.press("!", "shift+tab", "end", "?", "tab")
        assert [part.text for part in editor.pen.parts] == [
            "Why is the sky  blue??",
            "Café light.!",
        ]
        await pilot.press("ctrl+n", *"so?")
        await drawn(pilot, "so?")
        room.seen_under_pen = None
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        await pilot.press("t")
        await until(pilot, lambda: app.screen is room)
        await drawn(pilot, "so?")
        await until(pilot, lambda: "user  ✓ trained" in dump(app) and "18 trained ✓" in dump(app))
        check_golden("data-turns-wide", beside(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert raw(room, 1) == (
            b'{"messages":[{"role":"user","content":"Why is the sky  blue??"},'
            b'{"role": "assistant","content":"Caf\\u00e9 light.!","weight":1},'
            b'{"role": "user","content":"so?","weight": 1}], "id": 12.50}'
        )
        assert room.document is not None
        assert room.document.unsaved == 1
        await pilot.press("u")
        await until(pilot, lambda: raw(room, 1) == CHAT)


async def test_order_role_split_merge_delete_and_the_way_back(
    make_app: MakeApp, mixed: Path
) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        _, editor = await begun(pilot, 2)
        assert isinstance(editor, TurnEditor)

        def said() -> list[tuple[str, str]]:
            return [(part.label, part.text) for part in editor.pen.parts]

        start = said()
        await pilot.press("home", "right", "right")
        editor.do("split")
        assert said() == [("human", "hi"), ("gpt", "He"), ("gpt", "llo.")]
        await pilot.press("alt+up")
        assert said() == [("human", "hi"), ("gpt", "llo."), ("gpt", "He")]
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        assert "observation" in dump(app)
        assert "assistant" not in dump(app).split("Role of the turn")[1]
        await pilot.press(*"human", "enter")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert said()[1] == ("human", "llo.")
        editor.do("delete")
        editor.do("merge")
        assert said() == [("human", "hi\n\nHe")]
        for _ in range(5):
            await pilot.press("ctrl+z")
        assert said() == start
        assert not editor.changed
        await pilot.press("ctrl+y")
        assert len(said()) == 3


async def test_leaving_asks_only_where_something_would_be_lost(
    make_app: MakeApp,
    mixed: Path,
    bytes_model: Path,  # noqa: F811
) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        await under_bytes(pilot, mixed, bytes_model)
        room, _ = await begun(pilot, 1)
        await pilot.press("escape")
        await until(pilot, lambda: room.under_pen is None)
        assert not room.has_class("-reading")
        room, editor = await begun(pilot, 1)
        await pilot.press(*" More.")
        await drawn(pilot, "More.")
        check_golden("data-turns-narrow", dump(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is room and editor.pad.has_focus)
        assert editor.pad.text == "Café light. More."
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        await pilot.press("d")
        await until(pilot, lambda: room.under_pen is None)
        assert raw(room, 1) == CHAT


async def test_json_is_judged_while_it_is_written_and_only_that_changes(
    make_app: MakeApp,
    mixed: Path,
    bytes_model: Path,  # noqa: F811
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await under_bytes(pilot, mixed, bytes_model)
        room, editor = await begun(pilot, 1, "E")
        assert isinstance(editor, JsonEditor)
        await until(pilot, lambda: "✓ OpenAI chat" in dump(app))
        editor.put(editor.pad.text.replace('"id": 12.50', '"id" 12.50'))
        editor.post_message(Editor.Typed())
        await until(pilot, lambda: "line 13, column 8: expected `:` after the key" in dump(app))
        check_golden("data-json-wide", beside(app))
        editor.put(editor.first.replace("light", "lumière"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert raw(room, 1) == CHAT.replace(b"light", b"lumi\\u00e8re")


async def test_bytes_that_are_not_text_are_repaired_and_the_rest_stays(
    make_app: MakeApp, mixed: Path
) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        room, editor = await begun(pilot, 6)
        assert isinstance(editor, JsonEditor)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert raw(room, 6) == NOT_UTF8
        room, editor = await begun(pilot, 6)
        editor.pad.go(editor.pad.text.index("caf") + 4)
        await pilot.press("backspace", "é", "ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert raw(room, 6) == NOT_UTF8.replace(b"\xe9", "é".encode())


async def test_what_was_not_kept_is_offered_on_another_day(make_app: MakeApp, mixed: Path) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        _, _ = await begun(pilot, 1)
        await pilot.press("shift+tab", *" Really?", "tab", *" Yes.")
        assert "is a draft: e on that row" in app._partings()[0]
        app.exit()
    again = make_app(mixed)
    async with again.run_test(size=WIDE) as pilot:
        room = await opened(pilot)
        assert raw(room, 1) == CHAT
        await pilot.press("e")
        await until(pilot, lambda: isinstance(again.screen, ChoiceModal))
        await pilot.press("g")
        await until(pilot, lambda: room.under_pen is not None)
        editor = room.under_pen
        assert isinstance(editor, TurnEditor)
        await until(pilot, lambda: editor.pad.text == "Café light. Yes.")
        assert editor.pen.parts[0].text == "Why is the sky  blue? Really?"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert room.document is not None
        assert Drafts(again.workspace).find(room.document.dataset_id, CHAT) is None
        assert json.loads(raw(room, 1))["messages"][1]["content"] == "Café light. Yes."


async def test_a_draft_is_written_while_one_rests(make_app: MakeApp, mixed: Path) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        room, _ = await begun(pilot, 4)
        await pilot.press(*"!")
        assert room.document is not None
        drafts, dataset = Drafts(app.workspace), room.document.dataset_id
        await until(pilot, lambda: drafts.find(dataset, TEXT) is not None)
        draft = drafts.find(dataset, TEXT)
        assert draft is not None
        assert draft.text.decode() == "once \u202eupon\u202c a \x1b[31mtime!"


async def test_a_row_changed_by_another_is_not_written_over(make_app: MakeApp, mixed: Path) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        room, editor = await begun(pilot, 1)
        assert room.document is not None
        room.document.set(1, "messages.0.content", "meanwhile")
        await pilot.press("!", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "is not what it was when you began" in dump(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is room)
        assert room.under_pen is editor
        assert editor.pad.text == "Café light.!"
        assert b"meanwhile" in raw(room, 1)


async def test_another_editor_writes_the_text(
    make_app: MakeApp, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = tmp_path / "handed"
    program = tmp_path / "editor"
    program.write_text(
        f'#!/bin/sh\nstat -c %a "$2" > {handed}; cat "$2" >> {handed}\n'
        'case $1 in fail) exit 3;; esac\nprintf "two\\nlines\\n" > "$2"\n',
        encoding="utf-8",
    )
    program.chmod(0o700)

    @contextmanager
    def suspended(_app: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(WorkbenchApp, "suspend", suspended)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{program} 'ok'")
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        _, editor = await begun(pilot, 1)
        await pilot.press("ctrl+e")
        await until(pilot, lambda: editor.pad.text == "two\nlines")
        assert handed.read_text(encoding="utf-8") == "600\nCafé light."
        await pilot.press("ctrl+z")
        assert editor.pad.text == "Café light."
        monkeypatch.setenv("VISUAL", f"{program} fail")
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "ended with 3" in dump(app)
        assert editor.pad.text == "Café light."
        await pilot.press("escape")
        monkeypatch.setenv("VISUAL", str(tmp_path / "missing"))
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "cannot be started" in dump(app)
    assert [path.suffix for path in (app.workspace.root / "drafts").iterdir()] == []


def test_the_editor_is_visual_then_editor_then_a_usual_one(tmp_path: Path) -> None:
    assert command({"VISUAL": "a 'b c'", "EDITOR": "d"}) == ["a", "b c"]
    assert command({"VISUAL": " ", "EDITOR": "d"}) == ["d"]
    with pytest.raises(BadInput, match="not a command"):
        command({"EDITOR": "'"})
    assert os.path.isabs(command({})[0])


async def test_a_terminal_that_cannot_be_handed_over_says_so(
    make_app: MakeApp, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "true")
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        await begun(pilot, 1)
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "cannot be handed to another program" in dump(app)


async def test_a_row_kept_before_its_editor_is_on_screen_is_as_it_was(
    make_app: MakeApp, mixed: Path
) -> None:
    app = make_app(mixed)
    async with app.run_test(size=NARROW) as pilot:
        room = await opened(pilot)
        for begin in (room.action_edit, room.action_edit_json):
            begin()
            assert room.under_pen is not None
            assert not room.under_pen.is_mounted
            assert not room.under_pen.changed
            room.action_pen_keep()
            await until(pilot, lambda: room.under_pen is None)
        assert room.document is not None
        assert room.document.unsaved == 0


async def test_a_split_at_an_end_says_where_to_put_the_cursor(
    make_app: MakeApp, mixed: Path
) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        _room, editor = await begun(pilot, 1)
        assert isinstance(editor, TurnEditor)
        await pilot.press("ctrl+l", "s")
        await until(pilot, lambda: "put the cursor where the second turn" in dump(app))
        assert len(editor.pen.parts) == 2


async def test_what_is_typed_before_the_editor_is_on_screen_goes_into_it(
    make_app: MakeApp, mixed: Path
) -> None:
    app = make_app(mixed)
    async with app.run_test(size=NARROW) as pilot:
        room = await opened(pilot)
        room.action_edit()
        for key in ("x", "d"):
            app.post_message(events.Key(key, key))
        await until(pilot, lambda: room.under_pen is not None and room.under_pen.pad.has_focus)
        assert room.under_pen is not None
        pad = room.under_pen.pad
        await until(pilot, lambda: pad.text == "Café light.xd")
        assert room.document is not None
        assert room.document.count == len(ROWS)
