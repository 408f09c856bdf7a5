"""The Runs room's keys for records: a report as a file, and what follows from two runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from engine.records.importing import import_state
from screens.train.screen import TrainRoom
from screens.widgets.modals import LineModal
from store.catalogue import Catalogue
from tests.screens.conftest import MakeApp
from tests.screens.dump import WIDE, dump, until
from tests.screens.test_runs_room import runs_room
from tests.screens.written import three_runs


async def test_a_run_is_written_as_a_file(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_runs(cat)
    monkeypatch.chdir(tmp_path)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await runs_room(pilot, 3)
        assert room.current is not None
        file = tmp_path / f"run-{room.current.run.id}.html"
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, LineModal))
        assert pilot.app.screen.query_one(Input).value == str(file)
        await pilot.press("enter")
        await until(pilot, file.exists)
    assert file.read_text().startswith("<!doctype html>")


async def test_two_runs_are_weighed(make_app: MakeApp, cat: Catalogue) -> None:
    three_runs(cat)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await runs_room(pilot, 3)
        assert not room.check_action("weigh", ())
        await pilot.press("space", "j", "space", "v")

        def said() -> str:
            return str(room.query_one("#compare-words", Static).content)

        await until(pilot, lambda: said().startswith("what follows"))
        assert "against run" in said() and "set differently" in said()
        await pilot.press("escape")
        await until(pilot, lambda: "what follows" not in said())


async def test_an_imported_run_is_listed_and_watched(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    logs = [{"step": step, "loss": 3 / step, "epoch": step / 10} for step in range(1, 40)]
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps({"log_history": logs}))
    run = import_state(cat, file).run
    async with make_app().run_test(size=WIDE) as pilot:
        room = await runs_room(pilot, 1)
        assert room.current is not None and room.current.run.name == run.name
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))
        await until(pilot, lambda: "39" in dump(pilot.app) and "finished" in dump(pilot.app))
