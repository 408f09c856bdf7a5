"""The Checks room: a real suite over real checkpoints, asked once, stopped, promoted."""

from __future__ import annotations

from pathlib import Path

import assets
from engine.checks import suite as suites
from engine.models import refs
from screens.base import CheckRun
from screens.checks.labelling import LabelScreen
from screens.checks.looking import look
from screens.checks.screen import ChecksRoom
from store import runs
from store.catalogue import Catalogue
from tests.engine.chat_fixtures import add_run, make_adapter
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until

SUITE = """
name = "small"
max_tokens = 12
[[group]]
name = "knows the fox"
prompts = ["What colour is the fox?", "What colour is grass?", "Who are you?"]
[[group.check]]
kind = "regex"
value = "red|green|Pip"
[[group]]
name = "says something"
prompts = ["Hi", "\\u001b[31mhostile [b]markup[/b]"]
[[group.check]]
kind = "regex"
value = "."
[[group]]
name = "is true"
prompts = ["What colour is the fox?"]
[[group.check]]
kind = "rubric"
value = "What it says is true."
judge = "starter"
template = "Is this right? {answer}"
"""


async def test_checkpoints_are_asked_compared_and_promoted(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    adapters = {
        step: make_adapter(assets.path("starter"), tmp_path / str(step), seed=step, scale=scale)
        for step, scale in ((4, 0.01), (8, 0.6))
    }
    ref = add_run(cat, "starter", adapters, suites=[str(path)])
    run_id = int(ref.removeprefix("run:"))
    async with make_app().run_test(size=WIDE) as pilot:
        await pilot.app.run_action("app.go('checks')")
        room = pilot.app.screen
        assert isinstance(room, ChecksRoom)
        await until(pilot, lambda: room.seen is not None and room.seen.missing == 15)
        assert "15 answers are missing" in dump(pilot.app)
        assert room.check_action("promote", ()) is False
        await pilot.press("enter")
        await until(pilot, lambda: room.asking)
        assert room.check_action("halt", ()) is True
        assert "it goes on" in dump(pilot.app) or room.seen.series is not None
    # The window is closed; a job asks on, and another window finds it, or what it found.
    async with make_app().run_test(size=WIDE) as pilot:
        await pilot.app.run_action("app.go('checks')")
        room = pilot.app.screen
        assert isinstance(room, ChecksRoom)
        await until(pilot, lambda: room.seen is not None and room.seen.missing == 0)
        assert not room.asking
        assert room.seen is not None and room.seen.advice is not None
        assert room.matrix.steps == (4, 8)
        assert suites.load(str(path)).size == 6
        room.matrix.column = 2
        await pilot.press("v", "v")
        await until(pilot, lambda: "prompts: 3" in dump(pilot.app))
        shown = dump(pilot.app)
        assert "knows the fox" in shown and "@8" in shown
        await pilot.press("j")
        assert "hostile [b]markup[/b]" in dump(pilot.app)
        # What a model judged stands apart, and a person says whether to trust it.
        assert "starter as a judge: not checked against people" in dump(pilot.app)
        await pilot.press("G", "l")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabelScreen))
        assert "What it says is true." in dump(pilot.app)
        assert "judge" not in dump(pilot.app).partition("labelled")[2].partition("leave")[0]
        await pilot.press("n", "u", "y", "escape")
        await until(pilot, lambda: "agrees with people on" in dump(pilot.app))
        assert refs.resolve(cat, ref).step == 8
        await pilot.press("left", "P")
        await until(pilot, lambda: refs.resolve(cat, ref).step == 4)
        await until(pilot, lambda: "@4●" in dump(pilot.app))
        await pilot.press("P")
        await until(pilot, lambda: refs.resolve(cat, ref).step == 8)
        # Taken to another window, nothing is asked again.
    async with make_app().run_test(size=NARROW) as pilot:
        pilot.app.visit(CheckRun(run_id))  # type: ignore[attr-defined]
        await until(pilot, lambda: isinstance(pilot.app.screen, ChecksRoom))
        again = pilot.app.screen
        assert isinstance(again, ChecksRoom)
        await until(pilot, lambda: again.seen is not None and again.seen.series is not None)
        assert "@4" in dump(pilot.app) and "@8" in dump(pilot.app)
    # What is said of some checkpoints of many is corrected for those alone.
    runs.update(cat, run_id, status="running")
    seen = look(cat, run_id, ())
    assert seen is not None and seen.advice is not None
    assert "decide at its end" in seen.advice.reason


async def test_without_a_run_the_room_says_what_would_be_here(make_app: MakeApp) -> None:
    async with make_app().run_test(size=NARROW) as pilot:
        await pilot.app.run_action("app.go('checks')")
        await until(pilot, lambda: "2  train a run" in dump(pilot.app))
        check_golden("checks-empty-narrow", dump(pilot.app))
