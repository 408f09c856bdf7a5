"""The Runs room: every run on a line, two compared, and each handed to the room that wants it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.base import Room
from screens.runs.ledger import differences, status_words
from screens.runs.screen import RunsRoom
from screens.train.screen import TrainRoom
from screens.widgets import words
from screens.widgets.modals import ErrorModal
from store import runs
from store.catalogue import Catalogue
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.written import NOW, three_runs, write_run


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(words, "now", lambda: NOW)


async def runs_room(pilot: Pilot[Any], count: int) -> RunsRoom:
    await pilot.app.run_action("app.go('runs')")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunsRoom))
    room = pilot.app.screen
    assert isinstance(room, RunsRoom)
    await until(pilot, lambda: len(room.ledger.lines) == count)
    await until(pilot, lambda: all(run_id in room.ledger.curves for run_id, _ in room._wanted()))
    return room


async def test_an_empty_workspace_names_the_next_key(make_app: MakeApp) -> None:
    async with make_app().run_test(size=NARROW) as pilot:
        room = await runs_room(pilot, 0)
        check_golden("runs-empty-narrow", dump(pilot.app))
        assert not room.check_action("open", ())
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_every_run_is_a_line_with_its_curve(
    make_app: MakeApp, cat: Catalogue, name: str, size: tuple[int, int]
) -> None:
    three_runs(cat)
    async with make_app().run_test(size=size) as pilot:
        await runs_room(pilot, 3)
        check_golden(f"runs-{name}", dump(pilot.app))


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_two_runs_are_compared(
    make_app: MakeApp, cat: Catalogue, name: str, size: tuple[int, int]
) -> None:
    three_runs(cat)
    async with make_app().run_test(size=size) as pilot:
        room = await runs_room(pilot, 3)
        await pilot.press("space", "j", "space")
        await until(pilot, lambda: len(room.ledger.curves) == 2)
        check_golden(f"runs-compare-{name}", dump(pilot.app))
        await pilot.press("escape")
        assert room.listing.chosen == []


def test_what_differs_is_every_setting_that_differs(cat: Catalogue) -> None:
    failed, done, running = three_runs(cat)
    assert differences(failed, running) == [("learning_rate", "0.03", "0.003")]
    assert differences(done, running) == [("r", "32", "16")]
    assert differences(running, running) == []


def test_a_state_has_a_sign_a_word_and_a_place(cat: Catalogue) -> None:
    failed, done, running = three_runs(cat)
    assert status_words(failed) == ("✗ failed @180", "bad")
    assert status_words(done) == ("✓ finished", "good")
    assert status_words(running) == ("▶ 412/800", "accent")


async def test_enter_shows_the_run_in_train(make_app: MakeApp, cat: Catalogue) -> None:
    failed, _, _ = three_runs(cat)
    async with make_app().run_test(size=NARROW) as pilot:
        await runs_room(pilot, 3)
        await pilot.press("G", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))
        room = pilot.app.screen
        assert isinstance(room, TrainRoom)
        await until(pilot, lambda: room.run_id == failed.id)


async def test_notes_and_names_are_kept_and_stay_text(make_app: MakeApp, cat: Catalogue) -> None:
    run = write_run(cat, name="plain", step=20, status="finished")
    async with make_app().run_test(size=WIDE) as pilot:
        room = await runs_room(pilot, 1)
        await pilot.press("n", "left_square_bracket", "slash", "x", "right_square_bracket", "enter")
        await until(pilot, lambda: runs.get(cat, run.id).note == "[/x]")
        await until(pilot, lambda: room.ledger.lines[0].run.note == "[/x]")
        assert "[/x]" in dump(pilot.app)
        await pilot.press("R", "end", "2", "enter")
        await until(pilot, lambda: runs.get(cat, run.id).name == "plain2")


async def test_stop_reaches_the_job_and_resume_of_a_dead_run_says_what_is_missing(
    make_app: MakeApp, cat: Catalogue
) -> None:
    failed, _, running = three_runs(cat)
    runs.update(cat, failed.id, pid=None, process_started=None)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await runs_room(pilot, 3)
        assert room.check_action("stop", ()) and not room.check_action("resume", ())
        await pilot.press("x")
        assert [name for _, name in runs.pending_commands(cat, running.id)] == ["stop"]
        await pilot.press("G")
        assert room.check_action("resume", ()) and not room.check_action("stop", ())
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ErrorModal))
        await until(pilot, lambda: "spec.json" in dump(pilot.app))


async def test_a_run_is_handed_to_export_and_a_pair_to_chat(
    make_app: MakeApp, cat: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_runs(cat)
    app = make_app()
    handed: list[object] = []
    monkeypatch.setattr(app, "visit", handed.append)
    async with app.run_test(size=NARROW) as pilot:
        await runs_room(pilot, 3)
        await pilot.press("e", "c", "space", "j", "space", "c")
    assert [repr(visit) for visit in handed] == [
        "ExportRef(ref='run:3')",
        "ChatWith(refs=('starter', 'run:3'))",
        "ChatWith(refs=('run:3', 'run:2'))",
    ]


async def test_nothing_is_read_while_nothing_runs(make_app: MakeApp, cat: Catalogue) -> None:
    write_run(cat, name="over", step=20, status="finished")
    async with make_app().run_test(size=NARROW) as pilot:
        room = await runs_room(pilot, 1)
        assert isinstance(room, Room) and room._timer is None
