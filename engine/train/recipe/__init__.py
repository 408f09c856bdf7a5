"""A recipe: every setting of a training run, with its bounds and a docstring that explains it.

Knows names, types, bounds, TOML, what contradicts what, and the prior of the learning rate. Does
not know data or torch. `engine.train.choosing` decides what a recipe leaves to the engine.
"""

from engine.train.recipe.checking import (
    LOSSES,
    patterned,
    suite_label,
    suite_names,
    validate,
)
from engine.train.recipe.describing import AUTO, SWITCH, RecipeField, Value
from engine.train.recipe.fields import GROUPS, METHODS, PREFERENCE, RECIPE_FIELDS, TRACKERS, Recipe
from engine.train.recipe.files import as_dict, from_dict, load, names, path_of, with_sets
from engine.train.recipe.settled import settled

__all__ = [
    "AUTO",
    "GROUPS",
    "LOSSES",
    "METHODS",
    "PREFERENCE",
    "RECIPE_FIELDS",
    "SWITCH",
    "TRACKERS",
    "Recipe",
    "RecipeField",
    "Value",
    "as_dict",
    "from_dict",
    "load",
    "names",
    "path_of",
    "patterned",
    "settled",
    "suite_label",
    "suite_names",
    "validate",
    "with_sets",
]
