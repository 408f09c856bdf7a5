"""What of a row the model sees: ids, mask, length; and what of it a person is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import assets
from engine.data.rows import parse_row
from engine.render.renderer import Renderer
from screens.data.pen import pen_of
from screens.data.seeing import see
from screens.data.tokens import Row, arrange
from screens.data.turns import row_content
from tests.screens.conftest import MakeApp
from tests.screens.dump import WIDE, dump, until
from tests.screens.test_data_editor import (
    BROKEN,
    CHAT,
    NOT_UTF8,
    PAIR,
    opened,
    rows_of_every_kind,
)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return rows_of_every_kind(tmp_path)


async def test_ids_mask_as_text_and_length(make_app: MakeApp, mixed: Path) -> None:
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened(pilot)
        await pilot.press("M")
        await until(pilot, lambda: "▐" in dump(app) and "▌" in dump(app))
        await pilot.press("M", "i")
        assert room.renderer is not None
        ids = room.renderer.render_row(parse_row(1, CHAT)).ids
        await until(pilot, lambda: str(ids[0]) in dump(app).split("tokens ·")[-1])
        await pilot.press("i", "L")
        await pilot.press("backspace", "backspace", "backspace", "backspace", *"9", "enter")
        await until(pilot, lambda: "✂ max_length 9 cuts here" in dump(app))
        assert "tokens cut at 9 !" in dump(app)


async def test_no_color_writes_the_mask_as_text(
    make_app: MakeApp, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(mixed)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "▐" in dump(app))


def test_both_answers_of_a_preference_are_shown_and_neither_prompt_is_trained() -> None:
    renderer = Renderer.load(assets.path("starter"))
    row = parse_row(3, PAIR)
    seen = see(renderer, row, 1024)
    chosen, rejected = seen.sections
    assert (chosen.side, rejected.side) == ("a", "b")
    assert "Hello there!" in chosen.whole.text
    assert "go away" in rejected.whole.text
    trained = [t for t, m in zip(rejected.whole.tokens, rejected.whole.mask, strict=True) if m]
    assert "".join(trained).startswith("go away")
    shown = row_content(row, seen.sections).plain
    assert shown.index("A · chosen") < shown.index("B · rejected") < shown.index("go away")
    assert any("preference" in note for note in seen.notes)


def test_every_token_is_laid_out_once_in_order_whatever_the_modes() -> None:
    renderer = Renderer.load(assets.path("starter"))
    text = "漢字 and emoji 👩‍👧 and\nlines " * 40
    row = parse_row(1, json.dumps({"text": text}).encode())
    [section] = see(renderer, row, 100).sections
    for ids in (False, True):
        for marks in (False, True):
            lines = arrange([section], 40, ids=ids, marks=marks)
            rows = [line for line in lines if isinstance(line, Row) and not line.ids]
            assert [n for line in rows for n in range(line.start, line.end)] == list(
                range(len(section.whole.ids))
            )
            assert sum(isinstance(line, Row) and line.ids for line in lines) == ids * len(rows)
    assert "…" in [section.spelled(n) for n in range(len(section.whole.ids))]


def test_shapes_are_shown_with_what_they_hold() -> None:
    def shown(row: object) -> str:
        return row_content(parse_row(1, json.dumps(row).encode())).plain

    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tools = {
        "messages": [
            {"role": "user", "content": "1 + 1?"},
            {"role": "assistant", "reasoning_content": "Let me add.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
            {"role": "assistant", "content": "Two.", "weight": 0},
        ],
        "tools": [{"function": {"name": "add", "parameters": {"properties": {"a": {}}}}}],
    }
    words = shown(tools)
    for expected in (
        "add(a)",
        "thinks Let me add.",
        '→ add {"a": 1}',
        "tool_call_id c",
        "no train",
    ):
        assert expected in words
    assert "✓ labelled a good answer" in shown({"prompt": "a", "completion": "b", "label": True})
    assert "✗ labelled a bad answer" in shown({"prompt": "a", "completion": "b", "label": False})
    assert "segment  ✓ trained" in shown({"segments": [{"label": True, "text": "x"}]})
    ids = {"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1], "labels": [-100, 2, 3]}
    assert "token ids · 3  ✓ 2 trained" in shown(ids)
    assert "␛" in shown({"text": "\x1b[31m"})


def test_a_bad_row_shows_its_bytes_and_a_caret_under_the_place() -> None:
    lines = row_content(parse_row(5, BROKEN)).plain.splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip().startswith("^"))
    assert lines[at - 1][lines[at].index("^") :].startswith('"content"')
    assert "column 31" in lines[at]
    assert "expected `,` or the closing bracket" in lines[at + 1]
    assert "caf\\xe9" in row_content(parse_row(6, NOT_UTF8)).plain
    wrong = row_content(parse_row(7, b'{"messages": [{"role": "robot", "content": "x"}]}')).plain
    assert '"role": "robot"' in wrong
    huge = row_content(parse_row(8, b'{"text": "' + b"x" * 5_000_000)).plain
    assert "more characters not shown" in huge
    assert pen_of(parse_row(5, BROKEN)) is None
