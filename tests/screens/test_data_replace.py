"""The Data room: find and replace with a preview, splitting, and paths that complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.content import Content
from textual.widgets import Input

from screens.data.opening import paths_like
from screens.data.replacing import divide_of
from screens.data.review import Proposal, Review
from screens.data.screen import DataRoom
from screens.widgets.modals import LineModal
from store.errors import BadInput
from tests.screens.conftest import MakeApp
from tests.screens.dump import WIDE, dump, until
from tests.screens.test_data_list import chat, opened_after


@pytest.fixture
def greetings(tmp_path: Path) -> Path:
    """Twelve rows, each of which says hello."""
    path = tmp_path / "greetings.jsonl"
    path.write_bytes(b"\n".join(chat(f"Hello {n}", "Hello.") for n in range(12)) + b"\n")
    return path


def test_a_split_is_read_as_it_is_said() -> None:
    asked = divide_of("80/10/10 seed 7 by source,meta.id")
    assert (asked.train, asked.eval, asked.test) == (0.8, 0.1, 0.1)
    assert asked.seed == 7
    assert asked.group_by == ("source", "meta.id")
    for wrong in ("80/20", "", "80/10/10 seed", "80/10/10 seed x", "0/0/0", "8/1/1 per source"):
        with pytest.raises(BadInput, match=r"expected"):
            divide_of(wrong)


def test_paths_complete_and_words_do_not(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / ".hidden").touch()
    assert paths_like(f"{tmp_path}/") == [f"{tmp_path}/more/", f"{tmp_path}/one.jsonl"]
    assert paths_like(f"{tmp_path}/on") == [f"{tmp_path}/one.jsonl"]
    assert paths_like("one") == []
    assert paths_like("/no/such/folder/x") == []


async def test_replacing_shows_every_change_first(make_app: MakeApp, greetings: Path) -> None:
    app = make_app(greetings)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        await pilot.press("space", "space", "R")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        app.screen.query_one(Input).value = "/Hel+o/"
        await pilot.press("enter")
        await until(pilot, lambda: "Replace /Hel+o/" in dump(app))
        app.screen.query_one(Input).value = "Good day"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Review) and app.screen.complete)
        assert "2 edited" in dump(app)
        assert room.document.unsaved == 0
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert b"Good day 1" in room.document.raw(2)
        assert b"Hello 2" in room.document.raw(3)
        await pilot.press("u")
        await pilot.pause()
        assert b"Hello 0" in room.document.raw(1)


async def test_changes_found_before_the_window_is_there_are_shown(
    make_app: MakeApp, greetings: Path
) -> None:
    app = make_app(greetings)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        window = Review(Content(" changes "), [])
        window.complete = False
        window.add([Proposal(1, None, room.open_document.raw(1))], complete=False)
        app.push_screen(window)
        window.add([Proposal(2, None, room.open_document.raw(2))], complete=True)
        await until(pilot, lambda: "2 added" in dump(app))
        assert "Hello 0" in dump(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        window.add([], complete=True)
