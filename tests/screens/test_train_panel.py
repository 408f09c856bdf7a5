"""The live panel: what it shows, what it reads, and that it rests when nothing runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.train.panel import RunPanel
from screens.train.reading import Pace, look
from screens.train.screen import TrainRoom
from screens.widgets import words
from store import runs
from store.catalogue import Catalogue
from store.rundb import RunWriter
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.written import NOW, three_runs, write_run


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(words, "now", lambda: NOW)


async def train_room(pilot: Pilot[Any], ready: Callable[[TrainRoom], bool]) -> TrainRoom:
    await pilot.app.run_action("app.go('train')")
    await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))
    room = pilot.app.screen
    assert isinstance(room, TrainRoom)
    await until(pilot, lambda: ready(room))
    return room


def looked(room: TrainRoom) -> bool:
    return room.look is not None


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_a_running_run_is_shown_at_once(
    make_app: MakeApp, cat: Catalogue, name: str, size: tuple[int, int]
) -> None:
    three_runs(cat)
    async with make_app().run_test(size=size) as pilot:
        await train_room(pilot, looked)
        check_golden(f"train-run-{name}", dump(pilot.app))


async def test_answers_take_the_charts_place_where_it_is_narrow(
    make_app: MakeApp, cat: Catalogue
) -> None:
    three_runs(cat)
    async with make_app().run_test(size=NARROW) as pilot:
        await train_room(pilot, looked)
        await pilot.press("p", "p")
        await pilot.pause()
        check_golden("train-answers-narrow", dump(pilot.app))
        await pilot.press("escape")
        assert not pilot.app.screen.query_one(RunPanel).has_class("-probes")


async def test_a_failed_run_says_why_and_shows_its_gap(make_app: MakeApp, cat: Catalogue) -> None:
    failed, _, _ = three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        room.attach(failed.id)
        await until(pilot, lambda: room.look is not None and room.look.run.id == failed.id)
        screen = dump(pilot.app)
        assert "✗ failed  the loss is not a number at step 150" in screen
        assert "NaN" in screen
        assert "! step 150    the loss is not a number" in screen
        assert room._timer is None, "a run that is over is not looked at again"
        assert not room.check_action("pause", ()) and room.check_action("resume", ())


async def test_new_steps_appear_and_the_end_ends_the_looking(
    make_app: MakeApp, cat: Catalogue
) -> None:
    run = write_run(cat, name="growing", total=60, step=20)
    async with make_app().run_test(size=NARROW) as pilot:
        room = await train_room(pilot, looked)
        assert room.look is not None and room.look.run.step == 20
        with RunWriter.open(cat.workspace.run_dir(run.id) / "run.db") as writer:
            for step in range(21, 61):
                writer.metrics(step, {"loss": 0.5})
            writer.state("running", step=60, total_steps=60)
            await until(pilot, lambda: bool(room.look and room.look.run.step == 60))
            writer.state("finished", step=60, total_steps=60)
        await until(pilot, lambda: bool(room.look and room.look.run.status == "finished"))
        assert room._timer is None
        assert "✓ finished" in dump(pilot.app)


async def test_no_look_is_taken_while_another_room_is_shown(
    make_app: MakeApp, cat: Catalogue
) -> None:
    three_runs(cat)
    async with make_app().run_test(size=NARROW) as pilot:
        room = await train_room(pilot, looked)
        assert room._timer is not None
        await pilot.app.run_action("app.go('data')")
        await until(pilot, lambda: room._timer is None)
        await pilot.app.run_action("app.go('train')")
        await until(pilot, lambda: room._timer is not None)


async def test_the_crosshair_reads_every_figure_there(make_app: MakeApp, cat: Catalogue) -> None:
    three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        now = dump(pilot.app)
        room.chart.point(8)
        await pilot.pause()
        then = dump(pilot.app)
        assert "step 8 " in then
        rate = next(line for line in now.split("\n") if "learning rate" in line)
        assert rate not in then and "3.0e-3" in then


async def test_zooming_reads_finer_buckets(make_app: MakeApp, cat: Catalogue) -> None:
    three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        before = room.look
        await pilot.press("z", "z", "z")
        await until(pilot, lambda: room.look is not before and room.chart.window is not None)
        await until(pilot, lambda: bool(room.look and room.look.curves[0].xs[0] > 1))
        assert "· zoom" in dump(pilot.app)
        await pilot.press("0")
        await until(pilot, lambda: bool(room.look and room.look.curves[0].xs[0] == 1))


async def test_commands_leave_a_row_for_the_job(make_app: MakeApp, cat: Catalogue) -> None:
    _, _, run = three_runs(cat)
    async with make_app().run_test(size=NARROW) as pilot:
        await train_room(pilot, looked)
        await pilot.press("k", "space", "x")
        pending = [command for _, command in runs.pending_commands(cat, run.id)]
        assert pending == ["checkpoint", "pause", "stop"]


async def test_another_run_is_laid_over(make_app: MakeApp, cat: Catalogue) -> None:
    _, done, _ = three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        await pilot.press("o", "enter")
        await until(pilot, lambda: bool(room.look and len(room.look.curves) == 3))
        assert f"── {done.id} habit-r16" in dump(pilot.app)
        await pilot.press("o", "enter")
        await until(pilot, lambda: bool(room.look and len(room.look.curves) == 2))


async def test_names_notes_answers_and_logs_stay_text(make_app: MakeApp, cat: Catalogue) -> None:
    hostile = "[/x][@click=app.quit]go[/]\x1b[2J\u202e"
    run = write_run(cat, name=hostile, note=hostile, step=40, data=hostile.replace("/", "-"))
    with RunWriter.open(cat.workspace.run_dir(run.id) / "run.db") as writer:
        writer.sample(40, hostile, "adapter", hostile, 3, "length")
        writer.event("odd", hostile, level="warn", step=40)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        for _ in range(3):
            await pilot.press("p")
        screen = dump(pilot.app)
        assert screen.count("[/x][@click=app.quit]go[/]") >= 4
        assert "\x1b" not in screen and "\u202e" not in screen
        await pilot.press("l")
        log = dump(pilot.app)
        assert "[bold]not bold[/bold]" in log and "step 3" in log and "step 1" not in log
        assert room.panel.log_shown


def test_a_pause_does_not_spoil_the_estimate(cat: Catalogue) -> None:
    run = write_run(cat, name="paced", total=100, step=50)
    pace = Pace()
    pace.add(1000.0, 40)
    pace.add(1010.0, 45)
    pace.add(1020.0, 50)
    left = pace.remaining(run, 1020.0)
    assert left == pytest.approx(100.0)
    assert pace.remaining(runs.update(cat, run.id, status="paused"), 1020.0) is None


def test_the_axis_has_room_to_grow_and_ends_at_the_last_step(cat: Catalogue) -> None:
    young = write_run(cat, name="young", total=100_000, step=30)
    assert look(cat, young.id).extent == (0.0, 50.0)
    old = write_run(cat, name="old", total=60, step=50)
    assert look(cat, old.id).extent == (0.0, 60.0)
    assert os.getpid() == look(cat, old.id).run.pid
