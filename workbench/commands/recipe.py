"""`workbench recipe`: what every setting of a run does, and what a recipe makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.output import JsonOption, emit

if TYPE_CHECKING:
    from engine.train.recipe import Recipe, RecipeField

_WIDTH = 80


def recipe(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|KEY]",
            help="A shipped recipe, a TOML file, or one key.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Every recipe key, or one, with its docstring, default and bounds; with NAME, its values."""
    from engine.train.recipe import RECIPE_FIELDS, Recipe, load, names

    for field in RECIPE_FIELDS:
        if field.name == name:
            emit(_plain(field, Recipe()), json, _told(field, Recipe()))
            return
    found = load(name) if name else Recipe()
    told = {
        "name": name,
        "recipes": dict(names()),
        "keys": [_plain(field, found) for field in RECIPE_FIELDS],
    }
    emit(told, json, _lines(name, found))


def _plain(field: RecipeField, recipe: Recipe) -> dict[str, Any]:
    """A key for programs."""
    from engine.train.recipe import as_dict

    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return {
        "key": field.name,
        "group": field.group,
        "type": field.type,
        "default": default,
        "value": as_dict(recipe)[field.name],
        "help": field.help,
        "expected": field.expected,
        "low": field.low,
        "high": field.high,
        "choices": list(field.choices),
    }


def _lines(name: str | None, recipe: Recipe) -> Iterator[str]:
    """The keys for people, group by group; what a recipe sets otherwise is marked."""
    from engine.train.recipe import GROUPS, RECIPE_FIELDS, names

    if name:
        about = dict(names()).get(name, "")
        yield f"{name}: {about}" if about else name
        yield "* is set otherwise than by default"
        yield ""
    for group in GROUPS:
        yield group
        for field in RECIPE_FIELDS:
            if field.group == group:
                yield from _told(field, recipe)
        yield ""
    if not name:
        yield "Shipped recipes"
        width = max(len(known) for known, _ in names()) + 2
        for known, about in names():
            yield f"  {known.ljust(width)}{about}"


def _told(field: RecipeField, recipe: Recipe) -> Iterator[str]:
    """One key: its value, marked where it is not the default, and what it does and takes."""
    from engine.train.choosing import value_words
    from engine.train.recipe import as_dict

    value, default = as_dict(recipe)[field.name], field.default
    value = tuple(value) if isinstance(value, list) else value
    shown = value_words(value) or "(none)"
    if value == default:
        yield f"  {field.name} = {shown}"
    else:
        yield f"* {field.name} = {shown}   (default {value_words(default) or 'none'})"
    yield from _wrapped(field.help)
    yield from _wrapped(f"Takes {field.expected}.")


def _wrapped(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
