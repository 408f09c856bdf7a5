"""Suites over the checkpoints of a run, and which one is recommended."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import assets
from engine.checks import suite as suites
from engine.checks.comparing import compare
from engine.checks.judging import CheckOutcome, Item, ModelResult, result
from engine.checks.series import Series, SuiteSeries, over_checkpoints, recommend, steps_of
from engine.checks.suite import Suite
from engine.models import refs
from engine.train import client
from engine.votes import review
from store.catalogue import Catalogue
from store.errors import NotFound
from tests.engine.chat_fixtures import add_run, make_adapter

SUITE = """
name = "NAME"
max_tokens = 8
[[group]]
name = "g"
prompts = [PROMPTS]
[[group.check]]
kind = "contains"
value = "x"
"""


def made(folder: Path, name: str, count: int) -> Suite:
    path = folder / f"{name}.toml"
    prompts = ", ".join(f'"{name} {i}"' for i in range(count))
    path.write_text(SUITE.replace("NAME", name).replace("PROMPTS", prompts))
    return suites.load(str(path))


def told(suite: Suite, model: str, passes: list[bool]) -> ModelResult:
    items = tuple(
        Item("g", prompt.text, None, None, "x" if good else "", "turn end", verdict, (),
             (CheckOutcome("contains 'x'", verdict),))
        for (_, prompt), good in zip(suite.asked, passes, strict=True)
        for verdict in ["pass" if good else "fail"]
    )  # fmt: skip
    return result(suite, model, model, items)


def series(suite: Suite, *columns: list[bool]) -> SuiteSeries:
    results = [told(suite, str(i), column) for i, column in enumerate(columns)]
    return SuiteSeries(suite, results[0], tuple(results[1:]), tuple(compare(results)))


def first(count: int, total: int = 40) -> list[bool]:
    return [i < count for i in range(total)]


def test_the_best_that_forgot_nothing_is_named_with_its_equals(tmp_path: Path) -> None:
    aim, kept = made(tmp_path, "aim", 40), made(tmp_path, "kept", 40)
    habit = series(aim, first(0), first(10), first(30), first(38), first(39), first(40))
    memory = series(kept, first(38), first(38), first(37), first(37), first(36), first(20))
    found = recommend(Series(1, (100, 200, 300, 400, 500), (habit, memory)), "kept")
    assert [habit.said(0, i) for i in (0, 3)] == ["better", "better"]
    assert [memory.said(0, i) for i in (0, 4)] == ["cannot tell apart", "worse"]
    assert found.step == 400  # @500 is better still, and has forgotten.
    assert found.alike == (300,)
    assert found.reason == (
        "aim, highest: @400 with 97.5%, better than the base; better than @100, @200; "
        "cannot be told apart from @300; kept: cannot tell apart (p 1, n 40)"
    )


def test_nothing_is_recommended_on_luck(tmp_path: Path) -> None:
    aim, kept = made(tmp_path, "aim", 40), made(tmp_path, "kept", 40)
    little = series(aim, first(20), first(22), first(23))
    found = recommend(Series(1, (1, 2), (little,)))
    assert found.step is None
    assert "@2 with 57.5%, which cannot be told apart from the base" in found.reason
    habit, gone = series(aim, first(0), first(40)), series(kept, first(40), first(10))
    assert recommend(Series(1, (1,), (habit, gone)), "kept").reason == (
        "every checkpoint lost some of kept"
    )
    # Eight checkpoints that differ from the base by chance alone, many times over.
    draw = random.Random(1)
    named = 0
    for _ in range(100):
        columns = [[draw.random() < 0.6 for _ in range(40)] for _ in range(9)]
        named += recommend(Series(1, tuple(range(8)), (series(aim, *columns),))).step is not None
    assert named <= 8


def test_every_checkpoint_is_asked_and_one_is_promoted(cat: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SUITE.replace("NAME", "small").replace("PROMPTS", '"Hi", "Who are you?"'))
    adapters = {
        step: make_adapter(assets.path("starter"), tmp_path / str(step), seed=step, scale=0.3)
        for step in (4, 8)
    }
    ref = add_run(cat, "starter", adapters)
    run_id = int(ref.removeprefix("run:"))
    found = over_checkpoints(cat, run_id, [suites.load(str(path))])
    (small,) = found.suites
    assert found.steps == (4, 8)
    assert [one.ref for one in (small.base, *small.at)] == ["starter", f"{ref}@4", f"{ref}@8"]
    assert len(small.pairs) == 2
    assert len({tuple(i.answer for i in one.items) for one in (small.base, *small.at)}) == 3
    with pytest.raises(NotFound):
        steps_of(cat, run_id + 1)

    assert review.of_run(cat, run_id) == ["starter", f"{ref}@4", f"{ref}@8"]
    assert refs.resolve(cat, ref).step == 8
    client.promote(cat, run_id, 4)
    assert refs.resolve(cat, ref).step == 4
    client.demote(cat, run_id)
    assert refs.resolve(cat, ref).step == 8
    with pytest.raises(NotFound, match="no checkpoint at step 5"):
        client.promote(cat, run_id, 5)
