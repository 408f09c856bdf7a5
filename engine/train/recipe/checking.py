"""Which values make sense, and which do not go together.

Knows the recipe alone; `fitting` knows what a model or machine cannot bear. Every refusal names
the key and the way out.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path

from engine.train.recipe.describing import AUTO, RecipeField, Value
from engine.train.recipe.fields import (
    BY_NAME,
    DPO_LOSSES,
    KTO_LOSSES,
    PREFERENCE,
    SFT_LOSSES,
    Recipe,
)
from store.errors import BadInput

LOSSES = {"sft": SFT_LOSSES, "text": SFT_LOSSES, "dpo": DPO_LOSSES, "kto": KTO_LOSSES}
"""The formulas a method takes, its usual one first."""

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_DIGITS = {"1": True, "0": False}
_SHORTEST = 8


def find(key: str, source: str) -> RecipeField:
    """The setting of that name.

    Raises:
        BadInput: there is none; the nearest is named.
    """
    if key in BY_NAME:
        return BY_NAME[key]
    near = difflib.get_close_matches(key, BY_NAME, 1, 0.5)
    hint = f"Did you mean '{near[0]}'?" if near else "`workbench recipe` lists the keys."
    raise BadInput(f"{source}: unknown recipe key '{key}'", hint)


def parse(setting: RecipeField, text: str) -> object:
    """The value that `text` stands for; text itself where it stands for none."""
    if setting.type in ("bool", "switch"):
        return (_WORDS | _DIGITS).get(text.lower(), text.lower() if text else text)
    if setting.type == "list":
        return [part.strip() for part in text.split(",") if part.strip()]
    if setting.type in ("int", "float"):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def check(setting: RecipeField, value: object, source: str) -> Value:
    """The value in the setting's own type.

    Raises:
        BadInput: it is not what the setting takes.
    """
    found = _taken(setting, value)
    if found is None:
        raise BadInput(
            f"{source}: {setting.name}={value!r}: expected {setting.expected}", setting.help
        )
    return found


def _taken(setting: RecipeField, value: object) -> Value | None:
    """None where the setting does not take the value."""
    match setting.type, value:
        case (("bool" | "switch"), bool()):
            return value
        case "switch", str() if value == AUTO:
            return AUTO
        case (("int" | "float"), int() | float()) if not isinstance(value, bool):
            return _number(setting, value)
        case "str", str() if _text_fits(setting, value):
            return value
        case "list", str():
            return (value,) if _text_fits(setting, value) else None
        case "list", list() | tuple() if all(isinstance(item, str) for item in value):
            return tuple(value) if all(_text_fits(setting, item) for item in value) else None
    return None


def _number(setting: RecipeField, value: int | float) -> int | float | None:
    low, high = setting.low, setting.high
    if low is None or high is None or not low <= value <= high:  # NaN and infinity fail, too
        return None
    if setting.type == "float":
        return float(value)
    return int(value) if value == math.floor(value) else None


def _text_fits(setting: RecipeField, text: str) -> bool:
    if setting.choices:
        return text in setting.choices
    if setting.pattern:
        return re.fullmatch(setting.pattern, text) is not None
    return "\0" not in text


def patterned(pairs: Iterable[str]) -> dict[str, float]:
    """`down_proj=64` and the like as PEFT's dictionaries; the last `=` parts name and number."""
    split = (pair.rpartition("=") for pair in pairs)
    return {name: float(number) for name, _, number in split}


def validate(recipe: Recipe) -> None:
    """Refuse settings that contradict each other.

    Raises:
        BadInput: naming both, and the way out.
    """
    _length(recipe)
    _method(recipe)
    _adapter(recipe)
    _suites(recipe)


def _length(recipe: Recipe) -> None:
    if recipe.max_steps == 0:
        raise BadInput("max_steps: 0 trains nothing", "Use -1 to count epochs, or 1 and more.")
    if recipe.max_steps > 0 and recipe.max_tokens > 0:
        raise BadInput(
            f"max_tokens={recipe.max_tokens}: max_steps={recipe.max_steps} says another end",
            "Set max_steps=-1 to count tokens, or max_tokens=0 to count steps.",
        )
    if 1 <= recipe.max_steps <= recipe.warmup_steps:
        raise BadInput(
            f"warmup_steps={recipe.warmup_steps:g}: the rate never reaches its peak in "
            f"max_steps={recipe.max_steps}",
            "Make warmup_steps smaller; 0.1 is a tenth of all steps.",
        )
    if 0 < recipe.max_length < _SHORTEST:
        raise BadInput(
            f"max_length={recipe.max_length}: expected 0, or {_SHORTEST} and more",
            "0 is the longest row.",
        )


def _method(recipe: Recipe) -> None:
    losses = LOSSES[recipe.method]
    if recipe.loss_type not in (AUTO, *losses):
        raise BadInput(
            f"loss_type={recipe.loss_type}: method={recipe.method} has no such loss",
            f"Use auto, or one of {', '.join(losses)}.",
        )
    if recipe.method in PREFERENCE and recipe.packing is True:
        raise BadInput(
            f"packing=true: method={recipe.method} compares whole answers, which cannot be packed",
            "Set packing=auto or packing=false.",
        )
    if recipe.method in PREFERENCE and recipe.add_tokens:
        raise BadInput(
            f"add_tokens: method={recipe.method} only moves what a model says already",
            "Teach the tokens with method=sft or method=text first.",
        )
    if recipe.loss_type in (AUTO, "kto") and recipe.method == "kto":
        if recipe.per_device_train_batch_size == 1:
            raise BadInput(
                "per_device_train_batch_size=1: the kto loss measures each row against the others "
                "of its batch",
                "Use 2 and more, or loss_type=apo_zero_unpaired.",
            )
        if not recipe.desirable_weight and not recipe.undesirable_weight:
            raise BadInput(
                "desirable_weight=0: undesirable_weight is 0 as well, so nothing is learned",
                "Leave one of them at 1.",
            )


def _adapter(recipe: Recipe) -> None:
    if not recipe.target_modules:
        raise BadInput("target_modules: no layer named", "Use all-linear, or q_proj,v_proj.")
    if "all-linear" in recipe.target_modules and len(recipe.target_modules) > 1:
        raise BadInput(
            "target_modules: all-linear takes every layer already",
            "Use all-linear alone, or names alone.",
        )
    if "lm_head" in recipe.target_modules:
        way = "add_tokens trains its rows anyway." if recipe.add_tokens else ""
        raise BadInput(
            "target_modules: lm_head: the loss is computed from the head's own weights, so an "
            "adapter there would never be trained",
            f"Leave lm_head out. {way}".strip(),
        )
    if 0 < recipe.loraplus_lr_ratio < 1:
        raise BadInput(
            f"loraplus_lr_ratio={recipe.loraplus_lr_ratio:g}: expected 0, or 1 and more",
            "0 turns LoRA+ off; 16 is usual.",
        )
    for key, pairs in (
        ("rank_pattern", recipe.rank_pattern),
        ("alpha_pattern", recipe.alpha_pattern),
    ):
        for name, number in patterned(pairs).items():
            _pattern(key, name, number, whole=key == "rank_pattern")
    tokens = recipe.add_tokens
    odd = next((t for t in tokens if not t.strip() or t != t.strip() or tokens.count(t) > 1), None)
    if odd is not None:
        raise BadInput(
            f"add_tokens: {odd!r} is blank, has space around it, or is named twice",
            "Name each token once, as <tool>.",
        )


def _pattern(key: str, name: str, number: float, *, whole: bool) -> None:
    try:
        re.compile(name)
    except re.error as error:
        raise BadInput(
            f"{key}: {name!r} is no regular expression: {error}",
            "Use a module's name: down_proj=64.",
        ) from error
    if number <= 0 or (whole and number != int(number)):
        raise BadInput(
            f"{key}: {name}={number:g}: expected a {'whole ' if whole else ''}number above 0",
            "For example down_proj=64.",
        )


def suite_label(entry: str) -> str:
    """The name by which metrics and `suite:NAME` know a suite that a recipe names."""
    return Path(entry).stem


def suite_names(recipe: Recipe) -> dict[str, str]:
    """The recipe's suites, each label with what the recipe calls it, the retention suite last.

    Raises:
        BadInput: two suites would have one label.
    """
    found: dict[str, str] = {}
    for entry in [*recipe.suites, *filter(None, [recipe.retention_suite])]:
        name = suite_label(entry)
        if found.setdefault(name, entry) != entry:
            raise BadInput(
                f"suites: {entry!r} and {found[name]!r} are both called {name!r}",
                "Rename one of the files: the metrics are named after them.",
            )
    return found


def _suites(recipe: Recipe) -> None:
    known = suite_names(recipe)
    for key, metric in (
        ("patience_metric", recipe.patience_metric if recipe.patience else "eval_loss"),
        ("keep_best", recipe.keep_best),
    ):
        kind, _, name = metric.partition(":")
        if kind == "suite" and name not in known:
            listed = f"There are {', '.join(known)}. " if known else ""
            raise BadInput(
                f"{key}={metric}: suites does not name {name!r}, so it is never measured",
                f"{listed}Add it: suites={','.join([*recipe.suites, name])}, or use eval_loss.",
            )
