"""What trains is seen everywhere: on coming back, in every bottom line, and at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from screens.chat.screen import ChatRoom
from screens.train.screen import TrainRoom
from store.catalogue import Catalogue
from store.runwriter import RunWriter
from store.workspace import Workspace
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, dump, until
from tests.screens.written import three_runs


async def test_who_comes_back_sees_the_run_that_goes_on_and_its_end(
    make_app: MakeApp, cat: Catalogue, workspace: Workspace
) -> None:
    _, _, running = three_runs(cat)
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        room = app.screen
        assert isinstance(room, TrainRoom)
        await until(pilot, lambda: room.run_id == running.id)
        await app.action_go("data")
        await until(pilot, lambda: f"▶ run {running.id}" in dump(app))
        with RunWriter.open(workspace.run_dir(running.id) / "run.db") as writer:
            writer.state("finished", step=800, total_steps=800)
        said = f"✓ run {running.id} finished"
        await until(pilot, lambda: said in [note.message for note in app._notifications])
        await until(pilot, lambda: not app.running.plain)


async def test_a_file_that_was_named_is_not_left_for_a_run(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    three_runs(cat)
    file = tmp_path / "none.jsonl"
    file.write_bytes(b"")
    app = make_app(file)
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: bool(app.running.plain))
        await until(pilot, lambda: "none.jsonl has no rows." in dump(app))
        assert app.current_mode == "data"


async def test_brackets_walk_the_checkpoints_of_one_run(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["starter", "run:2", "run:2@10", "run:2@20", "run:1", "run:1@5", "run:1@9"]
    monkeypatch.setattr(ChatRoom, "candidates", lambda _room: [(ref, ref) for ref in listed])
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await app.action_go("chat")
        room = app.screen
        assert isinstance(room, ChatRoom)
        await until(pilot, lambda: len(room.columns) == 2)
        column = room.columns[1]
        column.set_model("run:1@5")
        await pilot.press("escape", "l")
        for key, ref in (
            ("left_square_bracket", "run:1@5"),
            ("right_square_bracket", "run:1@9"),
            ("right_square_bracket", "run:1@9"),
            ("left_square_bracket", "run:1@5"),
        ):
            await pilot.press(key)
            assert column.ref == ref
        column.set_model("starter")
        await pilot.press("right_square_bracket")
        assert column.ref == "run:2@20"
