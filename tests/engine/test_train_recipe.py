"""Recipes: every shipped one loads, and nonsense is refused with the key and what was expected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.train import recipe as recipes
from engine.train.recipe import RECIPE_FIELDS, Recipe
from store.errors import BadInput, NotFound


def test_every_shipped_recipe_loads_and_says_what_it_is_for() -> None:
    known = dict(recipes.names())
    assert next(iter(known)) == "default"
    assert known.keys() == {
        "default", "habit", "habit-starter", "lora-bf16", "preference", "qlora-7b", "quick",
        "text", "tiny",
    }  # fmt: skip
    for name, description in known.items():
        assert description.endswith((".", "?"))
        loaded = recipes.load(name)
        assert recipes.from_dict(recipes.as_dict(loaded)) == loaded


def test_the_7b_recipe_is_that_of_story_three() -> None:
    r = recipes.load("qlora-7b")
    assert (r.load_in_4bit, r.bnb_4bit_use_double_quant, r.r, r.lora_alpha) == (True, True, 8, 16)
    assert (r.lora_dropout, r.learning_rate, r.max_steps) == (0.05, 2e-4, 500)
    assert set(r.target_modules) == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert r.per_device_train_batch_size * r.gradient_accumulation_steps == 4
    assert (r.optim, r.lr_scheduler_type, r.dtype) == ("adamw_8bit", "cosine", "bfloat16")
    assert r.gradient_checkpointing and r.warmup_steps > 0


def test_every_field_explains_itself() -> None:
    for field in RECIPE_FIELDS:
        assert field.help.endswith((".", "all.")), field.name
        assert field.expected


def test_sets_are_laid_over_a_recipe_with_their_types() -> None:
    changed = recipes.with_sets(
        Recipe(),
        ["learning_rate=3e-3", "max_steps=7", "target_modules=q_proj, v_proj", "use_rslora=TRUE"],
    )
    assert changed == replace(
        Recipe(),
        learning_rate=3e-3,
        max_steps=7,
        target_modules=("q_proj", "v_proj"),
        use_rslora=True,
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("learning_rat=1", "learning_rat"),
        ("max_steps=ten", "a whole number"),
        ("max_steps=1.5", "a whole number"),
        ("max_steps=0", "max_steps"),
        ("learning_rate=7", "from 0 to 1"),
        ("learning_rate=nan", "from 0 to 1"),
        ("r=0", "from 1 to 1024"),
        ("optim=sgd", "one of auto, adamw_torch_fused"),
        ("load_in_4bit=perhaps", "true or false"),
        ("max_steps", "key=value"),
        ("target_modules=", "target_modules"),
    ],
)
def test_nonsense_is_refused_by_name(given: str, named: str) -> None:
    with pytest.raises(BadInput) as refusal:
        recipes.with_sets(Recipe(), [given])
    assert named in refusal.value.message
    assert refusal.value.hint


def test_the_nearest_key_and_recipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as unknown:
        recipes.with_sets(Recipe(), ["lora_alfa=3"])
    assert "lora_alpha" in unknown.value.hint
    with pytest.raises(NotFound, match="did you mean 'habit'"):
        recipes.load("habbit")
    (path := tmp_path / "own.toml").write_text("max_steps = 3\nlerning_rate = 1e-3\n")
    with pytest.raises(BadInput) as key:
        recipes.load(str(path))
    assert "lerning_rate" in key.value.message and str(path) in key.value.message
    path.write_text("max_steps = \n")
    with pytest.raises(BadInput, match="line 1"):
        recipes.load(str(path))


def test_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(BadInput, match="warmup_steps"):
        recipes.with_sets(Recipe(), ["max_steps=5", "warmup_steps=5"])


def test_a_shipped_recipe_may_be_cut_to_one_step() -> None:
    for name, _ in recipes.names():
        assert recipes.with_sets(recipes.load(name), ["max_steps=1"]).max_steps == 1
