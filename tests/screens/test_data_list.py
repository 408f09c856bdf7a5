"""The Data room's list: going about, marking, views, many rows at once, comparing, conflicts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from screens.data.browsing import Goal
from screens.data.changed import difference
from screens.data.review import Review
from screens.data.rowset import Selection, rows_of, with_row
from screens.data.screen import DataRoom
from screens.data.versionlist import VersionList
from screens.data.views import View
from screens.widgets.modals import ChoiceModal, LineModal, PickModal
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until


def chat(asked: str, said: str) -> bytes:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return json.dumps({"messages": turns}, ensure_ascii=False).encode()


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Three hundred rows; row n asks for n."""
    path = tmp_path / "sums.jsonl"
    lines = [chat(f"What is {n - 1} plus 1?", f"That is {n}.") for n in range(1, 301)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


async def opened(pilot: Pilot[None]) -> DataRoom:
    """The room, once its rows on screen are counted."""
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    await until(pilot, lambda: room.document is not None and bool(room.rows.counts))
    return room


def test_goals_are_rows_shares_and_steps() -> None:
    assert Goal.parse("120,000", 1) == Goal(120_000)
    assert Goal.parse("50%", 1) == Goal(share=0.5)
    assert Goal.parse("+10", 5) == Goal(15)
    assert Goal.parse("-10", 5) == Goal(1)
    assert Goal.parse("nan", 1) is None
    assert Goal.parse("inf%", 1) is None
    assert Goal.parse("here", 1) is None


def test_a_selection_of_millions_is_a_range_with_exceptions() -> None:
    chosen = Selection()
    chosen.take(range(1, 10_000_001))
    chosen.set(5, False)
    chosen.set(11_000_000, True)
    assert len(chosen) == 10_000_000
    assert 5 not in chosen and 4 in chosen and 11_000_000 in chosen
    chosen.take(rows_of([9, 3, 7]))
    chosen.set(3, False)
    assert chosen.rows().tolist() == [7, 9]
    assert with_row(rows_of([2, 9]), 4, ordered=False).tolist() == [2, 4, 9]
    assert with_row(rows_of([9, 2]), 3, ordered=True).tolist() == [9, 2, 3]


def test_a_difference_marks_the_words() -> None:
    shown = difference(chat("Why?", "Because it is so."), chat("Why?", "Because it was so."))
    assert "messages.1.content\nBecause it iswas so." in shown.plain
    assert "3 other values unchanged" in shown.plain
    assert difference(None, b"[1]").plain.startswith("+ added")
    assert difference(b"not json", None).plain.startswith("- taken away")
    assert "only how they are written" in difference(b'{"a": 1}', b'{"a":1}').plain


async def test_going_by_number_share_and_step(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)

        async def go(words: str) -> None:
            await pilot.press("colon")
            await until(pilot, lambda: isinstance(app.screen, LineModal))
            app.screen.query_one(Input).value = words
            await pilot.press("enter")
            await pilot.pause()

        await go("212")
        assert room.rows.number == 212
        await go("50%")
        assert 149 <= room.rows.number <= 152
        await go("+10")
        assert 159 <= room.rows.number <= 162
        await go("99999")
        assert room.rows.number == 300
        await go("nowhere")
        assert isinstance(app.screen, LineModal)
        assert "expected a row number" in dump(app)


def listed(room: DataRoom) -> list[int]:
    """Numbers of the rows in the list."""
    return [room.rows.number_at(place) for place in range(room.rows.count)]


async def opened_after(pilot: Pilot[None]) -> DataRoom:
    await pilot.pause()
    return await opened(pilot)


async def test_marks_and_what_is_done_to_marked_rows(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        await pilot.press("space", "space", "j", "v", "j", "j", "v")
        assert room.selection.rows().tolist() == [1, 2, 4, 5, 6]
        assert "5 marked ●" in dump(app)
        await pilot.press("x")
        await pilot.pause()
        assert room.document.count == 295
        assert room.selected == 0
        assert "That is 3." in room.document.raw(1).decode()
        await pilot.press("u")
        await pilot.pause()
        assert room.document.count == 300
        await pilot.press("A")
        assert room.selected == 300
        await pilot.press("escape")
        assert room.selected == 0
        await pilot.press("d")
        await pilot.pause()
        assert room.document.raw(room.rows.number) == room.document.raw(room.rows.number - 1)
        await pilot.press("K")
        await pilot.pause()
        assert "+" in dump(app).splitlines()[3 + room.rows.number - 1]


async def test_views_lie_on_one_another_and_follow_edits(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        room.lay(View("turns = 2", rows_of(range(10, 60))))
        room.lay(View("longest first", rows_of([59, 20, 11]), ordered=True))
        await pilot.pause()
        shown = dump(app)
        assert "› turns = 2 › longest first · 3" in shown
        await pilot.press("g", "j")
        assert room.rows.number == 20
        await pilot.press("x")
        await pilot.pause()
        assert listed(room) == [58, 11]
        await pilot.press("u")
        await pilot.pause()
        assert sorted(listed(room)) == [11, 20, 59]
        await pilot.press("escape")
        assert room.rows.count == 50
        await pilot.press("escape")
        assert room.rows.count == 300
        assert room.rows.number == 20
        room.lay(View("nothing", np.array([], dtype=np.int64), complete=False))
        await pilot.pause()
        assert "no row fits so far" in dump(app)
        room.take_off()
        room.lay(View("nothing", np.array([], dtype=np.int64)))
        await pilot.pause()
        assert "no row fits · esc" in dump(app)
        await pilot.press("x", "e", "space", "escape")
        assert room.rows.count == 300


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_the_difference_against_the_file(
    make_app: MakeApp, sums: Path, name: str, size: tuple[int, int]
) -> None:
    app = make_app(sums)
    async with app.run_test(size=size) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        room.document.set(2, "messages.1.content", "That is two, of course.")
        room.document.delete(5)
        room.document.insert(1, chat("Hello?", "Hello."))
        room.changed(1)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Review) and app.screen.complete)
        await pilot.press("j")
        await pilot.pause()
        check_golden(f"data-diff-{name}", dump(app))
        await pilot.press("enter")
        await pilot.pause()
        assert room.rows.number == 3


async def test_a_version_is_brought_back(make_app: MakeApp, sums: Path) -> None:
    before = sums.read_bytes()
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        room.document.set(2, "messages.1.content", "That is two.")
        room.changed(2)
        await pilot.press("s")
        await until(pilot, lambda: sums.read_bytes() != before and "unsaved" not in dump(app))
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, VersionList))
        await pilot.pause()
        assert "the file now" in dump(app)
        await pilot.press("j", "enter")
        await until(pilot, lambda: room.document is not None and room.document.unsaved > 0)
        await pilot.press("s")
        await until(pilot, lambda: sums.read_bytes() == before)


@pytest.mark.parametrize("key", ["b", "m", "t"])
async def test_a_file_changed_outside_is_a_choice_of_three(
    make_app: MakeApp, sums: Path, key: str
) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        room.document.set(7, "messages.1.content", "That is seven.")
        room.changed(7)
        others = sums.read_bytes().splitlines(keepends=True)[3:]
        sums.write_bytes(b"".join(others))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        assert sums.read_bytes() == b"".join(others)
        await pilot.press(key)
        await until(
            pilot,
            lambda: (
                isinstance(app.screen, DataRoom)
                and room.document is not None
                and room.document.count == 297
            ),
        )
        expected = {"b": 4, "m": 7, "t": None}[key]
        await pilot.pause()
        if expected is None:
            assert room.document.unsaved == 0
            return
        assert "That is seven." in room.document.raw(expected).decode()
        await pilot.press("s")
        await until(pilot, lambda: b"That is seven." in sums.read_bytes())
        assert len(sums.read_bytes().splitlines()) == 297


async def test_tags_and_notes_are_kept_beside_the_file(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        assert room.document is not None
        await pilot.press("space", "space", "number_sign")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press(*"check", "enter")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert room.document.tags() == {"check": 2}
        await pilot.press("escape", "g", "c")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        await pilot.press(*"look again", "enter")
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        assert room.document.annotations(1).note == "look again"
        assert room.document.unsaved == 0


async def test_words_are_found_as_they_are_typed(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await pilot.press("slash", *"WHAT IS 29")
        await until(pilot, lambda: "nowhere" in dump(app))
        app.screen.query_one("#find", Input).value = "What is 29"
        await until(pilot, lambda: "1 of 11" in dump(app) and room.rows.number == 30)
        await pilot.press("enter", "n")
        assert room.rows.number == 291
        assert "2 of 11" in dump(app)
        await pilot.press("N", "N")
        await until(pilot, lambda: room.rows.number == 300)
        room.lay(View("some", rows_of([300, 295, 1, 30]), ordered=True))
        await pilot.press("g", "n")
        assert room.rows.number == 295
        await pilot.press("n")
        assert room.rows.number == 30
        await pilot.press("escape", "escape")
        assert room.sought == "" and not room.views
        await pilot.press("slash", *"is 1[12] plus", "ctrl+g")
        await until(pilot, lambda: "of 2" in dump(app))
        await pilot.press("escape")
        assert not room.regex or room.sought == ""
        await pilot.press("slash", *"[", "escape")
        await pilot.pause()


async def test_a_filter_lists_what_fits_and_says_what_is_wrong(
    make_app: MakeApp, sums: Path
) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await pilot.press("f")
        await pilot.pause()
        assert "messages.0.content contains" in dump(app)
        await pilot.press(*"bytes >")
        await pilot.pause()
        assert "column" in dump(app)
        await pilot.press("enter")
        assert not room.views
        app.screen.query_one("#filter", Input).value = "assistant contains 29"
        await pilot.press("enter")
        await until(pilot, lambda: bool(room.views) and room.views[0].complete)
        assert room.rows.count == 13
        await pilot.press("S")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press("enter")
        await until(pilot, lambda: len(room.views) == 2)
        assert "by bytes ↓" in dump(app)
        assert room.rows.number > 29
        await pilot.press("escape", "escape")
        assert room.rows.count == 300


async def test_values_of_a_field_become_a_filter(make_app: MakeApp, sums: Path) -> None:
    app = make_app(sums)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        room.count_values("len(messages)")
        await until(pilot, lambda: "1 value in 300 rows" in dump(app))
        await pilot.press("enter")
        await until(pilot, lambda: bool(room.views) and room.views[0].complete)
        assert room.rows.count == 300
        room.take_off()
        room.filter_by("bad")
        await until(pilot, lambda: bool(room.views) and room.views[0].complete)
        assert "no row fits" in dump(app)


async def test_a_key_paints_the_two_lines_that_change(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"\n".join(chat(f"Hello {n}", "Hello.") for n in range(60)) + b"\n")
    app = make_app(path)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await until(pilot, lambda: bool(room.rows.counts))
        asked: list[Region] = []
        refresh = room.rows.refresh

        def told(*regions: Region, **how: bool) -> Widget:
            asked.extend(regions or [room.rows.size.region])
            return refresh(*regions, **how)

        room.rows.refresh = told  # type: ignore[method-assign]
        room.rows.cursor = 5
        assert [(region.y, region.height) for region in asked] == [(0, 1), (5, 1)]


async def test_a_file_that_was_cut_short_says_so_above_its_rows(
    make_app: MakeApp, tmp_path: Path
) -> None:
    path = tmp_path / "cut.jsonl.gz"
    rows = b"\n".join(chat(f"Hello {n}", f"{n * n}") for n in range(400))
    path.write_bytes(gzip.compress(rows)[:-400])
    app = make_app(path)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await until(pilot, lambda: room.document is not None and room.document.complete)
        await until(pilot, lambda: "the file was cut short" in dump(app))


async def test_a_field_is_asked_for_as_it_is_typed(make_app: MakeApp, tmp_path: Path) -> None:
    """Also where a longer one contains its name; and a scan that runs is stopped by `esc`."""
    path = tmp_path / "fields.jsonl"
    path.write_bytes(b'{"text": "a", "id": "x1", "meta": {"id": "x2"}}\n' * 30)
    app = make_app(path)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened_after(pilot)
        await pilot.press("F", *"meta.id", "enter")
        await until(pilot, lambda: "1 value in 30 rows" in dump(app))
        assert "x2" in dump(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is room)
        await pilot.press("S", *"at", "up", "enter")
        await until(pilot, lambda: bool(room.views) or room.is_scanning("sort"))
        await until(pilot, lambda: "by at" in dump(app))
        room.filter_by("bytes > 1")
        assert room.is_scanning("filter")
        await pilot.press("escape")
        assert not room.is_scanning("filter")
        assert len(room.views) == 1
