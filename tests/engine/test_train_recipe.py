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
        "default", "habit", "habit-starter", "kto", "lora-bf16", "preference", "qlora-7b", "quick",
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
        ("max_steps=inf", "a whole number"),
        ("max_steps=1e400", "a whole number"),
        ("learning_rate=-1e-4", "from 0 to 1"),
        ("lora_alpha=0", "from 1 to 8192"),
        ("lora_alpha=nan", "from 1 to 8192"),
        ("beta=0", "from 1e-06 to 100"),
        ("max_minutes=-5", "from 0 to 1000000"),
        ("max_length=3", "max_length=3"),
        ("packing=perhaps", "auto, true or false"),
        ("report_to=mlflow", "a list of tensorboard, wandb, trackio"),
        ("patience_metric=loss", "eval_loss or suite:NAME"),
        ("rank_pattern=down_proj", "a list as down_proj=64"),
        ("loraplus_lr_ratio=0.5", "loraplus_lr_ratio"),
        ("max_steps", "key=value"),
        ("target_modules=", "target_modules"),
    ],
)
def test_nonsense_is_refused_by_name(given: str, named: str) -> None:
    with pytest.raises(BadInput) as refusal:
        recipes.with_sets(Recipe(), [given])
    assert named in refusal.value.message
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("given", "named", "way"),
    [
        ("max_steps=5 max_tokens=900", "max_tokens=900: max_steps=5", "max_steps=-1"),
        ("method=dpo packing=true", "packing=true: method=dpo", "packing=auto"),
        ("method=kto packing=true", "packing=true: method=kto", "packing=auto"),
        ("method=dpo loss_type=nll", "loss_type=nll: method=dpo", "sigmoid"),
        ("method=dpo add_tokens=<t>", "add_tokens: method=dpo", "method=sft"),
        ("method=kto per_device_train_batch_size=1", "per_device_train_batch_size=1", "Use 2"),
        ("method=kto desirable_weight=0 undesirable_weight=0", "desirable_weight=0", "at 1"),
        ("target_modules=lm_head add_tokens=<t>", "lm_head", "add_tokens trains its rows"),
        ("target_modules=all-linear,q_proj", "all-linear", "alone"),
        ("add_tokens=<t>,<t>", "named twice", "once"),
        ("rank_pattern=down_proj=0", "down_proj=0", "down_proj=64"),
        ("rank_pattern=down_proj=1.5", "whole number above 0", "down_proj=64"),
        ("rank_pattern=(=4", "no regular expression", "down_proj=64"),
        ("keep_best=suite:mine", "suites does not name 'mine'", "suites=mine"),
        ("patience=2 patience_metric=suite:mine", "patience_metric", "suites=mine"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_way_out(
    given: str, named: str, way: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        recipes.with_sets(Recipe(), given.split())
    assert named in refusal.value.message
    assert way in refusal.value.hint


def test_a_switch_is_auto_true_or_false_in_texts_and_files(tmp_path: Path) -> None:
    for text, value in (("auto", "auto"), ("AUTO", "auto"), ("true", True), ("No", False)):
        assert recipes.with_sets(Recipe(), [f"packing={text}"]).packing == value
    (path := tmp_path / "own.toml").write_text('packing = "auto"\nload_in_4bit = false\n')
    assert recipes.load(str(path)).load_in_4bit is False


def test_patterns_part_at_the_last_equals_sign() -> None:
    given = recipes.patterned(("down_proj=64", "layers.0.*=4", "a=b=2"))
    assert given == {"down_proj": 64, "layers.0.*": 4, "a=b": 2}


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
