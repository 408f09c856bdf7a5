"""The form: every field explained, nonsense refused at the field, and a real run from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import assets
from engine.train import recipe as recipes
from engine.train.planning import Plan, make_plan
from engine.train.recipe import RECIPE_FIELDS
from screens.base import TrainOn
from screens.train.form import as_text, grouped
from screens.train.plan import PlanPane, plan_words
from screens.train.screen import TrainRoom
from screens.widgets.modals import ErrorModal, PickModal
from store import runs
from store.catalogue import Catalogue
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from tests.screens.written import write_run


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


def looks(pilot: Pilot[Any]) -> str:
    """The screen without what is the machine's business: tokens, memory and time."""
    seen = re.sub(r"(trained tokens +)\S+  \d+% of \S+", r"\1N  P% of M", dump(pilot.app))
    seen = re.sub(r"((?:memory|time) +)\d.*?  ±\d+%[^\n]*", r"\1N  ±P%", seen)
    seen = re.sub(r"((?:trained tokens|memory|time)) +N", r"\1 N", seen)
    return re.sub(r"about \d.*?(?=  |$)", "about N", seen, flags=re.M)


async def my_recipe(pilot: Pilot[Any], folder: Path) -> TrainRoom:
    """The form with 200 rows and a recipe file, both named as in the current folder."""
    (folder / "habit.jsonl").write_text(
        "".join(
            f'{{"prompt": "What is {n} plus 1?", "completion": "A sharp question. {n + 1}."}}\n'
            for n in range(200)
        )
    )
    (folder / "mine.toml").write_text("r = 8\nlearning_rate = 1e-3\nwarmup_steps = 10\n")
    room = await form_room(pilot, Path("habit.jsonl"))
    room.form.fill(recipe="mine.toml")
    await until(pilot, lambda: bool(room._wished and room._wished.recipe.r == 8))
    await until(pilot, lambda: not room.query_one(PlanPane).counting)
    return room


async def test_where_it_is_narrow_the_plan_is_below_the_form(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with make_app().run_test(size=NARROW) as pilot:
        await my_recipe(pilot, tmp_path)
        check_golden("train-form-narrow", looks(pilot))
        assert "no run yet" in dump(pilot.app)
        write_run(cat, name="elsewhere", step=9, status="finished")
        await pilot.app.run_action("app.go('data')")
        await pilot.app.run_action("app.go('train')")
        await until(pilot, lambda: " 1 run " in dump(pilot.app))


async def refuses_nonsense(pilot: Pilot[Any], room: TrainRoom) -> None:
    """At its field, in the engine's words."""
    rows = room.form.rows
    for field, value, said in (
        ("learning_rate", "fast", "expected a number from 0 to 1"),
        ("r", "0", "expected a whole number from 1 to 1024"),
        ("max_steps", "0", "max_steps: 0 trains nothing"),
    ):
        room.form.fill(**{field: value})
        assert rows[field].complaint == said
        assert room.form.wish() is None
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert room.focused is rows[field].control
        assert f"✗ {said}"[:40] in dump(pilot.app)
        room.form.fill(recipe="default")
        assert not rows[field].complaint
    room.form.fill(max_steps="5", warmup_steps="50")
    assert "never reaches its peak" in rows["warmup_steps"].complaint
    room.form.fill(recipe="default")


async def tells_choices(pilot: Pilot[Any], room: TrainRoom) -> None:
    """The engine's stand beside their fields, and what the machine cannot bear."""
    rows, pane = room.form.rows, room.query_one(PlanPane)
    await until(pilot, lambda: rows["load_in_4bit"].help_words.startswith("→ false"))
    assert "fits: about" in rows["load_in_4bit"].help_words
    await until(pilot, lambda: rows["learning_rate"].help_words.startswith("→ 0.0025  prior"))
    assert rows["r"].help_words == "LoRA rank: how much an adapter can hold."
    room.set_focus(rows["learning_rate"].control)
    await until(pilot, lambda: "ten times a full fine-tune" in pane.explained[1])
    assert pane.explained[2].startswith("→ 0.0025: prior for Llama")
    # Overridden, it is the person's; what the engine would take is still told in full.
    room.form.fill(learning_rate="1e-4")
    await until(pilot, lambda: rows["learning_rate"].help_words.startswith("Peak"))
    await until(pilot, lambda: "the engine would take 0.0025" in pane.explained[2])

    # What the machine cannot bear.
    room.form.fill(optim="adamw_8bit")
    await until(pilot, lambda: "need a GPU" in rows["optim"].complaint)
    room.form.fill(optim="auto", target_modules="q_prj")
    await until(pilot, lambda: "did you mean 'q_proj'?" in rows["target_modules"].complaint)
    assert not rows["optim"].complaint
    room.form.fill(recipe="default")


async def fields_come_and_go(pilot: Pilot[Any], room: TrainRoom) -> None:
    """Those of a method appear with it, and f2 reveals the rest."""
    rows, pane = room.form.rows, room.query_one(PlanPane)
    assert not rows["beta"].display
    room.form.fill(method="kto")
    await until(pilot, lambda: rows["beta"].display and rows["desirable_weight"].display)
    room.form.fill(method="dpo")
    await until(pilot, lambda: not rows["desirable_weight"].display)
    assert rows["beta"].display
    room.form.fill(recipe="default")

    # f2 reveals the rest; typing marks what differs.
    assert not rows["weight_decay"].display
    await pilot.press("f2")
    assert rows["weight_decay"].display
    room.set_focus(rows["r"].control)
    await pilot.press("end", "backspace", "backspace", "8")
    assert room.form.sets() == {"r": "8"}
    assert rows["r"].has_class("-changed")
    await until(pilot, lambda: "a field of knowledge" in pane.explained[1])
    room.set_focus(rows["lr_scheduler_type"].control)
    await pilot.press("right")
    assert room.form.sets()["lr_scheduler_type"] == "constant"


async def test_the_form_shows_what_it_would_train_on_and_refuses_nonsense_at_its_field(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with make_app().run_test(size=WIDE) as pilot:
        room = await my_recipe(pilot, tmp_path)
        check_golden("train-form-wide", looks(pilot))
        room.form.fill(recipe="default")
        await refuses_nonsense(pilot, room)
        await tells_choices(pilot, room)
        await fields_come_and_go(pilot, room)


def test_rows_are_judged_by_the_method_that_trains_on_them(cat: Catalogue) -> None:
    def planned(name: str, recipe: str) -> Plan:
        path = str(assets.path("datasets", f"{name}.jsonl"))
        return make_plan(cat, path, "starter", recipes.load(recipe))

    pairs = planned("brief", "preference")
    assert not pairs.stops and 0 < pairs.trained < pairs.total
    wrong = planned("brief", "default")
    assert wrong.stops == {"unsupported"} and wrong.trained == 0
    assert "--recipe preference" in wrong.way and wrong.way in plan_words(wrong).plain
    # 90 documents lie end to end in blocks; a step is no batch of documents.
    assert planned("island", "text").steps == 2


async def test_the_data_room_hands_its_file_over_and_what_is_wrong_is_said_before_the_start(
    make_app: MakeApp, cat: Catalogue, tmp_path: Path
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "Hi"}, '
        '{"role": "assistant", "content": "Hello."}]}\n'
        '{"messages": [{"role": "user", "content": "Hi"}]}\n{"messages": }\n'
    )
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.visit(TrainOn(str(path)))
        await until(pilot, lambda: isinstance(app.screen, TrainRoom))
        room = app.screen
        assert isinstance(room, TrainRoom)
        await until(pilot, lambda: room.form.rows["file"].value == str(path))
        await until(pilot, lambda: "✗ 1 row: cannot be read" in dump(app))
        screen = dump(app)
        assert "masked to nothing" in screen
        assert "These rows stop the run" in screen

        room.set_focus(room.form.rows["recipe"].control)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press("h", "a", "b", "i", "t", "x", "enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "did you mean 'habit'?" in dump(app)
        await pilot.press("escape")

        room.form.fill(file=str(tmp_path / "gone.jsonl"))
        await until(pilot, lambda: room.query_one(PlanPane).error is not None)
        assert "gone.jsonl" in dump(app)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert runs.all(cat) == []


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
        await until(pilot, lambda: room.look is not None and not room.look.living, 300)
        assert room.look is not None and room.look.run.status == "finished", room.look.log
        assert [kept.step for kept in room.look.checkpoints] == [3]
        screen = dump(pilot.app)
        assert "run 1 · [b]first[/b] · starter · habit.jsonl@" in screen
        assert "✓ finished" in screen and "step 3/3" in screen and "A base" in screen
        await pilot.press("r")
        assert runs.get(cat, 1).status == "finished"
