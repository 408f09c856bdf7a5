"""A recipe: every setting of a training run, with its bounds and a sentence that explains it.

Knows names, types, bounds and TOML. Does not know models, data or torch. Names are those of
transformers, TRL and PEFT where these have one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import assets
from store.errors import BadInput, NotFound

Value = bool | int | float | str | tuple[str, ...]


def _setting(
    default: Value,
    help_: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    group: str = "Training",
) -> Any:
    facts = {"help": help_, "low": low, "high": high, "choices": choices, "group": group}
    return field(default=default, metadata=facts)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of one run. Each field explains itself in `RECIPE_FIELDS`."""

    num_train_epochs: float = _setting(
        3.0, "Passes over the training rows, when max_steps is -1.", low=0.01, high=1000
    )
    max_steps: int = _setting(
        -1, "Optimizer steps in all; -1 counts epochs instead.", low=-1, high=10_000_000
    )
    per_device_train_batch_size: int = _setting(8, "Rows in one forward pass.", low=1, high=4096)
    gradient_accumulation_steps: int = _setting(
        1, "Forward passes summed into one optimizer step.", low=1, high=4096
    )
    learning_rate: float = _setting(
        2e-4,
        "Peak learning rate. LoRA usually wants 1e-4 to 1e-3, ten times a full fine-tune's.",
        low=0.0,
        high=1.0,
    )
    lr_scheduler_type: str = _setting(
        "cosine",
        "How the rate falls after warm-up.",
        choices=("linear", "cosine", "constant", "constant_with_warmup"),
    )
    warmup_steps: float = _setting(
        0.0,
        "Steps over which the rate rises to its peak; below 1 it is a share of all steps.",
        low=0,
        high=1_000_000,
    )
    weight_decay: float = _setting(0.0, "Decay of adapter weights.", low=0.0, high=10.0)
    max_grad_norm: float = _setting(
        1.0, "Gradients longer than this are scaled down; 0 turns it off.", low=0.0, high=1e6
    )
    optim: str = _setting(
        "adamw_torch_fused",
        "Optimizer. The 8-bit ones save memory on a GPU and run on nothing else.",
        choices=("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit"),
    )
    seed: int = _setting(
        42, "Seed of adapter weights, order, dropout and split.", low=0, high=2**31
    )
    test_size: float = _setting(
        0.1,
        "Share held out, where no split is recorded.",
        low=0.0,
        high=0.9,
        group="Data",
    )
    max_length: int = _setting(
        1024,
        "Rows longer than this many tokens are cut at the end, and listed.",
        low=8,
        high=1_000_000,
        group="Data",
    )
    train_sampling_strategy: str = _setting(
        "group_by_length",
        "Batches of similar length waste no padding; random mixes freely.",
        choices=("group_by_length", "random"),
        group="Data",
    )
    leave_out: bool = _setting(
        False,
        "Train without rows that would teach nothing; else they stop the run before it starts.",
        group="Data",
    )
    r: int = _setting(
        16, "LoRA rank: how much an adapter can hold.", low=1, high=1024, group="LoRA"
    )
    lora_alpha: int = _setting(
        32,
        "LoRA scale; the update is multiplied by lora_alpha / r.",
        low=1,
        high=8192,
        group="LoRA",
    )
    lora_dropout: float = _setting(
        0.0, "Dropout before the adapter.", low=0.0, high=0.9, group="LoRA"
    )
    target_modules: tuple[str, ...] = _setting(
        ("all-linear",),
        "Layers that get an adapter: all-linear, or names as q_proj,v_proj.",
        group="LoRA",
    )
    use_rslora: bool = _setting(
        False, "Scale by lora_alpha / sqrt(r) instead: steadier at high rank.", group="LoRA"
    )
    load_in_4bit: bool = _setting(
        True, "QLoRA: hold the frozen base in 4-bit NF4.", group="Precision"
    )
    bnb_4bit_use_double_quant: bool = _setting(
        True, "Quantise the scales of the 4-bit blocks as well.", group="Precision"
    )
    dtype: str = _setting(
        "auto",
        "Precision of the base and of arithmetic; adapters are always float32.",
        choices=("auto", "float32", "bfloat16"),
        group="Precision",
    )
    gradient_checkpointing: bool = _setting(
        False, "Recompute activations: much less memory, 20-30 % slower.", group="Precision"
    )
    threads: int = _setting(
        0,
        "CPU threads; 0 takes OMP_NUM_THREADS, else a core for every 4M parameters.",
        low=0,
        high=1024,
        group="Precision",
    )
    eval_steps: int = _setting(
        0, "Steps between evaluations; 0 makes ten a run.", low=0, high=10_000_000, group="Watching"
    )
    save_steps: int = _setting(
        0,
        "Steps between checkpoints; 0 makes four a run.",
        low=0,
        high=10_000_000,
        group="Watching",
    )
    save_total_limit: int = _setting(
        8,
        "Checkpoints kept; the newest and the best are never deleted. 0 keeps all.",
        low=0,
        high=100_000,
        group="Watching",
    )
    probes: tuple[str, ...] = _setting(
        (),
        "Prompts answered during training; none takes three from the held-out rows.",
        group="Watching",
    )
    probe_steps: int = _setting(
        0,
        "Steps between sample answers; 0 answers at every evaluation.",
        low=0,
        high=10_000_000,
        group="Watching",
    )
    probe_tokens: int = _setting(
        64,
        "Longest sample answer, in tokens; 0 turns them off.",
        low=0,
        high=4096,
        group="Watching",
    )


@dataclass(frozen=True, slots=True)
class RecipeField:
    """What a form or a help page needs to know of one setting."""

    name: str
    type: str
    default: Value
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    group: str

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type == "bool":
            return "true or false"
        if self.type == "list":
            return "a list of texts, separated by commas"
        noun = "a whole number" if self.type == "int" else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}"


def _type_name(default: object) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str")):
        if isinstance(default, kind):
            return name
    return "list"


RECIPE_FIELDS: tuple[RecipeField, ...] = tuple(
    RecipeField(f.name, _type_name(f.default), cast(Value, f.default), **f.metadata)
    for f in fields(Recipe)
)
_BY_NAME = {item.name: item for item in RECIPE_FIELDS}


def names() -> list[tuple[str, str]]:
    """The shipped recipes: name and one sentence."""
    paths = sorted(assets.path("recipes").glob("*.toml"))
    found = [(path.stem, str(_read(path).get("description", ""))) for path in paths]
    return sorted(found, key=lambda item: item[0] != "default")


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one in a TOML file.

    Raises:
        NotFound: neither.
        BadInput: not TOML, or a key or value is not what was expected.
    """
    shipped = assets.path("recipes") / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path).expanduser()
    if not path.is_file():
        known = [name for name, _ in names()]
        near = difflib.get_close_matches(name_or_path, known, 1)
        guess = f" (did you mean '{near[0]}'?)" if near else ""
        raise NotFound(
            f"recipe '{name_or_path}': no such recipe or file{guess}",
            f"Shipped recipes: {', '.join(known)}.",
        )
    values = {key: value for key, value in _read(path).items() if key != "description"}
    return from_dict(values, source=str(path))


def from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from plain values; keys that are absent take their defaults.

    Raises:
        BadInput: an unknown key, or a value out of bounds.
    """
    checked: dict[str, Any] = {
        key: _check(_find(key, source), value, source) for key, value in values.items()
    }
    recipe = Recipe(**checked)
    validate(recipe)
    return recipe


def with_sets(recipe: Recipe, sets: Iterable[str]) -> Recipe:
    """The recipe with `key=value` texts laid over it.

    Raises:
        BadInput: no `=`, an unknown key (the nearest is named), or a value out of bounds.
    """
    changes: dict[str, Any] = {}
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals:
            raise BadInput(f"--set {item}: expected key=value", "For example: --set max_steps=100")
        setting = _find(key.strip(), "--set")
        changes[setting.name] = _check(setting, _parse(setting, text.strip()), "--set")
    changed = replace(recipe, **changes)
    validate(changed)
    return changed


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain JSON values."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}


def validate(recipe: Recipe) -> None:
    """Refuse settings that contradict each other.

    Raises:
        BadInput: naming both.
    """
    if recipe.max_steps == 0:
        raise BadInput("max_steps: 0 trains nothing", "Use -1 to count epochs, or 1 and more.")
    if 1 <= recipe.max_steps <= recipe.warmup_steps:
        raise BadInput(
            f"warmup_steps={recipe.warmup_steps:g}: the rate never reaches its peak in "
            f"max_steps={recipe.max_steps}",
            "Make warmup_steps smaller; 0.1 is a tenth of all steps.",
        )
    if not recipe.target_modules:
        raise BadInput("target_modules: no layer named", "Use all-linear, or q_proj,v_proj.")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not TOML: {error}", "Repair the file.") from error


def _find(key: str, source: str) -> RecipeField:
    if key in _BY_NAME:
        return _BY_NAME[key]
    near = difflib.get_close_matches(key, _BY_NAME, 1, 0.5)
    hint = f"Did you mean '{near[0]}'?" if near else "`workbench train --help` lists the keys."
    raise BadInput(f"{source}: unknown recipe key '{key}'", hint)


def _parse(setting: RecipeField, text: str) -> object:
    """The value that `text` stands for; text itself where it stands for none."""
    if setting.type == "bool":
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            text.lower(), text
        )
    if setting.type == "list":
        return [part.strip() for part in text.split(",") if part.strip()]
    if setting.type in ("int", "float"):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _check(setting: RecipeField, value: object, source: str) -> Value:
    wrong = BadInput(
        f"{source}: {setting.name}={value!r}: expected {setting.expected}", setting.help
    )
    match setting.type, value:
        case "bool", bool():
            return value
        case "int" | "float", int() | float() if not isinstance(value, bool):
            if setting.type == "int" and value != int(value):
                raise wrong
            number = int(value) if setting.type == "int" else float(value)
            low, high = setting.low, setting.high
            if low is None or high is None or not low <= number <= high:
                raise wrong
            return number
        case "str", str() if not setting.choices or value in setting.choices:
            return value
        case "list", str():
            return (value,)
        case "list", list() | tuple() if all(isinstance(item, str) for item in value):
            return tuple(value)
    raise wrong
