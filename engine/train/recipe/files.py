"""Recipes as files, as `key=value` texts, and as plain values.

Knows TOML and where the shipped recipes are. Does not know what a setting does.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import assets
from engine.train.recipe.checking import check, find, parse, validate
from engine.train.recipe.fields import Recipe
from store.errors import BadInput, NotFound

_FIRST = "default"


def names() -> list[tuple[str, str]]:
    """The shipped recipes: name and one sentence."""
    paths = sorted(assets.path("recipes").glob("*.toml"))
    found = [(path.stem, str(_read(path).get("description", ""))) for path in paths]
    return sorted(found, key=lambda item: (item[0] != _FIRST, item[0]))


def path_of(name_or_path: str) -> Path:
    """The file of a shipped recipe, or of one's own.

    Raises:
        NotFound: neither; the nearest name is said.
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
    return path


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one in a TOML file.

    Raises:
        NotFound: neither.
        BadInput: not TOML, or a key or value is not what was expected.
    """
    path = path_of(name_or_path)
    values = {key: value for key, value in _read(path).items() if key != "description"}
    return from_dict(values, source=str(path))


def from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from plain values; keys that are absent take their defaults.

    Raises:
        BadInput: an unknown key, or a value out of bounds.
    """
    checked: dict[str, Any] = {
        key: check(find(key, source), value, source) for key, value in values.items()
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
        setting = find(key.strip(), "--set")
        changes[setting.name] = check(setting, parse(setting, text.strip()), "--set")
    changed = replace(recipe, **changes)
    validate(changed)
    return changed


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain JSON values."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not TOML: {error}", "Repair the file.") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}", "Check the file.") from error
