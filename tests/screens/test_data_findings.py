"""The Data room's findings: checks in the background, drill down, signs in the list, repairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from screens.data.findinglist import FindingList
from screens.data.review import Review
from screens.data.screen import DataRoom
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.test_data_list import chat, opened_after


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Twelve rows: 4 and 5 say what 3 says, 7 has no turn, 9 is not JSON."""
    lines = [chat(f"What is {n} plus 1?", f"That is {n + 1}.") for n in range(12)]
    lines[3] = lines[4] = lines[2]
    lines[6], lines[8] = b'{"messages": []}', b"no JSON"
    path = tmp_path / "faulty.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


async def checked(pilot: Pilot[None]) -> FindingList:
    """The window of findings, after a preflight."""
    app = pilot.app
    await pilot.press("exclamation_mark")
    await until(pilot, lambda: isinstance(app.screen, FindingList))
    assert "r looks at every row" in dump(app)
    await pilot.press("r")
    await until(pilot, lambda: "rows are fine" in dump(app))
    window = app.screen
    assert isinstance(window, FindingList)
    return window


def kind_at(window: FindingList, kind: str) -> int:
    return [entry.kind for entry in window.lines].index(kind)


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_findings_are_counted_and_lead_to_their_rows(
    make_app: MakeApp, faulty: Path, name: str, size: tuple[int, int]
) -> None:
    app = make_app(faulty)
    async with app.run_test(size=size) as pilot:
        room = await opened_after(pilot)
        window = await checked(pilot)
        await pilot.pause()
        check_golden(f"data-findings-{name}", dump(app))
        window.table.cursor = kind_at(window, "duplicate")
        await pilot.press("enter", "j")
        await pilot.pause()
        assert "says the same as line 3" in dump(app)
        await pilot.press("escape")
        assert window.table.cursor == kind_at(window, "duplicate")
        await pilot.press("enter", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert room.rows.number == 5
        await until(pilot, lambda: room.rows.errors is not None)
        assert room.rows.errors is not None and room.rows.warnings is not None
        assert room.rows.errors.tolist() == [7, 9]
        assert room.rows.warnings.tolist() == [4, 5]
        assert room.document is not None
        room.document.delete(1)
        room.changed(1)
        assert room.rows.errors.tolist() == [6, 8]


async def test_a_bulk_fix_is_shown_before_it_is_made(make_app: MakeApp, faulty: Path) -> None:
    app = make_app(faulty)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        window = await checked(pilot)
        window.table.cursor = kind_at(window, "duplicate")
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Review) and app.screen.complete)
        assert "2 deleted -" in dump(app)
        await pilot.press("space")
        await pilot.pause()
        assert "ctrl+s change 1 row" in dump(app)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert room.document is not None
        assert room.document.count == 11
        room.document.replace(4, chat("Something else?", "Yes."))
        room.changed(4)
        room.filter_by("finding:duplicate")
        await until(pilot, lambda: bool(room.views) and room.views[0].complete)
        assert any("1 row edited since" in one.message for one in app._notifications)
        assert room.views[0].complete
        assert room.rows.count == 0
        await pilot.press("escape", "u", "u")
        await pilot.pause()
        assert room.document.count == 12


async def test_trainers_are_asked_and_their_rows_listed(make_app: MakeApp, faulty: Path) -> None:
    app = make_app(faulty)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, FindingList))
        await pilot.press("t")
        await until(pilot, lambda: "LLaMA-Factory" in dump(app))
        window = app.screen
        assert isinstance(window, FindingList)
        window.table.cursor = kind_at(window, "trl")
        await pilot.press("l")
        await until(pilot, lambda: bool(room.views))
        assert 9 in (room.rows.order if room.rows.order is not None else [])
        assert "finding trl" in dump(app)
        assert json.loads(room.document.raw(1)) if room.document else False
