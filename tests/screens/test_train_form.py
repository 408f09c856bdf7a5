"""The form: every field explained, nonsense refused at the field, and a real run from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import assets
from engine.train.recipe import RECIPE_FIELDS
from screens.base import TrainOn
from screens.train.form import as_text, grouped
from screens.train.plan import PlanPane
from screens.train.screen import TrainRoom
from screens.widgets.modals import ErrorModal
from store import runs
from store.catalogue import Catalogue
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until


async def form_room(pilot: Pilot[Any], file: Path | None = None) -> TrainRoom:
    await pilot.app.run_action("app.go('train')")
    await until(pilot, lambda: isinstance(pilot.app.screen, TrainRoom))
    room = pilot.app.screen
    assert isinstance(room, TrainRoom)
    if file is not None:
        room.form.fill(file=str(file))
    pane = room.query_one(PlanPane)
    await until(pilot, lambda: pane.plan is not None and not pane.counting)
    if file is not None:
        await until(pilot, lambda: bool(room._wished and room._wished.file == str(file)))
        await until(pilot, lambda: not pane.counting)
    return room


def test_every_recipe_field_has_one_place_and_an_explanation() -> None:
    shown = [field.name for _, usual, more in grouped() for field in (*usual, *more)]
    assert sorted(shown) == sorted(field.name for field in RECIPE_FIELDS)
    assert all(field.help and field.expected for field in RECIPE_FIELDS)


def test_values_are_written_as_one_types_them() -> None:
    values = (True, 2e-4, 3.0, 16, ("q_proj", "v_proj"), "cosine")
    assert [as_text(value) for value in values] == [
        "true",
        "0.0002",
        "3",
        "16",
        "q_proj,v_proj",
        "cosine",
    ]


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_the_form_shows_what_it_would_train_on(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
    size: tuple[int, int],
) -> None:  # fmt: skip
    (tmp_path / "habit.jsonl").write_text(
        "".join(
            f'{{"prompt": "What is {n} plus 1?", "completion": "A sharp question. {n + 1}."}}\n'
            for n in range(200)
        )
    )
    (tmp_path / "mine.toml").write_text("r = 8\nlearning_rate = 1e-3\nwarmup_steps = 10\n")
    monkeypatch.chdir(tmp_path)
    async with make_app().run_test(size=size) as pilot:
        room = await form_room(pilot, Path("habit.jsonl"))
        room.form.fill(recipe="mine.toml")
        await until(pilot, lambda: bool(room._wished and room._wished.recipe.r == 8))
        await until(pilot, lambda: not room.query_one(PlanPane).counting)
        # How many tokens these are is the starter's business.
        seen = re.sub(r"(trained tokens +)\S+  \d+% of \S+", r"\1N  P% of M", dump(pilot.app))
        # How much memory and time that takes is the machine's.
        seen = re.sub(r"((?:memory|time) +)\d.*?  ±\d+%[^\n]*", r"\1N  ±P%", seen)
        seen = re.sub(r"about \d.*?(?=  |$)", "about N", seen, flags=re.M)
        check_golden(f"train-form-{name}", seen)


async def test_nonsense_is_refused_at_the_field_with_the_engines_words(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        for field, value, said in (
            ("learning_rate", "fast", "expected a number from 0 to 1"),
            ("r", "0", "expected a whole number from 1 to 1024"),
            ("max_steps", "0", "max_steps: 0 trains nothing"),
        ):
            room.form.fill(**{field: value})
            assert room.form.rows[field].complaint == said
            assert room.form.wish() is None
            await pilot.press("ctrl+s")
            await pilot.pause()
            assert room.focused is room.form.rows[field].control
            assert f"✗ {said}"[:40] in dump(pilot.app)
            room.form.fill(recipe="default")
            assert not room.form.rows[field].complaint


async def test_the_engines_choices_stand_beside_their_fields(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        rows = room.form.rows
        await until(pilot, lambda: rows["load_in_4bit"].help_words.startswith("→ false"))
        assert "fits: about" in rows["load_in_4bit"].help_words
        assert rows["learning_rate"].help_words.startswith("→ 0.0025  prior for Llama")
        assert rows["r"].help_words == "LoRA rank: how much an adapter can hold."
        screen = dump(pilot.app)
        assert "memory" in screen and "time" in screen
        room.set_focus(rows["learning_rate"].control)
        pane = room.query_one(PlanPane)
        await until(pilot, lambda: "ten times a full fine-tune" in pane.explained[1])
        assert pane.explained[2].startswith("→ 0.0025: prior for Llama")
        # Overridden, it is the person's; what the engine would take is still told in full.
        room.form.fill(learning_rate="1e-4")
        await until(pilot, lambda: rows["learning_rate"].help_words.startswith("Peak"))
        await until(pilot, lambda: "the engine would take 0.0025" in pane.explained[2])


async def test_what_the_machine_cannot_bear_is_said_at_its_field(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        rows = room.form.rows
        room.form.fill(optim="adamw_8bit")
        await until(pilot, lambda: "need a GPU" in rows["optim"].complaint)
        room.form.fill(optim="auto", target_modules="q_prj")
        await until(pilot, lambda: "did you mean 'q_proj'?" in rows["target_modules"].complaint)
        assert not rows["optim"].complaint


async def test_fields_of_a_method_appear_with_it(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        rows = room.form.rows
        assert not rows["beta"].display
        room.form.fill(method="kto")
        await until(pilot, lambda: rows["beta"].display and rows["desirable_weight"].display)
        room.form.fill(method="dpo")
        await until(pilot, lambda: not rows["desirable_weight"].display)
        assert rows["beta"].display


async def test_contradictions_are_shown_at_the_field_they_name(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        room.form.fill(max_steps="5", warmup_steps="50")
        assert "never reaches its peak" in room.form.rows["warmup_steps"].complaint


async def test_f2_reveals_the_rest_and_typing_marks_what_differs(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        assert not room.form.rows["weight_decay"].display
        await pilot.press("f2")
        assert room.form.rows["weight_decay"].display
        room.set_focus(room.form.rows["r"].control)
        await pilot.press("end", "backspace", "backspace", "8")
        assert room.form.sets() == {"r": "8"}
        assert room.form.rows["r"].has_class("-changed")
        await pilot.pause()
        assert "a field of knowledge" in room.query_one(PlanPane).explained[1]
        room.set_focus(room.form.rows["lr_scheduler_type"].control)
        await pilot.press("right")
        assert room.form.sets()["lr_scheduler_type"] == "constant"


async def test_findings_are_listed_before_the_start(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "Hi"}, '
        '{"role": "assistant", "content": "Hello."}]}\n'
        '{"messages": [{"role": "user", "content": "Hi"}]}\n{"messages": }\n'
    )
    async with make_app().run_test(size=WIDE) as pilot:
        await form_room(pilot, path)
        screen = dump(pilot.app)
        assert "rows" in screen and "✗ 1 row: cannot be read" in screen
        assert "masked to nothing" in screen
        assert "These rows stop the run" in screen


async def test_a_missing_file_is_named_and_nothing_is_started(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        room.form.fill(file=str(tmp_path / "gone.jsonl"))
        await until(pilot, lambda: room.query_one(PlanPane).error is not None)
        assert "gone.jsonl" in dump(pilot.app)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ErrorModal))
        assert runs.all(cat) == []


async def test_the_data_room_hands_its_file_over(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(assets.path("datasets", "domain.jsonl").read_bytes())
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.visit(TrainOn(str(path)))
        await until(pilot, lambda: isinstance(app.screen, TrainRoom))
        room = app.screen
        assert isinstance(room, TrainRoom)
        await until(pilot, lambda: room.form.rows["file"].value == str(path))


async def test_a_run_is_started_from_the_form_watched_to_its_end_and_shown_in_runs(
    make_app: MakeApp, cat: Catalogue
) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot, assets.path("datasets", "habit.jsonl"))
        room.form.fill(recipe="habit-starter")
        room.form.fill(
            max_steps="3", warmup_steps="0", eval_steps="3", save_steps="3", probe_tokens="4",
            max_length="64", name="[b]first[/b]",
        )  # fmt: skip
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.look is not None)
        assert not room.has_class("-form")
        await until(pilot, lambda: room.look is not None and not room.look.living, 120)
        assert room.look is not None and room.look.run.status == "finished", room.look.log
        assert [kept.step for kept in room.look.checkpoints] == [3]
        screen = dump(pilot.app)
        assert "run 1 · [b]first[/b] · starter · habit.jsonl@" in screen
        assert "✓ finished" in screen and "step 3/3" in screen and "A base" in screen
        await pilot.press("r")
        assert runs.get(cat, 1).status == "finished"


async def test_a_recipe_that_does_not_exist_is_said_in_words(make_app: MakeApp) -> None:
    async with make_app().run_test(size=WIDE) as pilot:
        room = await form_room(pilot)
        room.set_focus(room.form.rows["recipe"].control)
        await pilot.press("enter", "h", "a", "b", "i", "t", "x", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ErrorModal))
        assert "did you mean 'habit'?" in dump(pilot.app)
