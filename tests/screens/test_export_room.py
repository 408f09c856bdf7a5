"""The Export room: types to choose, a job as it goes, proofs kept, read and used."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.export import types as known
from screens.base import ChatWith, ExportRef
from screens.export.form import ExportForm
from screens.export.ledger import Record, read_records
from screens.export.screen import ExportRoom
from screens.widgets import words
from screens.widgets.modals import ChoiceModal, LineModal, PickModal
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
    await until(pilot, lambda: room.form.outlook is not None)
    return room


def ready(form: ExportForm) -> bool:
    """Whether what the form says now was looked at and can be written."""
    seen = form.outlook
    return seen is not None and seen.plan is not None and seen.wish == form.wish


def shown(app: Any) -> str:
    """The screen without sizes: the starter is rebuilt now and then, and a disk fills."""
    told = re.sub(r"; [\d.]+ .B are free", "; # are free", dump(app))
    return re.sub(r"[\d.]+ [kMGT]?B\b", lambda found: "#" * len(found[0]), told)


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_the_first_visit_offers_every_type(
    make_app: MakeApp, name: str, size: tuple[int, int]
) -> None:
    async with make_app().run_test(size=size) as pilot:
        room = await export_room(pilot)
        assert room.focused is room.form.types
        if size == NARROW:  # the plot beside it moves with the starter's size
            check_golden("export-form", shown(pilot.app))
        else:
            assert "★ Recommended: the smallest that loses" in dump(pilot.app)
            assert "divergence (mean KL, log)" in dump(pilot.app)
        await pilot.press("escape")
        await pilot.pause()
        assert "An export is done when it is proved" in dump(pilot.app)


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_a_proof_is_read_again(
    make_app: MakeApp, cat: Catalogue, workspace: Workspace, name: str, size: tuple[int, int]
) -> None:
    workspace.create()
    write_export(cat, workspace.exports, ref="run:2@800", verdict="fail", type_="q8_0")
    write_export(cat, workspace.exports, ref="run:2@800")
    async with make_app().run_test(size=size) as pilot:
        room = await export_room(pilot)
        check_golden(f"export-{name}", dump(pilot.app))
        await pilot.press("i")
        await pilot.pause()
        assert "the same text gives the same ids" in dump(pilot.app)
        if size == NARROW:
            await pilot.press("p")
            await until(pilot, lambda: "★ f16 is the smallest" in dump(pilot.app))
            assert "divergence (mean KL, log)" in dump(pilot.app)
            await pilot.press("p")
        await pilot.press("i", "j")
        await pilot.pause()
        assert "✗ not proved" in dump(pilot.app)
        room.listing.records[1].path.unlink()
        room.read_again()
        assert not any(room.check_action(name, ()) for name in ("verify", "chat", "copy"))


async def test_types_are_ticked_and_the_advice_follows_memory(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        form = room.form
        assert form.types.advised and list(form.types.ticked) == ["q8_0"]
        await pilot.press("j", "space")
        await until(pilot, lambda: ready(form))
        assert list(form.types.ticked) == ["q8_0", "q6_k"]
        assert form.outlook is not None and form.outlook.plan is not None
        assert [file.type for file in form.outlook.plan.files] == ["q8_0", "q6_k"]
        assert "Export 2 files" in dump(pilot.app)
        form.types.untick()
        needs = next(o.memory for o in form.types.offers if o.type.name == "q5_k_m")
        form._memory.value = str(needs)
        await until(pilot, lambda: ready(form) and form.types.best == "q5_k_m")
        assert "q5_k_m: loses least of what runs in" in dump(pilot.app)
        form._memory.value = "1 MB"
        await until(pilot, lambda: "! none of these runs in 1.00 MB" in dump(pilot.app))
        form._memory.value = "lots"
        await until(pilot, lambda: "✗ --memory lots: expected a size." in dump(pilot.app))


async def test_what_cannot_be_written_is_refused_in_the_form(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        form = room.form
        form._to.value = "adapter"
        form._to.post_message(form._to.Changed())
        await until(pilot, lambda: "✗ starter: has no adapter." in dump(pilot.app))
        await pilot.press("ctrl+s")
        await pilot.pause(0.5)
        assert room.choosing and room.progress is None
        form._to.value = "merged"
        form._to.post_message(form._to.Changed())
        await until(pilot, lambda: ready(form))
        assert [offer.type.name for offer in form.types.offers] == list(known.TYPES["merged"])


async def test_what_is_there_is_replaced_only_after_asking(
    make_app: MakeApp, tmp_path: Path
) -> None:
    there = tmp_path / "mine.gguf"
    there.write_text("mine")
    async with make_app().run_test(size=NARROW) as pilot:
        room = await export_room(pilot)
        form = room.form
        form._out.value = str(there)
        await until(pilot, lambda: "mine.gguf is there already" in dump(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceModal))
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is room)
        assert room.progress is None and there.read_text() == "mine"


async def test_what_is_seldom_asked_for_is_shown_with_a_key(
    make_app: MakeApp, tmp_path: Path
) -> None:
    async with make_app().run_test(size=NARROW) as pilot:
        room = await export_room(pilot)
        form = room.form
        await pilot.press("m")
        await until(pilot, lambda: "size of a part" in dump(pilot.app))
        form._shard.value = "2MB"
        await until(pilot, lambda: ready(form))
        assert form.outlook is not None and form.outlook.plan is not None
        assert form.outlook.plan.shard == 2_000_000
        form._shard.value = "1"
        await until(pilot, lambda: "expected at least 1MB" in dump(pilot.app))
        form._shard.value = ""
        form._llama_cpp.value = str(tmp_path)
        await until(pilot, lambda: "✗ --llama-cpp" in dump(pilot.app))
        await pilot.press("m")
        await until(pilot, lambda: "size of a part" not in dump(pilot.app))


async def test_what_was_changed_after_the_key_is_not_written(make_app: MakeApp) -> None:
    """The key means what the form said then."""
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        await until(pilot, lambda: ready(room.form))
        room.action_start()
        room.form._to.value = "merged"
        room.form._to.post_message(room.form._to.Changed())
        await until(pilot, lambda: ready(room.form) and room.form.wish.to == "merged")
        assert room.choosing and room.progress is None


async def test_a_job_that_ends_before_a_record_says_why(make_app: MakeApp, tmp_path: Path) -> None:
    async with make_app().run_test(size=NARROW) as pilot:
        room = await export_room(pilot)
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        room.verify(tmp_path / "model.gguf", "run:9")
        await until(pilot, lambda: room.error is not None)
        assert "✗ run 9 does not exist" in dump(pilot.app)
        await pilot.press("escape")
        await pilot.pause()
        assert "An export is done when it is proved" in dump(pilot.app)


async def test_another_room_names_the_model(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.visit(ExportRef("run:9"))
        await until(pilot, lambda: isinstance(app.screen, ExportRoom))
        room = app.screen
        assert isinstance(room, ExportRoom)
        await until(pilot, lambda: room.form.wish.ref == "run:9")
        await until(pilot, lambda: "✗ run 9 does not exist" in dump(app))


async def test_two_types_are_written_proved_compared_and_deleted(
    make_app: MakeApp, cat: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        await pilot.press("j", "j", "j", "j", "space")
        await until(pilot, lambda: ready(room.form))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.progress is not None and bool(room.progress.stages), 300)
        assert not room.choosing and room.parting.startswith("The export of starter ends with")
        await until(pilot, lambda: "▶ running" in dump(app))
        await until(pilot, lambda: room.progress is None, 300)
        assert room.error is None, room.error
        assert [record.status for record in read_records(cat)] == ["proved", "proved"]
        screen = dump(app)
        assert "✓ end to end" in screen and "divergence (mean KL, log)" in screen
        assert "q4_k_m" in screen and "q8_0" in screen

        seen: list[ChatWith] = []
        monkeypatch.setattr(app, "visit", seen.append)
        await pilot.press("c")
        assert seen[0].refs == ("starter", str(room.listing.current.path))  # type: ignore[union-attr]

        await pilot.press("v")
        await until(pilot, lambda: room.progress is not None and bool(room.progress.stages), 300)
        await pilot.press("x")
        await until(pilot, lambda: room.progress is None, 300)
        assert len(exports.proofs(cat)) == 2  # it did not come to its end

        name = room.listing.current.path  # type: ignore[union-attr]
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        await pilot.press("y")
        await until(pilot, lambda: len(exports.all(cat)) == 1)
        assert not name.exists()


async def test_a_foreign_file_is_asked_for_and_listed(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    exports.add_proof(
        cat, file=str(tmp_path / "\x1b[31mevil.gguf"), sha256="cd" * 32, against="starter",
        verdict="fail", stages=[],
    )  # fmt: skip
    async with make_app().run_test(size=WIDE) as pilot:
        room = await export_room(pilot)
        record = room.listing.current
        assert isinstance(record, Record) and record.export is None
        assert "\x1b" not in dump(pilot.app) and "foreign" in dump(pilot.app)
        assert not room.check_action("delete", ())
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, LineModal))
        await pilot.press(*"/no/such", "enter")
        await pilot.pause()
        assert "Nothing lies there" in dump(pilot.app)
        modal = pilot.app.screen
        assert isinstance(modal, LineModal)
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        modal.query_one("Input").value = str(tmp_path / "model.gguf")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickModal))
        await pilot.press("escape")
