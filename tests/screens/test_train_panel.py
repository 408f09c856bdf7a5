"""The live panel: what it shows, what it reads, and that it rests when nothing runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.diagnosis import Verdict
from engine.train import checkpoints
from screens.train.acting import longer
from screens.train.answers import AnswerPane
from screens.train.form import RunForm
from screens.train.grid import SmallChart
from screens.train.meaning import Judge
from screens.train.progress import evaluating
from screens.train.reading import Look, Watcher, Wish
from screens.train.screen import TrainRoom
from screens.widgets import words
from screens.widgets.braille import Curve
from screens.widgets.differing import changed
from screens.widgets.ink import run_ink
from store import pins, queue, runs
from store.catalogue import Catalogue
from store.errors import BadInput
from store.identity import start_of
from store.rundb import RunReader, RunWriter
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.written import NOW, PROMPTS, three_runs, write_run


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(words, "now", lambda: NOW)


SAID = (
    Verdict("falling", "good", "held-out loss still falling (-0.33 in 82 steps, ±0.21)"),
    Verdict("many-passes", "warn", "11 passes over the rows: answers may be known by heart"),
    Verdict("healthy", "good", "nothing wrong to be seen in 412 steps"),
)


@pytest.fixture
def pinned_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dumps pin the layout; what the diagnosis says is for its own tests, and for one here."""
    monkeypatch.setattr(Judge, "look", lambda *_: SAID)


async def train_room(pilot: Pilot[Any], ready: Callable[[TrainRoom], bool]) -> TrainRoom:
    await pilot.app.run_action("app.go('train')")
    await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))
    room = pilot.app.screen
    assert isinstance(room, TrainRoom)
    await until(pilot, lambda: ready(room))
    return room


def looked(room: TrainRoom) -> bool:
    return room.look is not None


@pytest.mark.usefixtures("pinned_words")
async def test_where_it_is_narrow_each_view_takes_the_charts_place(
    make_app: MakeApp, cat: Catalogue
) -> None:
    _, _, run = three_runs(cat)
    folder = cat.workspace.run_dir(run.id)
    checkpoints.write(folder, 400, [("adapter_model.safetensors", b"weights")], {})
    async with make_app().run_test(size=NARROW) as pilot:
        room = await train_room(pilot, looked)
        check_golden("train-run-narrow", dump(pilot.app))
        await pilot.press("p", "p")
        await pilot.pause()
        check_golden("train-answers-narrow", dump(pilot.app))
        await pilot.press("escape", "g")
        await grid_shares_one_crosshair(pilot, room, 6)
        check_golden("train-grid-narrow", dump(pilot.app))
        await pilot.press("escape", "escape", "f", "down", "down")
        await until(pilot, lambda: bool(room.look and "token_accuracy" in room.look.curves))
        check_golden("train-full-narrow", dump(pilot.app))
        await pilot.press("escape")
        assert room.panel.view == "overview"

        await pilot.press("k", "space", "x")
        pending = [command for _, command in runs.pending_commands(cat, run.id)]
        assert pending == ["checkpoint", "pause", "stop"]
        await pilot.press("K", "p")
        await until(pilot, lambda: "pinned" in dump(pilot.app))
        assert pins.pinned(folder) == {400}
        await pilot.press("p")
        await until(pilot, lambda: pins.pinned(folder) == frozenset())
        await pilot.press("j", "f")
        await until(pilot, lambda: "Fork run 3 from step 200" in dump(pilot.app))
        await pilot.press("escape")
        assert "space pause" in dump(pilot.app), "no hidden field of the form took the focus"


async def grid_shares_one_crosshair(pilot: Pilot[Any], room: TrainRoom, count: int) -> None:
    """Every small chart has the large one's crosshair."""
    await until(pilot, lambda: bool(room.look and len(room.look.curves) > 4))
    await pilot.press("left", "left", "left")
    await pilot.pause()
    small = [chart for chart in room.query(SmallChart) if chart.display]
    assert len(small) == count
    assert {chart.cursor for chart in small} == {room.chart.cursor} != {None}


@pytest.mark.usefixtures("pinned_words")
async def test_where_it_is_wide_everything_is_beside_everything(
    make_app: MakeApp, cat: Catalogue
) -> None:
    failed, done, run = three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        now = dump(pilot.app)
        check_golden("train-run-wide", now)
        await pilot.press("g")
        await grid_shares_one_crosshair(pilot, room, 8)
        check_golden("train-grid-wide", dump(pilot.app))
        await pilot.press("z")
        small = [chart for chart in room.query(SmallChart) if chart.display]
        assert {chart.window for chart in small} == {room.chart.window} != {None}
        await pilot.press("0", "escape")

        # The crosshair reads every figure there.
        room.chart.point(8)
        await pilot.pause()
        then = dump(pilot.app)
        assert "step 8 " in then
        rate = next(line for line in now.split("\n") if "learning rate" in line)
        assert rate not in then and "3.0e-3" in then
        await pilot.press("escape")

        # Zooming reads finer buckets.
        await until(pilot, lambda: bool(room.look and train(room.look).xs[0] == 1))
        await pilot.press("z", "z", "z")
        await until(pilot, lambda: bool(room.look and train(room.look).xs[0] > 1))
        assert room.chart.window is not None and "· zoom" in dump(pilot.app)
        await pilot.press("0")
        await until(pilot, lambda: bool(room.look and train(room.look).xs[0] == 1))

        # Other runs are laid over, in their colours and in every chart.
        await pilot.press("o", "space", "down", "space", "escape")
        await until(pilot, lambda: bool(room.look and len(room.look.curves["loss"]) == 6))
        assert room.look is not None
        styles = [curve.style for curve in room.look.curves["loss"] if not curve.mark]
        assert styles == [run_ink(run.id), run_ink(failed.id), run_ink(done.id)]
        assert f"── {done.id} habit-r16" in dump(pilot.app)
        await pilot.press("o", "enter")
        await until(pilot, lambda: bool(room.look and len(room.look.curves["loss"]) == 4))
        await pilot.press("down", "down")
        await until(pilot, lambda: bool(room.look and "token_accuracy" in room.look.curves))
        assert len(room.look.curves["token_accuracy"]) == 2

        # No look is taken while another room is shown.
        assert room._timer is not None
        await pilot.app.run_action("app.go('data')")
        await until(pilot, lambda: room._timer is None)
        await pilot.app.run_action("app.go('train')")
        await until(pilot, lambda: room._timer is not None)


async def test_a_run_grows_is_stepped_through_and_ends(make_app: MakeApp, cat: Catalogue) -> None:
    run = write_run(cat, name="talks", total=80, step=40)
    writer = RunWriter.open(cat.workspace.run_dir(run.id) / "run.db")
    writer.sample(48, PROMPTS[0], "adapter", "A sharp question. The sky is blue.", 7, "length")
    for step, share in ((41, 0.0), (42, 0.41), (43, 0.88)):
        writer.metrics(step, {"suite/habit/praise": share, "probe/unended": 0.5})
    writer.flush()
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        await pilot.press("p")
        pane = room.query_one("#run-answers", AnswerPane)
        await until(pilot, lambda: answered(pane) is not None)
        assert answered(pane) == 48
        await until(pilot, lambda: "B step 48" in dump(pilot.app))
        screen = dump(pilot.app)
        assert "B step 48" in screen and "! cut at the length" in screen and "A base" in screen
        await pilot.press("left", "left")
        assert answered(pane) == 32 and room.chart.cursor == 32
        assert "▸32" in dump(pilot.app)
        await pilot.press("right", "right")
        assert answered(pane) == 48 and room.chart.cursor is None
        await pilot.press("d")
        assert pane.against == "base" and "underlined: not in A" in dump(pilot.app)

        await pilot.press("escape", "t")
        await until(pilot, lambda: "praise" in dump(pilot.app))
        screen = dump(pilot.app)
        assert "habit" in screen and "41%" in screen and "88%" in screen and "@42" in screen
        assert "answers that never end" in screen
        await pilot.press("t")
        assert room.panel.view == "overview"

        # New steps and events appear; the end ends the looking.
        assert room.look is not None and room.look.run.step == 43
        for step in range(44, 81):
            writer.metrics(step, {"loss": 0.5})
        for number in range(30):
            writer.event("odd", f"thing {number}", step=80)
        writer.state("running", step=80, total_steps=80)
        await until(pilot, lambda: bool(room.look and room.look.run.step == 80))
        await until(pilot, lambda: "thing 29" in dump(pilot.app))
        await pilot.press("pageup")
        await until(pilot, lambda: "thing 29" not in dump(pilot.app))
        writer.event("odd", "one more", step=80)
        writer.state("finished", step=80, total_steps=80)
        await until(pilot, lambda: bool(room.look and room.look.run.status == "finished"))
        assert room._timer is None
        assert "✓ finished" in dump(pilot.app)
        assert "one more" not in dump(pilot.app), "whoever reads is left there"
    writer.close()


def answered(pane: AnswerPane) -> int | None:
    """The step whose answers a pane shows."""
    return pane.shown.now.step if pane.shown and pane.shown.now else None


def test_changed_words_are_found() -> None:
    assert changed("The sky is blue.", "The big sky is blue.") == [
        ("The", False), (" big", True), (" sky is blue.", False),
    ]  # fmt: skip
    assert changed("", "all new") == [("all new", True)]
    assert changed("gone", "") == []


def train(look: Look) -> Curve:
    """The run's own line in the large chart."""
    return next(iter(look.curves.values()))[0]


def seen(cat: Catalogue, run_id: int) -> Look:
    watcher = Watcher()
    assert watcher.look(cat, Wish(run_id)).verdicts is None  # who comes back does not wait for them
    return watcher.look(cat, Wish(run_id))


async def test_a_failed_run_says_why_and_what_that_means(make_app: MakeApp, cat: Catalogue) -> None:
    failed, _, _ = three_runs(cat)
    verdicts = seen(cat, failed.id).verdicts or ()
    assert any(verdict.severity == "bad" for verdict in verdicts)
    waiting = []
    for name in ("first", "second", "third"):
        run = runs.create(
            cat, model="starter", dataset="/d.jsonl", recipe={}, seed=1, name=name,
            status="queued", pid=os.getpid(), process_started=start_of(os.getpid()),
        )  # fmt: skip
        queue.enqueue(cat, run.id)
        waiting.append(run.id)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        assert room.look is not None and room.look.run.status == "running", "not one that waits"
        assert not room.query(RunForm), "the form is made where it is wanted"
        await pilot.press("n")
        await until(pilot, lambda: room.has_class("-form"))
        assert room.form.rows["file"].value.endswith("habit.jsonl")
        room.attach(failed.id)
        await until(pilot, lambda: room.look is not None and room.look.run.id == failed.id)
        screen = dump(pilot.app)
        assert "✗ failed  the loss is not a number at step 150" in screen
        assert "NaN" in screen
        assert "× step 150    the loss is not a number" in screen
        assert "×" in screen.split("└", 1)[1].split("\n")[0], "gaps are marked on the axis"
        assert room._timer is None, "a run that is over is not looked at again"
        assert not room.check_action("pause", ()) and room.check_action("resume", ())
        assert "what this means" in screen
        await pilot.press("w")
        await until(pilot, lambda: verdicts[0].knob in dump(pilot.app))
        await pilot.press("escape", "Q")
        await until(pilot, lambda: "Queue" in dump(pilot.app) and "third" in dump(pilot.app))
        await pilot.press("J")
        first, second, third = waiting
        await until(pilot, lambda: [r.id for r in queue.waiting(cat)] == [second, first, third])
        await pilot.press("K")
        await until(pilot, lambda: [r.id for r in queue.waiting(cat)] == [first, second, third])
        await pilot.press("x")
        await until(pilot, lambda: bool(runs.pending_commands(cat, first)))


def test_lengths_are_read_as_people_write_them() -> None:
    for said in ("200", "200 steps", "1.5 epochs", "2,000,000 tokens", "90 min", "2 hours"):
        assert callable(longer(said))
    for said in ("", "soon", "-3", "0 steps", "3 cats"):
        with pytest.raises(BadInput):
            longer(said)


async def test_names_notes_answers_and_logs_stay_text(make_app: MakeApp, cat: Catalogue) -> None:
    hostile = "[/x][@click=app.quit]go[/]\x1b[2J\u202e"
    run = write_run(cat, name=hostile, note=hostile, step=40, data=hostile.replace("/", "-"))
    with RunWriter.open(cat.workspace.run_dir(run.id) / "run.db") as writer:
        writer.sample(40, hostile, "adapter", hostile, 3, "length")
        writer.event("odd", hostile, level="warn", step=40)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await train_room(pilot, looked)
        await until(pilot, lambda: "[/x]" in dump(pilot.app))
        overview = dump(pilot.app)
        for _ in range(4):
            await pilot.press("p")
        screen = dump(pilot.app)
        assert overview.count("[/x][@click=app.quit]go[/]") >= 3
        assert screen.count("[/x][@click=app.quit]go[/]") >= 3
        assert not {"\x1b", "\u202e"} & {*screen, *overview}
        await pilot.press("escape", "l")
        await until(pilot, lambda: bool(room.look and room.look.log))
        log = dump(pilot.app)
        assert "[bold]not bold[/bold]" in log and "step 3" in log and "step 1" not in log
        assert room.panel.log_shown


def test_later_looks_read_only_what_is_new(cat: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(cat, name="followed", total=100, step=50)
    watcher = Watcher()
    assert watcher.look(cat, Wish(run.id)).run.step == 50
    monkeypatch.setattr(RunReader, "look", None)
    with RunWriter.open(cat.workspace.run_dir(run.id) / "run.db") as writer:
        writer.metrics(51, {"loss": 0.25})
        now = watcher.look(cat, Wish(run.id))
    assert now.run.step == 51 and train(now).means[-1] == 0.25
    assert now.left is not None and now.figures["loss"].value == 0.25
    watcher.close()


def test_a_run_that_goes_on_is_seen_at_once(cat: Catalogue) -> None:
    run = write_run(cat, name="extended", total=100, step=100, status="finished")
    watcher = Watcher()
    assert not watcher.look(cat, Wish(run.id)).living
    # Started again: a process that lives and has not come to its first word.
    pid = os.getppid()
    runs.update(cat, run.id, status="queued", pid=pid, process_started=start_of(pid))
    assert watcher.look(cat, Wish(run.id, anew=True)).living
    watcher.close()


def test_a_run_that_stands_at_an_evaluation_says_so(cat: Catalogue) -> None:
    look = seen(cat, write_run(cat, name="asked", total=80, step=40).id)
    last = look.figures["eval_loss"].steps[-1]
    for step, said in ((last, False), (2 * last, True), (2 * last - 1, False)):
        run = replace(look.run, step=step, total_steps=800, recipe={"eval_steps": last})
        assert evaluating(replace(look, run=run)) == said


def test_the_axis_has_room_to_grow_and_ends_at_the_last_step(cat: Catalogue) -> None:
    young = write_run(cat, name="young", total=100_000, step=30)
    assert seen(cat, young.id).extent == (0.0, 50.0)
    old = write_run(cat, name="old", total=60, step=50)
    assert seen(cat, old.id).extent == (0.0, 60.0)
    assert os.getpid() == seen(cat, old.id).run.pid
