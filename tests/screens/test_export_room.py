"""The Export room: the form, stages as they happen, proofs kept and read again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.export.stages import Stage
from screens.base import ExportRef
from screens.export.proof import stage_lines
from screens.export.screen import ExportRoom
from screens.widgets import words
from screens.widgets.modals import PickModal
from store import exports
from store.catalogue import Catalogue
from store.workspace import Workspace
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.written import NOW, write_export


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(words, "now", lambda: NOW)
    monkeypatch.setenv("HOME", str(tmp_path))


async def export_room(pilot: Pilot[Any]) -> ExportRoom:
    await pilot.app.run_action("app.go('export')")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportRoom))
    room = pilot.app.screen
    assert isinstance(room, ExportRoom)
    await until(pilot, lambda: room.plan is not None)
    return room


def shown(app: Any) -> str:
    """The screen, with the predicted size of the starter left out: it is rebuilt now and then."""
    lines = dump(app).split("\n")
    return "\n".join("about N" if line.startswith(" about ") else line for line in lines)


async def test_the_first_visit_explains_itself(make_app: MakeApp) -> None:
    async with make_app().run_test(size=NARROW) as pilot:
        await export_room(pilot)
        check_golden("export-empty-narrow", shown(pilot.app))


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_a_proof_is_read_again(
    make_app: MakeApp, cat: Catalogue, workspace: Workspace, name: str, size: tuple[int, int]
) -> None:
    workspace.create()
    write_export(cat, workspace.exports, ref="run:2@800", verdict="fail", type_="q8_0")
    write_export(cat, workspace.exports, ref="run:2@800")
    async with make_app().run_test(size=size) as pilot:
        room = await export_room(pilot)
        await pilot.press("escape")
        check_golden(f"export-{name}", shown(pilot.app))
        await pilot.press("j")
        await pilot.pause()
        assert "✗ not proved" in dump(pilot.app)
        Path(room.listing.records[1].export.path).unlink()
        room._read()
        assert not room.check_action("verify", ()) and not room.check_action("chat", ())


async def test_types_follow_the_form_and_a_refusal_is_shown_at_once(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickModal))
        await pilot.press(*"q4_k_m")
        await pilot.pause()
        assert "usual KL 0.031" in dump(pilot.app)
        await pilot.press("enter")
        await until(pilot, lambda: room.form.wish.type == "q4_k_m")
        await pilot.press("shift+tab", "left")
        assert room.form.wish.to == "adapter" and room.form.wish.type == "f32"
        await until(pilot, lambda: room.plan is None)
        assert "✗ starter: has no adapter." in dump(pilot.app)


async def test_another_room_names_the_model(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.visit(ExportRef("run:9"))
        await until(pilot, lambda: isinstance(app.screen, ExportRoom))
        room = app.screen
        assert isinstance(room, ExportRoom)
        await until(pilot, lambda: room.form.wish.ref == "run:9")
        await until(pilot, lambda: "✗ run 9 does not exist" in dump(app))


async def test_a_failure_is_shown_in_the_pane_and_nothing_is_kept(
    make_app: MakeApp, cat: Catalogue
) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        room.form.fill(ref="run:9")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.error is not None)
        assert "✗ run 9 does not exist" in dump(pilot.app)
        assert exports.all(cat) == [] and not room.job


async def test_an_export_is_written_proved_and_verified_again(
    make_app: MakeApp, cat: Catalogue
) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        await pilot.press("ctrl+s")
        assert room.job and room.check_action("cancel", ())
        await until(pilot, lambda: "write" in room.stages, 120)
        await until(pilot, lambda: not room.job, 120)
        assert room.error is None, room.error
        (made,) = exports.all(cat)
        assert made.status == "proved" and Path(made.path).is_file()
        screen = dump(pilot.app)
        assert "✓ logits" in screen and "✓ proved: it answers like" in screen
        await pilot.press("v")
        await until(pilot, lambda: bool(room.stages), 120)
        await pilot.press("x")
        await until(pilot, lambda: not room.job, 120)
        assert len(exports.proofs(cat, made.id)) == 1


def test_a_running_stage_has_a_bar_and_long_words_hang() -> None:
    lines = stage_lines(
        [
            Stage("write", "running", "writing tensor 5 of 10", {"done": 5, "total": 10}),
            Stage("logits", "warn", "word " * 20),
            Stage("new\x1bstage", "pass", "[/b]"),
        ],
        50,
    )
    plain = [line.plain for line in lines]
    assert plain[0].startswith("▸ write") and plain[1].strip() == "━" * len(plain[1].strip())
    assert plain[2].startswith("! logits") and plain[3].startswith(" " * 18 + "word")
    assert "[/b]" in plain[-1] and "\x1b" not in plain[-1]
